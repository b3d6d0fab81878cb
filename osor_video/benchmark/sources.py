"""About two dozen small sources, each with one property that editing tends to lose; made with the command ``ffmpeg``."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import cv2
import numpy as np

from osor_video.benchmark.judge import DEFAULT_RATE, frame_count
from osor_video.errors import ConfigError
from osor_video.tensors import Mask, Picture, to_uint8
from osor_video.video.orient import to_shown

SIZE_HW = (96, 128)
FRAMES = 8
SIDE = 24
STEP = 6
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "12")
X265 = ("-c:v", "libx265", "-preset", "veryfast", "-crf", "10")
FFV1 = ("-c:v", "ffv1", "-level", "3")
BT709 = ("-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv")
HDR10 = (
    "log-level=none:hdr10=1:repeat-headers=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:range=limited:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
)
HLG = "log-level=none:colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc:range=limited"
SUBTITLES = "1\n00:00:00,040 --> 00:00:00,240\nZwölf Bäume\n\n"
CHAPTERS = (
    ";FFMETADATA1\ntitle=Zwölf Bäume\nartist=Anna\nshot=12b\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=150\ntitle=Anfang\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=150\nEND=330\ntitle=Ende\n"
)


@dataclass(frozen=True)
class Recipe:
    """One source: its ``name`` with the suffix, the ``facts`` of ``judge.py`` that it is about, and what makes it.

    ``lossless``: the result's codec is FFV1, so that the file itself has to hold every untouched sample.
    """

    name: str
    facts: tuple[str, ...]
    make: Callable[[Path], None]
    rotation: int = 0
    size_hw: tuple[int, int] = SIZE_HW
    lossless: bool = False

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Make the clip and the folder of its masks, one a frame, as shown; both paths."""
        clip = folder / self.name
        self.make(clip)
        masks = folder / f"{clip.stem}_masks"
        masks.mkdir()
        for index in range(frame_count(clip)):
            shown = to_shown(object_mask(index, self.size_hw).astype(np.uint8) * 255, self.rotation)
            cv2.imwrite(str(masks / f"{index:05d}.png"), shown)
        return clip, masks


def object_mask(index: int, size_hw: tuple[int, int] = SIZE_HW) -> Mask:
    """Where the square is in frame ``index``, [H, W] as coded."""
    mask = np.zeros(size_hw, dtype=bool)
    left = 16 + STEP * index
    mask[36 : 36 + SIDE, left : left + SIDE] = True
    return mask


def scene(index: int, size_hw: tuple[int, int] = SIZE_HW) -> Picture:
    """A square before a textured wall, [H, W, 3]."""
    noise = np.random.default_rng(3).uniform(0.2, 0.8, (12, 16, 3)).astype(np.float32)
    picture = np.clip(cv2.resize(noise, size_hw[::-1], interpolation=cv2.INTER_CUBIC), 0, 1)
    picture[object_mask(index, size_hw)] = (0.86, 0.12, 0.16)
    return to_uint8(picture)


def ffmpeg(*arguments: str | Path, data: bytes | None = None) -> None:
    """Run ``ffmpeg``; ConfigError where it is absent or refuses."""
    program = which("ffmpeg")
    if program is None:
        raise ConfigError(
            "The sources are made with the command ffmpeg, which is not here; install FFmpeg (Debian: ffmpeg)."
        )
    command = [program, "-v", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise ConfigError(f"ffmpeg could not make {arguments[-1]}: {told[-1]}")


def encode(
    path: Path,
    *options: str | Path,
    inputs: Sequence[str | Path] = (),
    rate: str = DEFAULT_RATE,
    size_hw: tuple[int, int] = SIZE_HW,
    before: Sequence[str] = (),
) -> None:
    """The scene's frames through ``ffmpeg``: ``before`` stands before them, ``inputs`` are further ones."""
    frames = b"".join(scene(index, size_hw).tobytes() for index in range(FRAMES))
    raw = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{size_hw[1]}x{size_hw[0]}"]
    ffmpeg(*before, *raw, "-framerate", rate, "-i", "-", *inputs, "-bitexact", *options, path, data=frames)


def tone(hertz: int) -> tuple[str, ...]:
    """Input options of a tone as long as the frames."""
    return "-f", "lavfi", "-i", f"sine=frequency={hertz}:duration=0.33"


def _converted(pix_fmt: str, matrix: str = "bt709", span: str = "tv") -> tuple[str, ...]:
    return "-vf", f"scale=out_color_matrix={matrix}:out_range={span}:flags=accurate_rnd", "-pix_fmt", pix_fmt


def _samples(pix_fmt: str, *codec: str) -> Callable[[Path], None]:
    return lambda path: encode(path, *_converted(pix_fmt), *BT709, *(codec or FFV1))


def _edit_list(path: Path) -> None:
    base = path.with_name("edit_base.mp4")
    encode(base, *_converted("yuv420p"), *X264, "-g", "4", "-bf", "2")
    ffmpeg("-ss", "0.09", "-i", base, "-c", "copy", path)
    base.unlink()


def _laden(path: Path) -> None:
    """Two sound tracks in two languages and a forced subtitle."""
    text = path.with_suffix(".srt")
    text.write_text(SUBTITLES, encoding="utf-8")
    inputs = *tone(440), *tone(880), "-i", str(text)
    maps = ("-map", "0", "-map", "1", "-map", "2", "-map", "3")
    sound = ("-c:a:0", "aac", "-c:a:1", "flac", "-metadata:s:a:0", "language=ger")
    named = ("-metadata:s:a:1", "language=fre", "-metadata:s:a:1", "title=Kommentar")
    flags = ("-disposition:a:0", "default", "-disposition:a:1", "comment", "-disposition:s:0", "forced")
    subtitle = ("-c:s", "srt", "-metadata:s:s:0", "language=ger")
    encode(path, *maps, *_converted("yuv420p"), *X264, *sound, *named, *subtitle, *flags, inputs=inputs)


def _mov_text(path: Path) -> None:
    text = path.with_suffix(".srt")
    text.write_text(SUBTITLES, encoding="utf-8")
    encode(path, *_converted("yuv420p"), *X264, "-c:s", "mov_text", inputs=("-i", text))


def _chapters(path: Path) -> None:
    notes = path.with_suffix(".txt")
    notes.write_text(CHAPTERS, encoding="utf-8")
    maps = ("-map", "0:v", "-map", "2:a", "-map_metadata", "1", "-map_chapters", "1")
    options = (*maps, *_converted("yuv420p"), *X264, "-c:a", "aac", "-movflags", "use_metadata_tags")
    encode(path, *options, inputs=("-i", notes, *tone(440)))


def _attachment(path: Path) -> None:
    file = path.with_suffix(".ttf")
    file.write_bytes(bytes(range(256)) * 8)
    attached = ("-attach", str(file), "-metadata:s:t:0", "mimetype=font/ttf")
    encode(path, *_converted("yuv420p"), *X264, *attached)


def _cover(path: Path) -> None:
    cover = path.with_suffix(".png")
    cv2.imwrite(str(cover), scene(0)[..., ::-1])
    maps = ("-map", "0", "-map", "1", "-c:v:1", "copy", "-disposition:v:1", "attached_pic")
    base = path.with_name("cover_base.mp4")
    encode(base, *_converted("yuv420p"), *X264)
    ffmpeg("-i", base, "-i", cover, *maps, "-c:v:0", "copy", path)
    base.unlink()


def _telemetry(path: Path) -> None:
    """A GoPro's track of measurements; MPEG-TS gives its packet a time."""
    data, timed = path.with_suffix(".bin"), path.with_suffix(".ts")
    data.write_bytes(b"DEVC" + bytes(60))
    encode(
        timed,
        "-map",
        "0",
        "-map",
        "1",
        "-pix_fmt",
        "yuv420p",
        *X264,
        "-c:d",
        "copy",
        inputs=("-f", "data", "-i", data),
    )
    ffmpeg(
        "-i",
        timed,
        "-map",
        "0",
        "-c",
        "copy",
        "-tag:d",
        "gpmd",
        "-bsf:d",
        "setts=pts=0:dts=0:duration=9000",
        path,
    )
    timed.unlink()


def _two_pictures(path: Path) -> None:
    inputs = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=24:duration=0.33")
    encode(path, "-map", "0", "-map", "1", "-pix_fmt", "yuv420p", *X264, inputs=inputs)


def _rotated(path: Path) -> None:
    base = path.with_name("rotated_base.mp4")
    encode(base, *_converted("yuv420p"), *X264)
    ffmpeg("-i", base, "-c", "copy", "-metadata:s:v:0", "rotate=90", path)
    base.unlink()


def _uneven(path: Path) -> None:
    times = ("-vf", "settb=1/24000,setpts='(N*N*300+N*1001)',format=yuv420p", "-vsync", "passthrough")
    encode(path, *times, *X264, "-enc_time_base", "1/24000", "-video_track_timescale", "24000")


def _late(path: Path) -> None:
    options = (*_converted("yuv420p"), *X264, "-c:a", "aac", "-vsync", "passthrough")
    encode(path, *options, inputs=tone(440), before=("-itsoffset", "0.5"))


def _interlaced(path: Path) -> None:
    fields = ("-vf", "format=yuv420p,setfield=tff", "-flags", "+ildct+ilme", "-x264opts", "tff=1")
    encode(path, *X264, *fields)


RECIPES: tuple[Recipe, ...] = (
    Recipe(
        "film_rate.mp4",
        ("rate", "times"),
        lambda path: encode(path, *_converted("yuv420p"), *X264, rate="24000/1001"),
    ),
    Recipe("uneven_times.mp4", ("times",), _uneven),
    Recipe("late_start.mp4", ("start", "sound start"), _late),
    Recipe("edit_list.mp4", ("frames", "times"), _edit_list),
    Recipe("rotated_90.mp4", ("rotation",), _rotated, rotation=90),
    Recipe(
        "wide_pixels.mp4",
        ("pixel aspect",),
        lambda path: encode(path, "-vf", "setsar=16/15,format=yuv420p", *X264),
    ),
    Recipe("interlaced.mov", ("fields",), _interlaced),
    Recipe("two_languages.mkv", ("audio", "subtitle", "dispositions"), _laden),
    Recipe("mov_text.mp4", ("subtitle",), _mov_text),
    Recipe("chapters.mp4", ("chapters", "tags"), _chapters),
    Recipe(
        "timecode.mov",
        ("timecode",),
        lambda path: encode(path, *_converted("yuv420p"), *X264, "-timecode", "01:02:03:04"),
    ),
    Recipe("attachment.mkv", ("attachment",), _attachment),
    Recipe("cover.mp4", ("other video", "dispositions"), _cover),
    Recipe("telemetry.mov", ("data",), _telemetry),
    Recipe("two_pictures.mkv", ("other video",), _two_pictures),
    Recipe(
        "full_range.mp4",
        ("samples", "colour"),
        lambda path: encode(
            path, *_converted("yuv420p", span="pc"), "-color_range", "pc", "-colorspace", "bt709", *X264
        ),
    ),
    Recipe(
        "bt601.mp4",
        ("colour",),
        lambda path: encode(
            path,
            *_converted("yuv420p", "bt601"),
            "-color_primaries",
            "smpte170m",
            "-color_trc",
            "smpte170m",
            "-colorspace",
            "smpte170m",
            "-color_range",
            "tv",
            *X264,
        ),
    ),
    Recipe("h264_422_10.mov", ("codec", "samples"), _samples("yuv422p10le", *X264)),
    Recipe("h264_444.mp4", ("codec", "samples"), _samples("yuv444p", *X264)),
    Recipe(
        "hevc_hdr10.mp4",
        ("colour", "mastering", "light level"),
        lambda path: encode(
            path,
            *_converted("yuv420p10le", "bt2020"),
            *X265,
            "-x265-params",
            HDR10,
            "-tag:v",
            "hvc1",
            "-color_primaries",
            "bt2020",
            "-color_trc",
            "smpte2084",
            "-colorspace",
            "bt2020nc",
            "-color_range",
            "tv",
        ),
    ),
    Recipe(
        "hevc_hlg.mp4",
        ("colour", "samples"),
        lambda path: encode(
            path,
            *_converted("yuv420p10le", "bt2020"),
            *X265,
            "-x265-params",
            HLG,
            "-tag:v",
            "hvc1",
            "-color_primaries",
            "bt2020",
            "-color_trc",
            "arib-std-b67",
            "-colorspace",
            "bt2020nc",
            "-color_range",
            "tv",
        ),
    ),
    Recipe(
        "prores_422.mov",
        ("codec", "samples", "profile"),
        _samples("yuv422p10le", "-c:v", "prores_ks", "-profile:v", "2"),
    ),
    Recipe(
        "prores_4444.mov",
        ("codec", "samples"),
        _samples("yuva444p10le", "-c:v", "prores_ks", "-profile:v", "4"),
    ),
    Recipe("av1_10.mp4", ("codec", "samples"), _samples("yuv420p10le", "-c:v", "libsvtav1", "-crf", "20")),
    Recipe("ffv1_420_8.mkv", ("samples",), _samples("yuv420p"), lossless=True),
    Recipe("ffv1_422_10.mkv", ("samples",), _samples("yuv422p10le"), lossless=True),
    Recipe("ffv1_444_12.mkv", ("samples",), _samples("yuv444p12le"), lossless=True),
    Recipe("rgb.mkv", ("samples",), lambda path: encode(path, "-pix_fmt", "gbrp10le", *FFV1), lossless=True),
    Recipe(
        "odd_size.mkv",
        ("size", "samples"),
        lambda path: encode(path, *_converted("yuv420p"), *FFV1, size_hw=(95, 127)),
        size_hw=(95, 127),
        lossless=True,
    ),
)

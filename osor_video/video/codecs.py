"""Which encoder writes a result, and in which form of samples: the source's own where the container holds it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from osor_video.config import EncodeConfig
from osor_video.errors import ConfigError
from osor_video.video.frames import LIMITED_RANGE, MATRIX_TAG
from osor_video.video.planes import ColorSpec, default_matrix
from osor_video.video.probe import ColorTags, SourceInfo

Chroma = tuple[int, int]
HALF, ROWS, FULL = (1, 1), (0, 1), (0, 0)
SRGB_CURVE, BT709_PRIMARIES = 13, 1
"""ITU-T H.273 numbers of what scene-linear pictures are seen through."""


@dataclass(frozen=True)
class Codec:
    """What one encoder takes: chroma steps, bits a sample, and containers by suffix."""

    title: str
    encoder: str
    source_codec: str
    """FFmpeg's name of what it writes."""
    suffixes: tuple[str, ...]
    chroma: tuple[Chroma, ...]
    depths: tuple[int, ...]
    gray: bool = False
    rgb: bool = False
    alpha: bool = False
    odd: bool = False
    """4:2:0 and 4:2:2 of odd sizes too."""
    least_hw: tuple[int, int] = (16, 16)


MOVIES = (".mp4", ".mov", ".m4v", ".mkv")
CODECS: dict[str, Codec] = {
    "h264": Codec("H.264", "libx264", "h264", MOVIES, (HALF, ROWS, FULL), (8, 10), gray=True),
    "h265": Codec("H.265", "libx265", "hevc", MOVIES, (HALF, ROWS, FULL), (8, 10, 12), gray=True),
    "av1": Codec("AV1", "libsvtav1", "av1", MOVIES, (HALF,), (8, 10), least_hw=(64, 64)),
    "prores": Codec("ProRes 422", "prores_ks", "prores", (".mov", ".mkv"), (ROWS,), (10,)),
    "prores-4444": Codec("ProRes 4444", "prores_ks", "prores", (".mov", ".mkv"), (FULL,), (10,), alpha=True),
    "dnxhr": Codec("DNxHR", "dnxhd", "dnxhd", (".mov",), (ROWS, FULL), (8, 10), least_hw=(120, 256)),
    "ffv1": Codec(
        *("FFV1", "ffv1", "ffv1", (".mkv",), (HALF, ROWS, FULL), (8, 10, 12, 16)),
        gray=True,
        rgb=True,
        alpha=True,
        odd=True,
        least_hw=(1, 1),
    ),
}
"""By the name that ``--codec`` takes."""
Y4M = Codec(
    *("y4m", "wrapped_avframe", "wrapped_avframe", ("-",), (HALF, ROWS, FULL), (8, 10, 12, 16)),
    gray=True,
    odd=True,
    least_hw=(1, 1),
)
"""Raw pictures for a pipe."""


@dataclass(frozen=True)
class Target:
    """What is written: the codec by name, the form of its samples and their tags; ``note`` is '' where all is the source's own."""

    name: str
    codec: Codec
    color: ColorSpec
    tags: ColorTags
    note: str

    @property
    def pix_fmt(self) -> str:
        """FFmpeg's name of the form that the encoder is given: ``color``'s own, or the same samples in another order."""
        if self.name == "ffv1" and self.color.matrix == "rgb" and self.color.bit_depth == 8:
            return "bgra" if self.color.alpha else "bgr0"
        return self.color.pix_fmt


def choose_target(path: Path, source: SourceInfo, encode: EncodeConfig) -> Target:
    """The codec asked for, or without one the source's own, else H.264 or H.265, whichever holds the samples.

    Raises:
        ConfigError: if the codec asked for does not go into this container, or cannot hold a picture of this size.
    """
    suffix = path.suffix.lower()
    name: str = "ffv1" if encode.lossless else encode.codec
    if name == "auto":
        name, why = _matching(suffix, source)
    else:
        _check(path, name, source, encode)
        why = ""
    return target_of(name, CODECS[name], source, why)


def target_of(name: str, codec: Codec, source: SourceInfo, why: str = "") -> Target:
    """The form in which ``codec`` takes this source; ``why`` goes before what is to be said of it."""
    color = written_form(codec, source.color, source.size_hw)
    told = [why] if why else []
    if color != source.color:
        kept = "" if color.alpha == source.color.alpha else "; its alpha channel is dropped"
        told.append(f"{source.color.pix_fmt} is written as {color.pix_fmt}, which {codec.title} takes{kept}")
    return Target(name, codec, color, _tags(source, color), "; ".join(told))


def written_form(codec: Codec, color: ColorSpec, size_hw: tuple[int, int]) -> ColorSpec:
    """The form nearest to ``color`` that ``codec`` takes: never fewer bits or less chroma where there is a choice."""
    deeper = [depth for depth in codec.depths if depth >= color.bit_depth]
    depth = min(deeper, default=max(codec.depths))
    gray = color.gray and codec.gray and depth <= 12
    rgb = color.matrix == "rgb" and codec.rgb and not color.gray
    chroma = _chroma(codec, color, size_hw)
    matrix = default_matrix(size_hw[0]) if color.matrix == "rgb" and not rgb else color.matrix
    return ColorSpec(
        matrix=matrix,
        full_range=color.full_range if matrix == color.matrix else False,
        bit_depth=depth,
        chroma_log2=FULL if gray or rgb else chroma,
        gray=gray,
        alpha=color.alpha and codec.alpha and not (chroma == HALF and depth == 12),
    )


def _chroma(codec: Codec, color: ColorSpec, size_hw: tuple[int, int]) -> Chroma:
    finer = [
        step for step in codec.chroma if step[0] <= color.chroma_log2[0] and step[1] <= color.chroma_log2[1]
    ]
    whole = [
        step
        for step in finer
        if codec.odd or not (size_hw[0] % (1 << step[0]) or size_hw[1] % (1 << step[1]))
    ]
    if color.gray and codec.chroma:
        return codec.chroma[0]
    return max(whole or finer, key=sum, default=min(codec.chroma, key=sum))


def _matching(suffix: str, source: SourceInfo) -> tuple[str, str]:
    """Name of the codec that is the source's own, or holds its samples; and why it is another one."""
    own = next((name for name, codec in CODECS.items() if codec.source_codec == source.codec), None)
    if own == "prores" and (source.color.chroma_log2 == FULL or source.color.alpha):
        own = "prores-4444"
    usable = [
        name for name, codec in CODECS.items() if suffix in codec.suffixes and _big_enough(codec, source)
    ]
    # ProRes 4444 decodes to 12 bit, and FFmpeg's encoder takes 10: still nearer to it than any other codec.
    kept = own == "prores-4444" or (own in usable and _holds(CODECS[own], source))
    if own in usable and kept and not (own == "h264" and source.hdr):
        return own, ""
    why = "" if own is None else f"{CODECS[own].title} sources go into {' or '.join(CODECS[own].suffixes)}"
    if own in usable:
        lacking = f"{CODECS[own].title} does not take {source.color.pix_fmt}"
        why = "H.264 does not carry HDR10 metadata" if own == "h264" and source.hdr else lacking
    first = ["h265"] if source.hdr else ["h264", "h265"]
    holding = [name for name in (*first, "prores-4444") if name in usable and _holds(CODECS[name], source)]
    return (holding or ["h265"])[0], why and f"{why}: written as {CODECS[(holding or ['h265'])[0]].title}"


def _holds(codec: Codec, source: SourceInfo) -> bool:
    return written_form(codec, source.color, source.size_hw) == source.color


def _big_enough(codec: Codec, source: SourceInfo) -> bool:
    return all(own >= least for own, least in zip(source.size_hw, codec.least_hw, strict=True))


def _check(path: Path, name: str, source: SourceInfo, encode: EncodeConfig) -> None:
    codec, suffix = CODECS[name], path.suffix.lower()
    if suffix not in codec.suffixes:
        asked = (
            "encode.lossless writes FFV1, which" if encode.lossless else f"{codec.title} was asked for, which"
        )
        raise ConfigError(f"{asked} {suffix} does not hold. Name the output {path.stem}{codec.suffixes[0]}.")
    if not _big_enough(codec, source):
        height, width = codec.least_hw
        raise ConfigError(
            f"{codec.title} takes pictures from {width}x{height} on, and {source.path} is "
            f"{source.size_hw[1]}x{source.size_hw[0]}. Take another --codec, such as h265."
        )
    if not codec.odd and written_form(codec, source.color, source.size_hw).chroma_log2 != FULL:
        steps = written_form(codec, source.color, source.size_hw).chroma_log2
        if source.size_hw[0] % (1 << steps[0]) or source.size_hw[1] % (1 << steps[1]):
            raise ConfigError(
                f"{codec.title} takes even sizes only, and {source.path} is {source.size_hw[1]}x{source.size_hw[0]}. "
                f"Take --codec h265 or ffv1."
            )


def _tags(source: SourceInfo, color: ColorSpec) -> ColorTags:
    """The source's tags, made true of RGB that became YUV and of scene-linear light that got a curve."""
    tags = source.tags
    if source.color.matrix == "rgb" and color.matrix != "rgb":
        tags = replace(tags, matrix=MATRIX_TAG[color.matrix], range=LIMITED_RANGE)
    if source.color.linear and not color.linear:
        tags = replace(tags, transfer=SRGB_CURVE, primaries=BT709_PRIMARIES)
    return tags

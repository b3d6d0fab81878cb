"""What FFmpeg's own programs say of a file: an independent witness of what came in and what went out.

``ffprobe`` tells times, colour and side data, ``ffmpeg -f framemd5`` the packets of every other stream, ``ffmpeg -f
rawvideo`` the samples. None of it goes through PyAV.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from fractions import Fraction
from hashlib import md5
from itertools import pairwise
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import numpy.typing as npt

from osor_video.errors import ConfigError

DEFAULT_RATE = "24"
Facts = dict[str, str]
"""What a file is, by the name of the property."""
OWN_TAGS = frozenset(
    (
        *("major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id", "handler_name"),
        *("duration", "timecode", "creation_time", "bps"),
    )
)
"""Tags that every muxer writes anew; the timecode is a fact of its own."""
OTHERS = {"audio": "a", "subtitle": "s", "data": "d", "attachment": "t", "other video": "v"}


def judge_absent() -> str:
    """Why the judge cannot work here, or ''."""
    lacking = [name for name in ("ffmpeg", "ffprobe") if which(name) is None]
    return f"{' and '.join(lacking)} not installed (Debian: ffmpeg)" if lacking else ""


def facts(path: Path) -> Facts:
    """Everything that is to come through unchanged, in words."""
    shown = _probed(path)
    streams = shown["streams"]
    video = next(s for s in streams if s["codec_type"] == "video" and not _is_cover(s))
    frames = _frames(path, int(video["index"]))
    base = Fraction(video["time_base"])
    times = [int(frame["best_effort_timestamp"]) * base for frame in frames]
    found = {
        "frames": str(len(frames)),
        "times": _times(times),
        "start": _seconds(times[0]),
        "rate": video["r_frame_rate"],
        "size": f"{video['width']}x{video['height']}",
        "pixel aspect": video.get("sample_aspect_ratio", "1:1"),
        "rotation": _rotation(video),
        "codec": video["codec_name"],
        "profile": video.get("profile", ""),
        "samples": video["pix_fmt"],
        "colour": "/".join(
            video.get(key, "unknown")
            for key in ("color_range", "color_space", "color_transfer", "color_primaries")
        ),
        "fields": _fields(frames[0]),
        "mastering": _side(frames[0], "Mastering display metadata"),
        "light level": _side(frames[0], "Content light level metadata"),
        "timecode": _timecode(shown),
        "chapters": ", ".join(
            f"{c.get('tags', {}).get('title', '')} {float(c['start_time']):.3f}-{float(c['end_time']):.3f}"
            for c in shown["chapters"]
        ),
        "tags": _tags(shown["format"]),
    }
    return found | _other_streams(path, streams, int(video["index"]))


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Names of the facts that are not the same."""
    return [name for name in before if before[name] != after.get(name)]


def frame_count(path: Path) -> int:
    """Frames of the first video stream that decode."""
    told = _run("ffprobe", "-select_streams", "v:0", "-count_frames", "-show_streams", "-of", "json", path)
    return int(json.loads(told)["streams"][0]["nb_read_frames"])


def pixels(path: Path) -> list[npt.NDArray[Any]]:
    """Every frame's samples of the first video stream as ``ffmpeg`` decodes them, all planes in a row, as coded."""
    video = next(s for s in _probed(path)["streams"] if s["codec_type"] == "video" and not _is_cover(s))
    raw = _run(
        "ffmpeg",
        "-noautorotate",
        "-i",
        path,
        "-map",
        f"0:{video['index']}",
        "-vsync",
        "passthrough",
        "-f",
        "rawvideo",
        "-",
    )
    deep = any(video["pix_fmt"].endswith(end) for end in ("10le", "12le", "16le"))
    samples = np.frombuffer(raw, np.uint16 if deep else np.uint8)
    count = len(_frames(path, int(video["index"])))
    return list(samples.reshape(count, -1))


def _probed(path: Path) -> Any:
    told = _run(
        "ffprobe",
        "-show_streams",
        "-show_format",
        "-show_chapters",
        "-show_data_hash",
        "md5",
        "-of",
        "json",
        path,
    )
    return json.loads(told)


def _frames(path: Path, index: int) -> list[Any]:
    told = _run("ffprobe", "-select_streams", str(index), "-show_frames", "-of", "json", path)
    frames: list[Any] = json.loads(told)["frames"]
    return frames


def _run(program: str, *arguments: str | Path) -> bytes:
    place = which(program)
    if place is None:
        raise ConfigError(f"The judge needs the command {program}, which is not here; install FFmpeg.")
    done = subprocess.run([place, "-v", "error", *map(str, arguments)], capture_output=True, check=False)
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise ConfigError(f"{program} does not read what is judged: {told[-1]}")
    return done.stdout


def _is_cover(stream: Any) -> bool:
    return bool(stream["disposition"]["attached_pic"])


def _times(times: list[Fraction]) -> str:
    steps = [b - a for a, b in pairwise(times)]
    told = (
        ", ".join(str(step) for step in dict.fromkeys(steps))
        if len(set(steps)) < 4
        else f"{len(set(steps))} steps"
    )
    return f"{len(times)} from {times[0]} by {told} ({md5(str(times).encode()).hexdigest()[:6]})"


def _seconds(time: Fraction) -> str:
    return f"{float(time):.4f} s"


def _rotation(video: Any) -> str:
    found = [side["rotation"] for side in video.get("side_data_list", []) if "rotation" in side]
    return str(found[0]) if found else "0"


def _fields(frame: Any) -> str:
    if not int(frame.get("interlaced_frame", 0)):
        return "progressive"
    return "top first" if int(frame.get("top_field_first", 0)) else "bottom first"


def _side(frame: Any, name: str) -> str:
    found: list[Any] = [side for side in frame.get("side_data_list", []) if side["side_data_type"] == name]
    if not found:
        return ""
    return " ".join(str(value) for key, value in found[0].items() if key != "side_data_type")


def _timecode(shown: Any) -> str:
    holders = (*shown["streams"], shown["format"])
    codes = [holder.get("tags", {}).get("timecode") for holder in holders]
    return next((code for code in codes if code), "")


def _tags(holder: Any) -> str:
    tags = {key.lower(): value for key, value in holder.get("tags", {}).items()}
    return ", ".join(f"{key}={tags[key]}" for key in sorted(tags) if key not in OWN_TAGS)


def _other_streams(path: Path, streams: list[Any], worked: int) -> Facts:
    """Codec, language, flags and packets of every stream beside the worked one, by kind."""
    found: Facts = dict.fromkeys((*OTHERS, "sound start", "dispositions"), "")
    kinds: dict[str, list[str]] = {kind: [] for kind in OTHERS}
    flags = []
    for stream in streams:
        kind = stream["codec_type"]
        if kind == "video":
            kind = "other video"
        flags.append("+".join(name for name, value in stream["disposition"].items() if value) or "none")
        if stream["index"] == worked or stream.get("codec_tag_string") in ("tmcd", "text"):
            continue
        content = stream["extradata_hash"] if kind == "attachment" else _packets(path, stream["index"])
        kinds[kind].append(
            f"{stream.get('codec_name', 'unknown')} {_tags(stream)} {content}".replace("  ", " ")
        )
        if kind == "audio" and not found["sound start"]:
            found["sound start"] = _seconds(Fraction(stream["start_pts"]) * Fraction(stream["time_base"]))
    found |= {kind: "; ".join(told) for kind, told in kinds.items()}
    return found | {"dispositions": ", ".join(flags)}


def _packets(path: Path, index: int) -> str:
    """How many packets, and one sum over their times, sizes and bytes."""
    told = _run(
        "ffmpeg", "-i", path, "-map", f"0:{index}", "-c", "copy", "-copyts", "-f", "framemd5", "-"
    ).decode()
    base = Fraction(next(line for line in told.splitlines() if line.startswith("#tb")).split(":")[1].strip())
    rows = [line.split(",") for line in told.splitlines() if not line.startswith("#")]
    packets = [(str(int(row[2]) * base), row[4].strip(), row[5].strip()) for row in rows]
    return f"{len(packets)} packets {md5(str(packets).encode()).hexdigest()[:6]}"

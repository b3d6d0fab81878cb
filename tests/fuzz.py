"""Mutated media and masks through the readers and the command line: ``python -m tests.fuzz`` (2,000 files, a few minutes).

Bytes of small good files are changed at random, from a seed, as transfers, disks and enemies change them. Each file must be read,
or refused in one sentence; nothing else may happen: no traceback, no crash, no wait of more than ``LIMIT_S``, no memory that stays.
The work is done by a process that is watched from outside, so that a hang or a crash is seen as what it is.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("SVT_LOG", "1")  # read when PyAV is imported: its AV1 encoder would tell of itself

import cv2
import numpy as np
from PIL import Image

from tests.video.clips import DEEP, make_clip

SIZE_HW = (64, 96)
LIMIT_S = 20.0
PATIENCE_S = 60.0
"""For the first answer, which waits for the libraries."""
GROWTH_MB = 100.0
"""What the process may have kept from a quarter of its cases to the end."""
COMMAND_SHARE = 4
"""One case in so many goes through the command line as well."""
MASKS = (".png", ".jpg", ".tif", ".webp", ".bmp", ".tga")


# --- good files, and what spoils them -----------------------------------------------------------------------


def make_media(folder: Path) -> list[Path]:
    """One small clip of each kind."""
    made = [
        make_clip(folder / "h264.mp4", frames=12, audio=1, chapter="one", timecode="01:00:00:00"),
        make_clip(folder / "rotated.mov", frames=6, rotation=90),
        make_clip(folder / "ffv1.mkv", frames=6, codec="ffv1", audio=1),
        make_clip(folder / "hevc.mp4", frames=6, codec="libx265", color=DEEP),
        make_clip(folder / "prores.mov", frames=4, codec="prores_ks", color=_prores()),
        make_clip(folder / "h264.ts", frames=12, audio=1),
        make_clip(folder / "mpeg4.avi", frames=8, codec="mpeg4"),
        make_clip(folder / "vp9.webm", frames=6, codec="libvpx-vp9"),
        make_clip(folder / "av1.mkv", frames=4, codec="libsvtav1"),
    ]
    return made


def make_masks(folder: Path) -> list[Path]:
    """The same mask in each form that is read."""
    mask = np.zeros(SIZE_HW, np.uint8)
    mask[20:44, 30:60] = 255
    deep, colours = mask.astype(np.uint16) * 257, np.dstack([mask] * 3)
    pictures: dict[str, Any] = {f"mask{suffix}": mask for suffix in MASKS if suffix != ".tga"}
    pictures |= {"deep.png": deep, "colour.png": colours, "alpha.png": np.dstack([colours, mask])}
    for name, picture in pictures.items():
        cv2.imwrite(str(folder / name), picture)
    Image.fromarray(mask).save(folder / "mask.tga")
    indexed = Image.fromarray((mask > 0).astype(np.uint8)).convert("P")
    indexed.putpalette([0, 0, 0, 200, 20, 30])
    indexed.save(folder / "labels.png")
    return sorted(path for path in folder.iterdir() if path.suffix in MASKS)


def spoil(data: bytes, choose: random.Random, other: bytes = b"") -> bytes:
    """``data`` changed in one to four ways; ``other`` is a file to splice with."""
    spoilt = bytearray(data)
    for _ in range(choose.choice((1, 1, 2, 4))):
        choose.choice(SPOILERS)(spoilt, choose, other)
    return bytes(spoilt)


def _flip(data: bytearray, choose: random.Random, other: bytes) -> None:
    for _ in range(choose.choice((1, 4, 16, 64))):
        if data:
            data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)


def _noise(data: bytearray, choose: random.Random, other: bytes) -> None:
    begin, size = _place(data, choose)
    data[begin : begin + size] = choose.randbytes(size)


def _zeros(data: bytearray, choose: random.Random, other: bytes) -> None:
    begin, size = _place(data, choose)
    data[begin : begin + size] = bytes(size)


def _cut_off(data: bytearray, choose: random.Random, other: bytes) -> None:
    del data[choose.randrange(len(data) + 1) :]


def _cut_out(data: bytearray, choose: random.Random, other: bytes) -> None:
    begin, size = _place(data, choose)
    del data[begin : begin + size]


def _repeat(data: bytearray, choose: random.Random, other: bytes) -> None:
    begin, size = _place(data, choose)
    data[begin:begin] = data[begin : begin + size]


def _large(data: bytearray, choose: random.Random, other: bytes) -> None:
    """A number of four bytes, such as a size or a count, becomes an extreme one; most stand near the begin or the end."""
    reach = max(1, min(len(data) - 4, 600))
    begin = choose.choice((choose.randrange(reach), max(0, len(data) - 4 - choose.randrange(reach))))
    data[begin : begin + 4] = choose.choice(
        (b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x00" * 4, b"\x00\x00\xff\xff")
    )


def _splice(data: bytearray, choose: random.Random, other: bytes) -> None:
    begin, size = _place(data, choose)
    start = choose.randrange(len(other) + 1)
    data[begin : begin + size] = other[start : start + size]


SPOILERS: tuple[Callable[[bytearray, random.Random, bytes], None], ...] = (
    *(_flip, _flip, _noise, _zeros, _cut_off, _cut_out, _repeat, _large, _large, _splice),
)


def _place(data: bytearray, choose: random.Random) -> tuple[int, int]:
    begin = choose.randrange(len(data) + 1)
    return begin, min(choose.choice((1, 4, 16, 64, 256, 1024)), len(data) - begin)


def _prores() -> Any:
    from osor_video.video.planes import ColorSpec  # noqa: PLC0415

    return ColorSpec("bt709", full_range=False, bit_depth=10, chroma_log2=(0, 1))


# --- one case -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Material:
    """Good files, by kind, and a folder for spoilt ones."""

    folder: Path
    media: list[Path]
    masks: list[Path]

    @classmethod
    def make(cls, folder: Path) -> Material:
        good = folder / "good"
        good.mkdir()
        return cls(folder, make_media(good), make_masks(good))

    def spoilt(self, number: int, seed: int) -> tuple[Path, bool]:
        """Write case ``number``; its path, and whether it is a mask."""
        choose = random.Random(f"{seed} {number}")
        is_mask = choose.random() < 0.4
        files = self.masks if is_mask else self.media
        source, other = choose.choice(files), choose.choice(files)
        path = self.folder / f"spoilt{source.suffix}"
        path.write_bytes(spoil(source.read_bytes(), choose, other.read_bytes()))
        return path, is_mask


def read_media(path: Path) -> str:
    """Probe and read a clip whole by either reader; "read", or "refused"."""
    from osor_video.errors import OsorError  # noqa: PLC0415
    from osor_video.video.probe import probe  # noqa: PLC0415
    from osor_video.video.reader import open_reader, read_planes  # noqa: PLC0415

    try:
        source = probe(path)
        with closing(read_planes(source)) as planes:
            bad = sum(frame.damaged for frame in planes)
        with open_reader(source) as reader:
            assert sum(1 for _ in reader) == source.frames
    except OsorError as error:
        return _sentence(str(error))
    return "damage bridged" if bad else "read"


def read_mask(path: Path) -> str:
    """Read a mask picture as a mask and as labels."""
    from osor_video.errors import OsorError  # noqa: PLC0415
    from osor_video.masks.painted import MaskReading, load_mask  # noqa: PLC0415

    ends = []
    for reading in (MaskReading(), MaskReading(fit=True), MaskReading(labels=(1,))):
        try:
            mask = load_mask(path, SIZE_HW, reading)
            assert mask.shape == SIZE_HW
            ends.append("read")
        except OsorError as error:
            ends.append(_sentence(str(error)))
    return "read" if "read" in ends else ends[0]


def command(path: Path, is_mask: bool, material: Material) -> str:
    """The file through ``osor-video remove`` up to where the networks would be loaded: the frame asked for is not there."""
    from typer.testing import CliRunner  # noqa: PLC0415

    from osor_video.apps.cli import app  # noqa: PLC0415

    clip, mask = (material.media[0], path) if is_mask else (path, material.masks[0])
    target = material.folder / "look.png"
    arguments = [
        "remove",
        str(clip),
        "--mask",
        str(mask),
        "--fit-mask",
        "-o",
        str(target),
        "--preview",
        "999999",
    ]
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 2, (result.exit_code, result.output)
    assert result.stderr.startswith("osor-video: "), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert not target.exists()
    return "command refused"


def run_case(number: int, seed: int, material: Material) -> str:
    """How case ``number`` ended; anything but an answer raises."""
    path, is_mask = material.spoilt(number, seed)
    end = read_mask(path) if is_mask else read_media(path)
    if number % COMMAND_SHARE == 0:
        command(path, is_mask, material)
        end += ", command too"
    return f"{'mask' if is_mask else 'media'} {end}"


def _sentence(text: str) -> str:
    assert text.strip(), "an error without a word"
    assert len(text) < 2000, f"an error of {len(text)} characters"
    return "refused"


def _resident_mb() -> float:
    pages = Path("/proc/self/statm")
    if not pages.exists():
        return 0.0
    return int(pages.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def work(folder: Path, seed: int, first: int, count: int) -> None:
    """The watched process: a line of JSON for every case."""
    answers = os.fdopen(os.dup(1), "w")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    good = folder / "good"
    files = sorted(good.iterdir())
    masks = [path for path in files if path.suffix in MASKS]
    material = Material(folder, [path for path in files if path not in masks], masks)
    for number in range(first, first + count):
        begin = time.monotonic()
        try:
            end, fault = run_case(number, seed, material), ""
        except BaseException as error:  # noqa: BLE001  (told, with its place, by the process that watches)
            import traceback  # noqa: PLC0415

            end, fault = "fault", "".join(traceback.format_exception(error))
        answer = {"number": number, "end": end, "fault": fault}
        answer |= {"s": time.monotonic() - begin, "mb": _resident_mb()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


# --- the watch ----------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What all cases together gave."""

    ends: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest: int = 0
    resident_mb: list[float] = field(default_factory=list)

    @property
    def growth_mb(self) -> float:
        """Resident memory at the end less that after a quarter of the cases, in the last process."""
        quarter = len(self.resident_mb) // 4
        return self.resident_mb[-1] - self.resident_mb[quarter] if self.resident_mb else 0.0

    def take(self, answer: dict[str, Any]) -> None:
        self.ends[answer["end"]] += 1
        if answer["s"] > self.slowest_s:
            self.slowest_s, self.slowest = answer["s"], answer["number"]
        self.resident_mb.append(answer["mb"])
        if answer["fault"]:
            self.faults.append(f"case {answer['number']}: {answer['fault']}")

    def lines(self) -> Iterator[str]:
        yield f"{sum(self.ends.values())} files"
        for end, count in sorted(self.ends.items()):
            yield f"  {count:5d} {end}"
        yield f"slowest {self.slowest_s:.2f} s (case {self.slowest}); resident {max(self.resident_mb, default=0):.0f} MiB at most, "
        yield f"growth {self.growth_mb:.0f} MiB; faults {len(self.faults)}"
        yield from self.faults[:10]


def fuzz(count: int, seed: int, folder: Path) -> Outcome:
    """Run ``count`` cases in a watched process, in another one after a crash or a hang."""
    Material.make(folder)
    outcome, number = Outcome(), 0
    while number < count:
        # After a crash the figures of memory begin anew with the process.
        outcome.resident_mb.clear()
        number += _watch(count, number, seed, folder, outcome)
    return outcome


def _watch(count: int, first: int, seed: int, folder: Path, outcome: Outcome) -> int:
    """Cases that one process answered or died of."""
    command = [sys.executable, "-m", "tests.fuzz", "--work", str(folder), "--seed", str(seed)]
    command += ["--first", str(first), "--count", str(count - first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        answered, patience = 0, PATIENCE_S
        for _ in range(count - first):
            ready, _, _ = select.select([process.stdout], [], [], patience)
            line = process.stdout.readline() if ready else b""
            if not line:
                with suppress(OSError):
                    process.kill()
                how = "ended with the process" if ready else f"took more than {patience:.0f} s"
                outcome.faults.append(f"case {first + answered}: {how} ({process.wait()})")
                outcome.ends["fault"] += 1
                return answered + 1
            outcome.take(json.loads(line))
            answered, patience = answered + 1, LIMIT_S
        return answered


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.seed, options.first, options.count)
        return
    with TemporaryDirectory() as folder:
        outcome = fuzz(options.count, options.seed, Path(folder))
    sys.stdout.write("\n".join(outcome.lines()) + "\n")
    if outcome.faults or outcome.growth_mb > GROWTH_MB:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

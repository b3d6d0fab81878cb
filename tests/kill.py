"""Runs that are killed at random moments and gone on with: ``python -m tests.kill`` (20 times SIGKILL, then SIGTERM and SIGINT).

Each run is the command line in a process of its own, forked from one that has the libraries loaded. The result has to be that of
a run that nobody stopped, byte for byte.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

import osor_video.pipeline  # noqa: F401  (loaded before the runs are forked off)
from osor_video.apps.cli import app
from tests.test_pipeline import write_clip
from tests.tiny import tiny_model
from tests.world import make_world

LIMIT_S = 120.0
CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclass(frozen=True)
class Rig:
    """A clip, a model and a mask in a folder of their own."""

    folder: Path

    def make(self, frames: int) -> None:
        """Write what the runs need."""
        world = make_world(frames, walk_px=2.0)
        write_clip(self.folder / "clip.mp4", world.frames, sound=True)
        cv2.imwrite(str(self.folder / "mask.png"), world.masks[0].astype(np.uint8) * 255)
        tiny_model(self.folder / "model")

    def start(self, output: str, *more: str) -> int:
        """Fork off the command; its number."""
        child = os.fork()
        if child:
            return child
        # Where the parent runs in the background it ignores Ctrl-C, and its children would too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        log = os.open(self.folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        settings = ("checkpoint_s=0", "window_frames=4", "background.reach_frames=6")
        command = ["remove", str(self.folder / "clip.mp4"), "--mask", str(self.folder / "mask.png")]
        command += ["-o", str(self.folder / output), "--model", str(self.folder / "model"), "--flow", "dis"]
        command += [part for setting in settings for part in ("--set", setting)]
        try:
            app([*command, *more])
        except SystemExit as end:
            os._exit(int(end.code or 0))
        os._exit(70)

    def work(self, output: str) -> Path:
        return self.folder / f"{output}.osor-work"

    def ended(self, child: int, limit_s: float) -> int | None:
        """Exit code, below zero for a signal; None if it still runs after ``limit_s``."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.002)
        return None

    def finish(self, child: int) -> float:
        """Wait for a good end; seconds from the first sign of work."""
        begin = time.monotonic()
        code = self.ended(child, LIMIT_S)
        if code is None:
            os.kill(child, signal.SIGKILL)
        if code != 0:
            raise SystemExit(f"the run ended with {code}: {self.log()}")
        return time.monotonic() - begin

    def log(self) -> str:
        path = self.folder / "log.txt"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def begun(self, child: int, output: str) -> None:
        """Wait until the run holds its work folder."""
        until = time.monotonic() + LIMIT_S
        owner = self.work(output) / "owner.json"
        while f'"process": {child},' not in (owner.read_text("utf-8") if owner.exists() else ""):
            if time.monotonic() > until:
                raise SystemExit(f"the run did not begin: {self.log()}")
            time.sleep(0.002)


def kill_and_resume(rig: Rig, kills: int, seed: int) -> Sequence[str]:
    """Kill runs at random moments and go on with them until ``kills`` were killed; a line about each."""
    choose = random.Random(seed)
    whole = rig.folder / "whole.mp4"
    child = rig.start(whole.name)
    rig.begun(child, whole.name)
    span_s = rig.finish(child)
    lines, killed, finished = [f"uninterrupted: {span_s:.1f} s of work, {whole.stat().st_size} bytes"], 0, 0
    while True:
        child = rig.start("out.mp4", "--resume")
        rig.begun(child, "out.mp4")
        at_s = choose.uniform(0, span_s)
        code = rig.ended(child, at_s) if killed < kills else rig.ended(child, LIMIT_S)
        if code is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            killed += 1
            lines.append(f"kill {killed} after {at_s:.2f} s, kept: {_kept(rig.work('out.mp4'))}")
            continue
        if code:
            raise SystemExit(f"a run that was gone on with ended with {code}: {rig.log()}")
        _compare(rig, "out.mp4")
        finished += 1
        lines.append("finished: the same bytes")
        if killed >= kills:
            return [*lines, f"{killed} kills, {finished} runs gone on with to the end, all bytes the same"]
        (rig.folder / "out.mp4").unlink()


def stop_and_resume(rig: Rig, number: signal.Signals, share: float) -> str:
    """Ask a run to end, see what it says, and go on with it; a line about it."""
    output = f"{number.name}.mp4"
    child = rig.start(output)
    rig.begun(child, output)
    state = rig.work(output) / ("track-state.pt" if share < 0.5 else "fill-state.pt")
    until = time.monotonic() + LIMIT_S
    while not state.exists() and time.monotonic() < until:
        time.sleep(0.002)
    os.kill(child, number)
    code, said = rig.ended(child, LIMIT_S), rig.log().strip()
    if code != CODES[number] or "the same command with --resume goes on" not in said or "\n" in said:
        raise SystemExit(f"{number.name}: exit {code}, and it said: {said}")
    if (rig.folder / output).exists() or list(rig.folder.glob(".*.part*")):
        raise SystemExit(f"{number.name} left half a file")
    rig.finish(rig.start(output, "--resume"))
    _compare(rig, output)
    return f"{number.name}: exit {code}, said how to go on, the same bytes after --resume"


def _compare(rig: Rig, output: str) -> None:
    if (rig.folder / output).read_bytes() != (rig.folder / "whole.mp4").read_bytes():
        raise SystemExit(f"{output} differs from the uninterrupted run")
    if rig.work(output).exists():
        raise SystemExit(f"{rig.work(output)} is left behind")


def _kept(work: Path) -> str:
    names = sorted(path.stem for path in work.glob("*.pt") if path.stem[-1].isdigit())
    followed = sum(name.startswith("track") for name in names)
    return f"{followed} segments followed, {len(names) - followed} finished"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--frames", type=int, default=36)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        rig = Rig(Path(name))
        # A process of its own: threads that libraries start would be missing in runs that are forked later.
        child = os.fork()
        if not child:
            rig.make(options.frames)
            os._exit(0)
        rig.finish(child)
        for line in kill_and_resume(rig, options.kills, options.seed):
            sys.stdout.write(line + "\n")
        for number, share in ((signal.SIGTERM, 0.8), (signal.SIGINT, 0.2)):
            sys.stdout.write(stop_and_resume(rig, number, share) + "\n")


if __name__ == "__main__":
    main()

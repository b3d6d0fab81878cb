"""A batch on two Ray nodes of this machine, one of which is killed in the middle: ``python -m tests.batch.cluster``.

Twenty short clips are done by one process, by two processes, and by the cluster; the results have to be the same bytes, and the
same list again has to do nothing. Throughput of two workers against one, and the time of 1,000 clips on 8 GPUs, are told last.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from osor_video.batch.estimate import Rate, span_s, told
from tests.apps.clips import square_clip
from tests.apps.conftest import Material
from tests.batch.clips import OPTIONS, clip_folder
from tests.tiny import tiny_model

NODE_S = 90.0
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}


class ClusterError(Exception):
    """Ray's nodes do not start here."""


@dataclass
class Nodes:
    """A head and a second node of one core each, on this machine, each a session of processes."""

    folder: Path
    address: str = ""
    sessions: list[int] = field(default_factory=list)

    def start(self) -> None:
        """Begin both; ClusterError where they do not come up."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        port = self.address.split(":")[1]
        common = ["--node-ip-address=127.0.0.1", "--num-cpus=1", "--object-store-memory=100000000", "--block"]
        # Ray's sockets need a short path.
        places = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={self.folder}"]
        self._begin("head", *places, *common)
        self._begin("second", f"--address={self.address}", *common)

    def _begin(self, name: str, *options: str) -> None:
        log = self.folder.parent / f"{name}.log"
        with log.open("wb") as file:
            command = [sys.executable, "-m", "ray.scripts.scripts", "start", *options]
            process = subprocess.Popen(
                command, stdout=file, stderr=file, start_new_session=True, env=os.environ | ENVIRONMENT
            )
        self.sessions.append(process.pid)
        until = time.monotonic() + NODE_S
        while b"Ray runtime started" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > until:
                raise ClusterError(f"the {name} node did not start: {log.read_text(errors='replace')[-300:]}")
            time.sleep(0.2)

    def kill(self, which: int) -> None:
        """Kill a node and all that runs on it, without a word."""
        for path in Path("/proc").glob("[0-9]*"):
            # A worker that ends by itself meanwhile is as good as killed.
            with suppress(ProcessLookupError):
                if os.getsid(int(path.name)) == self.sessions[which]:
                    os.kill(int(path.name), signal.SIGKILL)

    def node_of(self, pid: int) -> int:
        """On which of the two the process ``pid`` runs."""
        return self.sessions.index(os.getsid(pid))


@contextmanager
def two_nodes() -> Iterator[Nodes]:
    """The cluster, gone at the end of the block."""
    with TemporaryDirectory(prefix="osor-ray-", ignore_cleanup_errors=True) as name:
        nodes = Nodes(Path(name) / "r")
        try:
            nodes.start()
            yield nodes
        finally:
            for which in range(len(nodes.sessions)):
                nodes.kill(which)


@dataclass(frozen=True)
class Rig:
    """Clips with masks, a tiny model, and the command."""

    folder: Path

    def make(self, clips: int) -> None:
        """Write what the runs need."""
        clip, first = square_clip(self.folder)
        clip_folder(self.folder / "in", Material(clip, first, self.folder / "model"), clips)
        tiny_model(self.folder / "model")

    def start(self, out: str, *more: str) -> subprocess.Popen[str]:
        """Begin the batch in a process of its own."""
        command = ["batch", str(self.folder / "in"), "-o", str(self.folder / out), "--json", "--threads", "1"]
        command += ["--model", str(self.folder / "model"), *OPTIONS, *more]
        return subprocess.Popen(
            [sys.executable, "-m", "osor_video", *command],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ENVIRONMENT,
        )

    def run(self, out: str, *more: str, nodes: Nodes | None = None, kill_at: int = 0) -> list[dict[str, Any]]:
        """Its events; when ``kill_at`` clips are done the node of ``nodes`` that is not the head is killed."""
        heard: list[dict[str, Any]] = []
        done = 0
        with self.start(out, *more) as process:
            assert process.stdout is not None
            for line in process.stdout:
                heard.append({**json.loads(line), "at": time.monotonic()})
                done += heard[-1]["event"] == "done"
                if (
                    nodes is not None
                    and kill_at
                    and done >= kill_at
                    and heard[-1]["event"] == "frame"
                    and self._on_second(heard, nodes)
                ):
                    nodes.kill(1)
                    kill_at = 0
        if process.returncode:
            raise SystemExit(f"the batch into {out} ended with {process.returncode}: {heard[-3:]}")
        if kill_at:
            raise SystemExit("no node was killed")
        return heard

    def _on_second(self, heard: Sequence[dict[str, Any]], nodes: Nodes) -> bool:
        """Whether the last frame that was heard of comes from the second node."""
        pids = {
            event["worker"]: event["pid"] for event in heard if event["event"] == "worker" and event["ready"]
        }
        at = {event["job"]: event["worker"] for event in heard if event["event"] == "begin"}
        return nodes.node_of(pids[at[heard[-1]["job"]]]) == 1

    def results(self, out: str) -> dict[str, bytes]:
        """The clips that were written."""
        return {path.name: path.read_bytes() for path in sorted((self.folder / out).glob("*.mp4"))}


def same_again(rig: Rig, out: str) -> None:
    """The same list once more, which has to do nothing."""
    before = {path: path.stat().st_mtime_ns for path in (rig.folder / out).rglob("*")}
    heard = rig.run(out)
    if [event["event"] for event in heard if event["event"] != "plan"] != ["end"] or heard[-1]["done"]:
        raise SystemExit(f"the same list again did something: {heard[-3:]}")
    if {path: path.stat().st_mtime_ns for path in (rig.folder / out).rglob("*")} != before:
        raise SystemExit(f"the same list again changed {out}")


def spent_s(heard: Sequence[dict[str, Any]]) -> float:
    """Seconds from the first worker that was ready to the last clip that was done."""
    ready = min(event["at"] for event in heard if event["event"] == "worker")
    return float(max(event["at"] for event in heard if event["event"] == "done") - ready)


def killed_node(rig: Rig, clips: int) -> Iterator[str]:
    """Two nodes, of which one is killed when a sixth is done: on a busy machine its worker comes late; a line about each step."""
    with two_nodes() as nodes:
        heard = rig.run("ray", "--ray", nodes.address, nodes=nodes, kill_at=max(1, clips // 6))
    if rig.results("ray") != rig.results("one"):
        raise SystemExit("the cluster's results differ from those of one process")
    again = [event for event in heard if event["event"] == "again"]
    lost = [event for event in heard if event["event"] == "worker" and not event["ready"]]
    if not lost or not again:
        raise SystemExit("the killed node cost nothing: it was not in work")
    cost = f"{len(lost)} worker lost, {len(again)} clip begun again"
    yield f"two Ray nodes, one killed at work: {cost}, {clips} clips of the same bytes"
    same_again(rig, "ray")
    yield "the same list again: nothing done, nothing changed"


def throughput(rig: Rig, one: Sequence[dict[str, Any]], clips: int) -> Iterator[str]:
    """Two processes against one, and what handing out costs."""
    two = rig.run("two", "--jobs", "2")
    if rig.results("two") != rig.results("one"):
        raise SystemExit("two processes give other bytes than one")
    first, second = spent_s(one), spent_s(two)
    work = sum(event["wall_s"] for event in one if event["event"] == "done")
    yield f"{clips} clips: {first:.1f} s by 1 worker, {second:.1f} s by 2, throughput x{first / second:.2f}"
    yield f"beside {work:.1f} s of work 1 worker spent {first - work:.2f} s: {100 * (first / work - 1):.1f} % overhead"


def farm(rig: Rig) -> str:
    """1,000 clips such as the example clip on 8 GPUs as fast as this processor, from the times that it takes one worker."""
    clips = Path(__file__).parents[2] / "clips"
    (rig.folder / "farm.yaml").write_text(
        f"jobs: [{{clip: '{clips / 'walk.mp4'}', mask: '{clips / 'walk_first.png'}', preset: fast}}]\n",
        encoding="utf-8",
    )
    out = rig.folder / "farm"
    command = ["batch", str(rig.folder / "farm.yaml"), "-o", str(out), "--threads", "1", "--quiet"]
    subprocess.run([sys.executable, "-m", "osor_video", *command], check=True, env=os.environ | ENVIRONMENT)
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    rate = Rate.of(report["jobs"])
    assert rate is not None  # it is done
    clip = report["jobs"][0]
    seconds = [rate.seconds(clip["frames"] * clip["size_hw"][0] * clip["size_hw"][1])] * 1000
    stages = ", ".join(f"{stage} {spent:.1f}" for stage, spent in sorted(clip["report"]["seconds"].items()))
    return (
        f"a clip of {clip['frames']} frames {clip['size_hw'][1]}x{clip['size_hw'][0]} takes {seconds[0]:.1f} s ({stages}): "
        f"1,000 of them take 8 workers as fast as this one {told(span_s(seconds, 8, rate.load_s))}"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.batch.cluster", description=__doc__)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--kill-only", action="store_true", help="leave the throughput out")
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        rig = Rig(Path(name))
        rig.make(options.clips)
        one = rig.run("one")
        lines = killed_node(rig, options.clips)
        for line in lines:
            sys.stdout.write(line + "\n")
        if not options.kill_only:
            for line in (*throughput(rig, one, options.clips), farm(rig)):
                sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()

"""Workers on the nodes of a Ray cluster: an actor for each GPU, or for each share of processor cores.

Ray places the actors and tells when one is lost; what was lost is done again by ``run.Batch``, from what the work folder has. All
nodes have to see the same folders under the same names. The package ``ray`` comes with the extra ``cluster``.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from osor_video import __version__
from osor_video.batch.crew import NEWS_S, News
from osor_video.batch.done import FOLDER
from osor_video.batch.worker import Task, Worker
from osor_video.errors import ConfigError

LOOK_S = 2.0
"""How often the cluster is looked at for nodes that came or went."""
SHARE = 4
"""Cores of a worker where none are asked for, unless the nodes have fewer."""


class Hand:
    """The actor: a worker that says where it is. ``board`` takes what it has to tell of its frames."""

    def __init__(self, name: str, threads: int, board: Any) -> None:
        self._name = name
        self._board = board
        self._worker = Worker(threads)

    def ready(self, token: str) -> dict[str, Any]:
        """Who and where it is, and whether it sees the file ``token``."""
        context = import_module("ray").get_runtime_context()
        node = os.uname().nodename if hasattr(os, "uname") else "?"
        there = Path(token).exists()
        return {
            **{"node": context.get_node_id(), "machine": node, "pid": os.getpid()},
            **{"sees": there, "version": __version__},
        }

    def run(self, task: Task) -> dict[str, Any]:
        """Do a task; see ``Worker.run``."""
        return self._worker.run(task, self._tell)

    def _tell(self, stage: str, done: int, total: int) -> None:
        self._board.put.remote(self._name, (stage, done, total))


class Board:
    """The actor beside the one that asks, where frames are told."""

    def __init__(self) -> None:
        self._told: list[tuple[str, Any]] = []

    def put(self, worker: str, what: Any) -> None:
        """A worker's frame."""
        self._told.append((worker, what))

    def take(self) -> list[tuple[str, Any]]:
        """What was told since."""
        told, self._told = self._told, []
        return told


class RayCrew:
    """Actors on the cluster at ``address`` ("auto": the one that this machine is a node of), ``count`` at most.

    Each has ``threads`` cores (None: ``SHARE``), and a GPU where the cluster has any and ``gpus`` allows it. ``out`` is the folder
    of the results. Raises ConfigError where the package or the cluster is missing, where a node does not see ``out``, and where
    it has another version of this package.
    """

    def __init__(
        self, address: str, out: Path, count: int | None = None, threads: int | None = None, gpus: bool = True
    ) -> None:
        if find_spec("ray") is None:
            raise ConfigError(
                "--ray needs the package ray, which is not installed. Run pip install 'osor-video[cluster]' on every node, or "
                "leave --ray out to work on this machine."
            )
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._ray = import_module("ray")
        self._errors = import_module("ray.exceptions").RayError
        self._address = address
        self._count = count
        self._threads = threads
        self._gpus = gpus
        self._token = out.absolute() / FOLDER / f"seen-{os.getpid()}"
        self._hands: dict[str, Any] = {}
        self._waited: dict[Any, tuple[str, bool]] = {}
        self._hired = 0
        self._looked = 0.0

    def __enter__(self) -> Self:
        try:
            self._ray.init(address=self._address, logging_level=logging.ERROR, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise ConfigError(
                f"No Ray cluster answers at {self._address} ({str(error).splitlines()[0]}). Begin one with ray start --head, or "
                "give its address."
            ) from error
        self._token.parent.mkdir(parents=True, exist_ok=True)
        self._token.touch()
        here = self._ray.get_runtime_context().get_node_id()
        affinity = import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy(
            here, soft=False
        )
        # Beside the one that asks: a node that is lost must not take it along.
        self._board = self._ray.remote(Board).options(num_cpus=0, scheduling_strategy=affinity).remote()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hand in self._hands.values():
            self._ray.kill(hand)
        self._ray.shutdown()
        self._token.unlink(missing_ok=True)

    def give(self, worker: str, task: Task) -> None:
        """See ``Crew``."""
        self._waited[self._hands[worker].run.remote(task)] = worker, False

    def news(self) -> Sequence[News]:
        """See ``Crew``."""
        self._hire()
        if not self._waited:
            time.sleep(NEWS_S)
        ended, _ = self._ray.wait(list(self._waited), timeout=NEWS_S) if self._waited else ([], [])
        heard = [News(worker, "frame", what) for worker, what in self._ray.get(self._board.take.remote())]
        return [*heard, *(self._heard(ref) for ref in ended)]

    def _heard(self, ref: Any) -> News:
        """What came of a call."""
        worker, first = self._waited.pop(ref)
        try:
            what = self._ray.get(ref)
        except self._errors as error:
            # Its other calls are as lost as this one.
            self._waited = {
                other: (name, begun) for other, (name, begun) in self._waited.items() if name != worker
            }
            self._ray.kill(self._hands.pop(worker))
            self._looked = 0.0
            return News(worker, "lost", f"{type(error).__name__}: its process or its node ended")
        if first:
            self._check(what)
        return News(worker, "ready" if first else "ended", what)

    def _check(self, hand: dict[str, Any]) -> None:
        if not hand["sees"]:
            raise ConfigError(
                f"The node {hand['machine']} does not see {self._token.parent.parent}. Expected one folder for all nodes under the "
                "same name, such as a mounted network share, for clips and results."
            )
        if hand["version"] != __version__:
            raise ConfigError(
                f"The node {hand['machine']} has osor-video {hand['version']}, this one {__version__}. Install the same on all."
            )

    def _hire(self) -> None:
        """As many workers as the cluster has room for; nodes may have come or gone."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        gpus = self._gpus and any(node.get("GPU") for node in nodes)
        cores = self._threads or min([SHARE, *(int(node.get("CPU", 0)) or 1 for node in nodes)])
        room = places(nodes, cores, gpus=gpus)
        kind = self._ray.remote(Hand).options(
            num_cpus=cores, num_gpus=int(gpus), max_restarts=0, scheduling_strategy="SPREAD"
        )
        while len(self._hands) < min(room, self._count or room):
            self._hired += 1
            name = f"ray.{self._hired}"
            self._hands[name] = kind.remote(name, cores, self._board)
            self._waited[self._hands[name].ready.remote(str(self._token))] = name, True


def places(nodes: Sequence[dict[str, float]], cores: int, *, gpus: bool) -> int:
    """Workers of ``cores`` each that fit the ``nodes`` (their resources by name), one for a GPU where these count."""
    fit = (int(node.get("CPU", 0)) // cores for node in nodes)
    return sum(
        min(each, int(node.get("GPU", 0))) if gpus else each for each, node in zip(fit, nodes, strict=True)
    )

"""Workers in processes of their own on this machine. A worker that dies is replaced, and costs only what it was at."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import FrameType, TracebackType
from typing import Any, Literal, NoReturn, Protocol, Self

from osor_video.batch.worker import Task, Worker

NEWS_S = 0.5
"""How long a crew waits for news at most."""
PATIENCE_S = 20.0
"""How long a worker that is to end may take to close what it has open."""


@dataclass(frozen=True)
class News:
    """What a worker says, or is said of it: it is ready, it finished a frame (stage, done, total), it ended a task, it is lost."""

    worker: str
    kind: Literal["ready", "frame", "ended", "lost"]
    what: Any = None


class Crew(Protocol):
    """Workers that can be given tasks; use it as a context manager, at whose end none is left."""

    def give(self, worker: str, task: Task) -> None:
        """Have a worker that is ready, or has ended its task, do another."""

    def news(self) -> Sequence[News]:
        """What happened since; waits for ``NEWS_S`` at most."""

    def __enter__(self) -> Self:
        """Begin to hire."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all workers; one that is at work keeps what it has finished."""


class Stopped(BaseException):
    """A worker is asked to end."""


@dataclass
class _Hand:
    process: Any
    pipe: Connection


class LocalCrew:
    """``count`` processes, each with ``threads`` threads; GPUs are shared out among them."""

    def __init__(self, count: int, threads: int) -> None:
        self._count = count
        self._threads = threads
        self._hands: dict[str, _Hand] = {}
        self._hired = 0

    def __enter__(self) -> Self:
        for place in range(self._count):
            self._hire(place)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hand in self._hands.values():
            hand.process.terminate()
        for hand in self._hands.values():
            hand.process.join(PATIENCE_S)
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()
            hand.pipe.close()

    def give(self, worker: str, task: Task) -> None:
        """See ``Crew``."""
        try:
            self._hands[worker].pipe.send(task)
        except (BrokenPipeError, ConnectionResetError):
            return  # its end of the pipe is closed, which ``news`` will hear

    def news(self) -> Sequence[News]:
        """See ``Crew``."""
        by_pipe = {hand.pipe: worker for worker, hand in self._hands.items()}
        heard: list[News] = []
        for pipe in wait(list(by_pipe), NEWS_S):
            assert isinstance(pipe, Connection)  # none other is waited for
            worker = by_pipe[pipe]
            try:
                kind, what = pipe.recv()
                heard.append(News(worker, kind, what))
            except (EOFError, ConnectionResetError):
                heard.append(self._lost(worker))
        return heard

    def _lost(self, worker: str) -> News:
        hand = self._hands.pop(worker)
        hand.process.join(PATIENCE_S)
        hand.pipe.close()
        self._hire(int(worker.split(".", maxsplit=1)[0]))
        return News(worker, "lost", f"its process ended with {hand.process.exitcode}")

    def _hire(self, place: int) -> None:
        context = _context()
        ours, its = context.Pipe()
        process = context.Process(target=_serve, args=(its, self._threads, place), daemon=True)
        process.start()
        its.close()
        self._hired += 1
        self._hands[f"{place}.{self._hired}"] = _Hand(process, ours)


def _context() -> Any:
    """How processes come to be: forked off from one that has the libraries loaded, where the system can fork.

    That one has begun neither threads nor a GPU, so what is forked from it is as good as new.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "osor_video.pipeline", "osor_video.apps.removal", "timm"])
    return context


def _serve(pipe: Connection, threads: int, place: int) -> None:
    """The life of a worker: it says that it is ready, and does what it is given until the pipe is closed."""
    # Ctrl-C reaches all processes of a terminal; the one that hires them tells them what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    _take_gpu(place)
    try:
        worker = Worker(threads)
        pipe.send(("ready", os.getpid()))
        while True:
            task = pipe.recv()
            outcome = worker.run(task, lambda stage, done, total: pipe.send(("frame", (stage, done, total))))
            pipe.send(("ended", outcome))
    except (EOFError, BrokenPipeError, ConnectionResetError, Stopped):
        return


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


def _take_gpu(place: int) -> None:
    """Have this process see one GPU: its own where there are as many as workers."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        seen = [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    else:
        import torch  # noqa: PLC0415

        # Counting does not begin the use of a GPU, after which the choice would be made.
        seen = [str(number) for number in range(torch.cuda.device_count())]
    if seen:
        os.environ["CUDA_VISIBLE_DEVICES"] = seen[place % len(seen)]

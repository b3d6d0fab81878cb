"""The queue of work: one task at a time in a process of its own, with progress, and a way to stop it."""

from __future__ import annotations

import multiprocessing
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Literal

from osor_video.desk.work import Task, serve

State = Literal["waiting", "running", "done", "failed", "cancelled"]
PATIENCE_S = 20.0
"""How long a cancelled task may take to stop by itself before its process is ended."""
KEPT_JOBS = 40


@dataclass
class Job:
    """One task and how far it is. ``session`` is whose it is; ``version`` the version of the project that it works on."""

    session: str
    task: Task
    version: int
    on_mask: Callable[[Job, int, int, str, float], None]
    on_end: Callable[[Job], None]
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    state: State = "waiting"
    stage: str = ""
    done: int = 0
    total: int = 0
    error: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    details: str = ""
    stage_since: float = 0.0
    begun: float = 0.0
    ended: float = 0.0
    cancelling: bool = False

    @property
    def open(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("waiting", "running")

    def advance(self, stage: str, done: int, total: int) -> None:
        """Hear how far it is."""
        now = time.monotonic()
        if stage != self.stage or done < self.done:
            self.stage, self.stage_since = stage, now
        self.done, self.total = done, total

    def seen(self) -> dict[str, Any]:
        """What the page is told: frames a second and seconds left are of the stage that is under way."""
        spent = time.monotonic() - self.stage_since
        rate = self.done / spent if self.stage != "load" and self.done > 1 and spent > 0 else None
        left = (self.total - self.done) / rate if rate and self.state == "running" else None
        return {
            "id": self.id,
            "kind": self.task.kind,
            "frame": self.task.frame,
            "state": self.state,
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "rate": rate and round(rate, 2),
            "left_s": left and round(left, 1),
            "spent_s": round((self.ended or time.monotonic()) - self.begun, 1) if self.begun else 0,
            "cancelling": self.cancelling,
            "error": self.error,
            "result": self.result,
        }


class Queue:
    """Jobs in order. ``warm``: load the worker's libraries when it is first asked to."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._stop = self._context.Event()
        self._process: Any = None
        self._link: Connection | None = None
        self._jobs: dict[str, Job] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="desk jobs", daemon=True)
        self._thread.start()

    def warm(self) -> None:
        """Start the worker and have it load its libraries, if it is not there yet."""
        with self._changed:
            if self._process is None and not self._closing:
                self._start().send(None)

    def add(self, job: Job) -> Job:
        """Put ``job`` at the end."""
        with self._changed:
            self._jobs[job.id] = job
            ended = [old.id for old in self._jobs.values() if not old.open]
            for old in ended[: max(0, len(ended) - KEPT_JOBS)]:
                del self._jobs[old]
            self._changed.notify_all()
        return job

    def get(self, job: str) -> Job | None:
        """The job of that id, None where there is none (any more)."""
        return self._jobs.get(job)

    def of(self, session: str) -> list[Job]:
        """A session's jobs, oldest first."""
        with self._changed:
            return [job for job in self._jobs.values() if job.session == session]

    def ahead(self, job: Job) -> int:
        """How many jobs come before ``job``."""
        with self._changed:
            waiting = [other.id for other in self._jobs.values() if other.open]
        return waiting.index(job.id) if job.id in waiting else 0

    def cancel(self, job: Job) -> None:
        """Stop it: at its next frame, or before it begins."""
        with self._changed:
            if job.state == "waiting":
                job.state = "cancelled"
            elif job.state == "running":
                job.cancelling = True
                self._stop.set()
            self._changed.notify_all()

    def close(self) -> None:
        """Stop everything and end the worker."""
        with self._changed:
            self._closing = True
            for job in self._jobs.values():
                job.cancelling = job.open
            self._stop.set()
            self._changed.notify_all()
        self._thread.join(timeout=5)
        self._end_process()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._next() is not None)
                job = self._next()
                if self._closing or job is None:
                    return
                self._stop.clear()
                job.state, job.begun = "running", time.monotonic()
                job.advance("load", 0, 1)
                link = self._link or self._start()
            try:
                link.send(job.task)
                ended = self._attend(job, link)
            except (EOFError, OSError):
                ended = self._died(job)
            self._finish(job, ended)

    def _next(self) -> Job | None:
        return next((job for job in self._jobs.values() if job.state == "waiting"), None)

    def _attend(self, job: Job, link: Connection) -> tuple[Any, ...]:
        """Hear the worker out; its last message."""
        since: float | None = None
        while True:
            if link.poll(0.2):
                message = link.recv()
                if message[0] in ("done", "failed", "cancelled"):
                    return tuple(message)
                if message[0] == "progress":
                    job.advance(*message[1:])
                elif message[0] == "mask":
                    job.on_mask(job, *message[1:])
            elif not self._process.is_alive():
                return self._died(job)
            if job.cancelling:
                since = since or time.monotonic()
                if self._closing or time.monotonic() - since > PATIENCE_S:
                    self._end_process()
                    return ("cancelled",)

    def _died(self, job: Job) -> tuple[Any, ...]:
        code = self._process.exitcode if self._process is not None else None
        self._end_process()
        if job.cancelling:
            return ("cancelled",)
        return (
            "failed",
            f"The work stopped all at once (exit code {code}), as it does when memory runs out. Close other programs, choose the "
            "preset Fast, and start it again.",
            "",
        )

    def _finish(self, job: Job, message: tuple[Any, ...]) -> None:
        job.ended = time.monotonic()
        if message[0] == "done":
            job.result = message[1]
        elif message[0] == "failed":
            job.error, job.details = message[1], message[2]
        state: State = message[0]
        job.state = state
        job.on_end(job)

    def _start(self) -> Connection:
        ours, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=serve, args=(theirs, self._stop), name="desk worker", daemon=True
        )
        self._process.start()
        theirs.close()
        self._link = ours
        return ours

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.join(timeout=5)
            if self._process.is_alive():
                self._process.kill()
        if self._link is not None:
            self._link.close()
        self._process = self._link = None

"""Jobs handed out to a crew until all are done or failed: what fails is told and the others go on, what is lost is tried again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from osor_video.batch.crew import Crew, News
from osor_video.batch.done import stamp, write_mark
from osor_video.batch.plan import Planned
from osor_video.batch.worker import Task
from osor_video.errors import ConfigError

Event = Mapping[str, Any]
"""What happened, as plain values: ``event`` is begin, frame, parts, part, done, failed, again or worker, ``job`` the output."""
LOST_AT_START = 3
"""Workers lost in a row, before any was ready, after which no more are hired."""


@dataclass
class Course:
    """One job on its way. ``out`` of its ``parts`` are not done yet; ``lost`` counts the tries that failed."""

    number: int
    planned: Planned
    begun: float = 0.0
    lost: int = 0
    parts: tuple[tuple[int, int], ...] = ()
    out: int = 0
    spent_s: float = 0.0
    load_s: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    outcome: dict[str, Any] | None = None


class Batch:
    """Does the jobs of a plan that are not done; ``tell`` hears what happens.

    ``retries``: how often a job is tried again after its worker was lost or failed otherwise than by the user's input.
    ``split``: frames of a part that longer clips are split into; 0 does not split.
    """

    def __init__(
        self,
        plan: Sequence[Planned],
        out: Path,
        crew: Crew,
        tell: Callable[[Event], None],
        retries: int = 2,
        split: int = 0,
    ) -> None:
        self._out = out
        self._crew = crew
        self._tell = tell
        self._retries = retries
        self._split = split
        self._courses = [Course(number, planned) for number, planned in enumerate(plan)]
        self._waiting: deque[Task] = deque()
        self._idle: list[str] = []
        self._at: dict[str, Task] = {}
        self._unready = 0
        self.wall_s = 0.0
        self.workers = 0
        """Most that were ready at a time."""
        self._ready: set[str] = set()

    @property
    def courses(self) -> list[Course]:
        """All jobs; what came of each is in its ``outcome``, which stays None for those that were done before."""
        return self._courses

    def run(self, fresh: Callable[[], Sequence[Planned]] | None = None) -> list[Course]:
        """Do them all; with ``fresh``, which is asked for more again and again, without end.

        Raises ConfigError where no worker can begin. When it is interrupted, what is finished is kept, and the same list goes on.
        """
        begin = time.perf_counter()
        self._waiting.extend(
            self._first(course) for course in self._courses if course.planned.state != "done"
        )
        try:
            while self._waiting or self._at or fresh is not None:
                for planned in fresh() if fresh is not None else ():
                    self._courses.append(Course(len(self._courses), planned))
                    self._waiting.append(self._first(self._courses[-1]))
                self._hand_out()
                for news in self._crew.news():
                    self._hear(news)
        finally:
            self.wall_s = time.perf_counter() - begin
        return self._courses

    def _first(self, course: Course) -> Task:
        planned, given = course.planned, dict(course.planned.given)
        if planned.apart and self._split > 0 and planned.frames > self._split + self._split // 2:
            return Task(course.number, given, stage="follow", split=self._split)
        return Task(course.number, given)

    def _hand_out(self) -> None:
        while self._idle and self._waiting:
            task, worker = self._waiting.popleft(), self._idle.pop(0)
            course = self._courses[task.job]
            if not course.begun:
                course.begun = time.perf_counter()
                write_mark(self._out, course.planned.name, course.planned.mark())
                self._say("begin", course, worker=worker)
            self._at[worker] = task
            self._crew.give(worker, task)

    def _hear(self, news: News) -> None:
        if news.kind == "ready":
            self._unready = 0
            self._idle.append(news.worker)
            self._ready.add(news.worker)
            self.workers = max(self.workers, len(self._ready))
            where = news.what if isinstance(news.what, dict) else {"pid": news.what}
            self._tell({"event": "worker", "worker": news.worker, "ready": True, **where})
        elif news.kind == "frame":
            if news.worker in self._at:
                stage, done, total = news.what
                task = self._at[news.worker]
                where = {"part": task.parts[0]} if task.stage == "part" else {}
                told = {"stage": stage, "done": done, "total": total, **where}
                self._say("frame", self._courses[task.job], worker=news.worker, **told)
        elif news.kind == "ended":
            self._idle.append(news.worker)
            if news.worker in self._at:
                self._ended(self._at.pop(news.worker), news.what)
        else:
            self._lost(news)

    def _lost(self, news: News) -> None:
        """A worker is gone: what it was at is done by another."""
        self._tell({"event": "worker", "worker": news.worker, "ready": False, "why": str(news.what)})
        self._ready.discard(news.worker)
        if news.worker in self._idle:
            self._idle.remove(news.worker)
        task = self._at.pop(news.worker, None)
        if task is not None:
            self._again(task, f"its worker was lost ({news.what})", "")
            return
        self._unready += 1
        if self._unready >= LOST_AT_START and not self._at and not self._idle:
            raise ConfigError(
                f"{self._unready} workers were lost before they could begin ({news.what}). Run one job with remove to see why."
            )

    def _again(self, task: Task, why: str, trace: str) -> None:
        course = self._courses[task.job]
        course.lost += 1
        if course.lost > self._retries:
            self._failed(course, f"{why}, {course.lost} times in all" if course.lost > 1 else why, trace)
            return
        self._say("again", course, why=why)
        self._waiting.appendleft(task)

    def _ended(self, task: Task, outcome: dict[str, Any]) -> None:
        course = self._courses[task.job]
        if course.outcome is not None:
            return  # it has failed in another part
        if "failed" in outcome:
            if outcome["input"]:
                self._failed(course, outcome["failed"], outcome["trace"])
            else:
                self._again(task, outcome["failed"], outcome["trace"])
            return
        course.spent_s += outcome["wall_s"]
        course.load_s += outcome["load_s"]
        for stage, seconds in outcome.get("seconds", {}).items():
            course.seconds[stage] = course.seconds.get(stage, 0.0) + seconds
        if task.stage == "follow":
            course.parts = tuple((begin, end) for begin, end in outcome["parts"])
            course.out = len(course.parts)
            self._say("parts", course, parts=outcome["parts"])
            # Before other clips, so that those who wait for this one do not wait longer.
            self._waiting.extendleft(
                replace(task, stage="part", parts=(part,)) for part in reversed(course.parts)
            )
        elif task.stage == "part":
            course.out -= 1
            self._say("part", course, part=task.parts[0], wall_s=round(outcome["wall_s"], 3))
        else:
            self._done(course, outcome)
            return
        if not course.out:
            self._waiting.appendleft(replace(task, stage="join", parts=course.parts))

    def _done(self, course: Course, outcome: dict[str, Any]) -> None:
        planned = course.planned
        whole = {
            "wall_s": course.spent_s,
            "load_s": course.load_s,
            "span_s": time.perf_counter() - course.begun,
        }
        course.outcome = {**outcome, **whole, "parts": len(course.parts)}
        seconds = course.outcome["report"]["seconds"]
        for stage, spent in course.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + spent
        written = tuple(tuple(item) for item in stamp(planned.output))
        mark = replace(planned.mark(), state="done", written=written, outcome=course.outcome)
        write_mark(self._out, planned.name, mark)
        self._say("done", course, wall_s=round(course.spent_s, 3), output=str(planned.output))

    def _failed(self, course: Course, why: str, trace: str) -> None:
        course.outcome = {"failed": why, "trace": trace}
        self._waiting = deque(task for task in self._waiting if task.job != course.number)
        self._say("failed", course, why=why)

    def _say(self, event: str, course: Course, **what: Any) -> None:
        self._tell({"event": event, "job": course.planned.name, **what})


def failed(courses: Sequence[Course]) -> Iterator[Course]:
    """Those that failed."""
    return (course for course in courses if course.outcome is not None and "failed" in course.outcome)

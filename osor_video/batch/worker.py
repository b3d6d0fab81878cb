"""What a worker does: whole clips, one after the other, with networks that it loads once."""

from __future__ import annotations

import base64
import json
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from osor_video.errors import OsorError

if TYPE_CHECKING:
    from osor_video.apps.removal import Job
    from osor_video.config import Config, FlowConfig, RemovalConfig
    from osor_video.pipeline import VideoRemover
    from osor_video.report import Progress, RunReport

HELD_S, AGAIN_S = 60.0, 1.0
"""How long a job whose output another run holds is tried again: a worker that was lost may take a moment to end."""
THUMBNAIL_PX = 320


@dataclass(frozen=True)
class Task:
    """Something for a worker, as plain values: the job's number, the arguments of ``remove``, and whether to begin afresh.

    ``stage``: the whole clip; or of a long one the first pass, after which it falls into parts of about ``split`` frames, one
    ``part`` of it, and joining its ``parts``.
    """

    job: int
    given: Mapping[str, Any]
    afresh: bool = False
    stage: Literal["whole", "follow", "part", "join"] = "whole"
    split: int = 0
    parts: tuple[tuple[int, int], ...] = ()


class Networks:
    """The networks of a worker; a job whose settings name the same ones finds them loaded."""

    def __init__(self) -> None:
        self._removal: tuple[RemovalConfig, Any] | None = None
        self._flow: tuple[FlowConfig, Any] | None = None
        self._features: Any = None
        self.load_s = 0.0

    def remover(self, config: Config) -> VideoRemover:
        """What removes by ``config``; raises as ``VideoRemover.from_config``."""
        from osor_video.flow.weights import build_flow  # noqa: PLC0415  (loads torch)
        from osor_video.masks.build import check_sam2  # noqa: PLC0415
        from osor_video.masks.features import build_features  # noqa: PLC0415
        from osor_video.pipeline import VideoRemover  # noqa: PLC0415
        from osor_video.removal.choose import build_model  # noqa: PLC0415
        from osor_video.removal.remover import OneStepRemover  # noqa: PLC0415

        begin = time.perf_counter()
        check_sam2(config.mask)
        if self._removal is None or self._removal[0] != config.removal:
            self._removal = None  # a GPU may hold one model only
            self._removal = config.removal, build_model(config.removal)
        if self._flow is None or self._flow[0] != config.flow:
            self._flow = config.flow, build_flow(config.flow)
        self._features = self._features or build_features()
        self.load_s += time.perf_counter() - begin
        model = OneStepRemover(self._removal[1], config.removal, config.seed)
        return VideoRemover(self._flow[1], self._features, model, config)


class Worker:
    """Does tasks on ``threads`` threads. Whatever a task fails of is told, and the worker lives on."""

    def __init__(self, threads: int) -> None:
        from osor_video.removal.model import quiet_libraries  # noqa: PLC0415  (loads diffusers)

        quiet_libraries()
        self._threads = threads
        self._networks = Networks()

    def run(self, task: Task, tell: Progress) -> dict[str, Any]:
        """Do it; ``tell`` hears of every frame. What came of it, as plain values: ``failed`` with a sentence, or the figures."""
        begin, loaded = time.perf_counter(), self._networks.load_s
        try:
            outcome = self._patiently(task, tell)
        except OsorError as error:
            return {"failed": str(error), "trace": "", "input": True}
        except Exception as error:  # noqa: BLE001  (whatever one job dies of, the others go on)
            reason = _reason(error)
            return {"failed": reason, "trace": traceback.format_exc(), "input": False}
        spent = time.perf_counter() - begin
        return {**outcome, "wall_s": spent, "load_s": self._networks.load_s - loaded}

    def _patiently(self, task: Task, tell: Progress) -> dict[str, Any]:
        """Try again while another run, most likely one that is just ending, holds the output."""
        from osor_video.work.folder import HeldElsewhereError, OtherRunError  # noqa: PLC0415  (loads torch)

        until, afresh = time.monotonic() + HELD_S, task.afresh
        while True:
            try:
                return self._clip(replace(task, afresh=afresh), tell)
            except OtherRunError:
                if afresh:
                    raise
                # Begun with other settings, or elsewhere: what is left of it would not fit.
                afresh = True
            except HeldElsewhereError:
                if time.monotonic() > until:
                    raise
                time.sleep(AGAIN_S)

    def _clip(self, task: Task, tell: Progress) -> dict[str, Any]:
        from osor_video.apps.asked import removal_job  # noqa: PLC0415  (loads cv2)
        from osor_video.apps.removal import remove_clip  # noqa: PLC0415
        from osor_video.segments import join_parts  # noqa: PLC0415

        how = {"resume": not task.afresh, "restart": task.afresh, "threads": self._threads, "quiet": True}
        job = removal_job({**task.given, **how})
        job.output.parent.mkdir(parents=True, exist_ok=True)
        if task.stage in ("follow", "part"):
            return self._partly(task, job, tell)
        if task.stage == "join":
            join_parts(self._build(job), job.source, job.marks, job.output, task.parts, job.regions)
        report = remove_clip(job, self._build, tell)
        values = json.loads(report.to_json())
        return {"report": values, "pictures": pictures_of(job.source, job.output, shown_frame(report))}

    def _partly(self, task: Task, job: Job, tell: Progress) -> dict[str, Any]:
        """The first pass, which says what parts there are, or one part."""
        from osor_video.segments import finish_part, follow_clip, parts_of  # noqa: PLC0415  (loads torch)

        remover = self._build(job)
        whole = remover, job.source, job.marks, job.output
        if task.stage == "part":
            return {"seconds": finish_part(*whole, task.parts[0], job.regions, tell)}
        followed = follow_clip(*whole, job.regions, tell, job.unfinished)
        parts = [] if followed.finished else parts_of(followed.shots, task.split, remover.remover.batch)
        return {"parts": [list(part) for part in parts], "seconds": followed.seconds}

    def _build(self, job: Job) -> VideoRemover:
        import cv2  # noqa: PLC0415
        import torch  # noqa: PLC0415

        torch.set_num_threads(self._threads)
        cv2.setNumThreads(self._threads)
        return self._networks.remover(job.config)


def shown_frame(report: RunReport) -> int:
    """A frame that shows what was done: the middle of the longest shot in which anything was removed."""
    begins = [0, *report.cuts]
    shots = [range(begin, end) for begin, end in zip(begins, [*report.cuts, report.frames], strict=True)]
    touched = [shot for shot in shots if shot.start not in report.untouched] or shots
    longest = max(touched, key=len)
    return longest[len(longest) // 2]


def pictures_of(clip: Path, output: Path, frame: int) -> dict[str, Any]:
    """Frame number ``frame`` before and after, small, as JPEG in base64."""
    return {"frame": frame, "before": _small(clip, frame), "after": _small(output, frame)}


def _small(path: Path, frame: int) -> str:
    from contextlib import closing  # noqa: PLC0415

    import cv2  # noqa: PLC0415

    from osor_video.config import DecodeConfig  # noqa: PLC0415
    from osor_video.video.orient import to_shown  # noqa: PLC0415
    from osor_video.video.planes import planes_to_rgb  # noqa: PLC0415
    from osor_video.video.reader import read_from  # noqa: PLC0415
    from osor_video.video.source import open_source  # noqa: PLC0415

    source = open_source(path, DecodeConfig())
    with closing(read_from(source, frame)) as frames:
        picture = to_shown(planes_to_rgb(next(frames).planes, source.color), source.rotation)
    height_px = max(1, round(picture.shape[0] * THUMBNAIL_PX / picture.shape[1]))
    small = cv2.resize(picture, (THUMBNAIL_PX, height_px), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    assert done  # a picture of 8 bit
    return base64.b64encode(data.tobytes()).decode("ascii")


def _reason(error: Exception) -> str:
    """A sentence for an error that is none of ours."""
    import typer  # noqa: PLC0415

    if isinstance(error, typer.Exit):
        return "The output is not what was asked for: it was to be lossless and is not."
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

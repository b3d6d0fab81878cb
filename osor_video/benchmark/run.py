"""Measure a remover on cases; results are read back from lossless files: no codec's loss is counted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from osor_video.benchmark.baselines import BASELINES
from osor_video.benchmark.cases import Case, pictures_of, true_frames
from osor_video.benchmark.metrics import Scorer, Scores
from osor_video.config import Config
from osor_video.masks.seed import PictureSeed
from osor_video.pipeline import VideoRemover
from osor_video.report import Progress, RunReport, silent


@dataclass(frozen=True)
class Outcome:
    """Scores of one method on one case; ``report`` is None for a baseline."""

    case: str
    method: str
    scores: Scores
    report: RunReport | None


def measure(case: Case, remover: VideoRemover, method: str, progress: Progress = silent) -> list[Outcome]:
    """The remover's outcome on ``case``, then the baselines'."""
    lossless = remover.config.encode.model_copy(update={"lossless": True})
    exact = VideoRemover(
        remover.flow,
        remover.features,
        remover.remover,
        remover.config.model_copy(update={"encode": lossless}),
    )
    with TemporaryDirectory() as folder:
        result = Path(folder) / "result.mkv"
        report = exact.remove(case.clip, PictureSeed(case.first), result, progress)
        return score(case, result, method, report)


def score(case: Case, result: Path, method: str, report: RunReport) -> list[Outcome]:
    """Compare the video ``result`` and the baselines with the truth, in one pass over the case."""
    ours = Scorer()
    others = {name: Scorer() for name in BASELINES}
    with closing(pictures_of(result)) as pictures:
        for frame, picture in zip(true_frames(case), pictures, strict=True):
            ours.add(frame.shot, frame.clean, frame.mask, picture)
            for name, baseline in BASELINES.items():
                others[name].add(frame.shot, frame.clean, frame.mask, baseline(frame))
    baselines = [Outcome(case.name, name, scorer.scores(), None) for name, scorer in others.items()]
    return [Outcome(case.name, method, ours.scores(), report), *baselines]


def measure_all(
    cases: Sequence[Case], config: Config, method: str, progress: Progress = silent
) -> list[Outcome]:
    """Every case with one remover, loaded once."""
    remover = VideoRemover.from_config(config)
    return [outcome for case in cases for outcome in measure(case, remover, method, progress)]

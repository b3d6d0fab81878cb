"""Measure a remover on cases; results are read back from lossless files: no codec's loss is counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from osor_video.benchmark.baselines import peers_for
from osor_video.benchmark.cases import Case, TrueFrame, pictures_of, true_frames
from osor_video.benchmark.gallery import Gallery
from osor_video.benchmark.metrics import Scorer, Scores
from osor_video.benchmark.speed import lengthened
from osor_video.benchmark.variants import changed, variants
from osor_video.config import Config
from osor_video.masks.features import RecognitionFeatures
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


@dataclass(frozen=True)
class Extent:
    """How much is measured beside the remover itself.

    ``peers``: every peer, not only the quick ones. ``ablations``: runs that leave a part out. ``frames``: at most so many of
    each case. ``pictures``: folder for strips, differences and slices over time. ``features``: how like the truth the hole is
    recognised, and how steadily; half a second a frame and method.
    """

    peers: bool = False
    ablations: bool = False
    frames: int | None = None
    pictures: Path | None = None
    features: bool = False


USUAL = Extent()
CEILING = "the camera itself"
"""The row of a case's ceiling."""


def measure(
    case: Case, remover: VideoRemover, method: str, progress: Progress = silent, extent: Extent = USUAL
) -> list[Outcome]:
    """The remover's outcome on ``case``, then those of its variants, then the baselines'."""
    lossless = changed(remover, {"encode": {"lossless": True}})
    runs = {method: lossless} | {
        name: changed(lossless, changes) for name, changes in variants(extent.peers, extent.ablations).items()
    }
    with TemporaryDirectory() as folder:
        clip = case.clip
        if extent.frames is not None:
            clip = lengthened(clip, extent.frames, Path(folder) / "first.mkv", lossless.config.encode)
        results, reports = {}, {}
        for number, (name, run) in enumerate(runs.items()):
            results[name] = Path(folder) / f"{number}.mkv"
            reports[name] = run.remove(clip, PictureSeed(case.first), results[name], progress)
        features = remover.features if extent.features else None
        return score(case, results, reports, extent, features)


def score(
    case: Case,
    results: dict[str, Path],
    reports: dict[str, RunReport],
    extent: Extent = USUAL,
    features: RecognitionFeatures | None = None,
) -> list[Outcome]:
    """Compare the videos ``results``, the case's ceiling and the baselines with the truth, in one pass over the case.

    Only with ``features`` the figures of features are worked out.
    """
    if case.ceiling is not None:
        results = results | {CEILING: case.ceiling}

    def frames() -> Iterator[TrueFrame]:
        return islice(true_frames(case), extent.frames)

    # Where the camera itself is measured it is what nobody can beat.
    peers = peers_for(frames, extent.peers, floors=case.ceiling is None)
    scorers = {name: Scorer(features) for name in (*results, *peers)}
    gallery = Gallery(case, frames) if extent.pictures else None
    with ExitStack() as stack:
        streams = {name: stack.enter_context(closing(pictures_of(path))) for name, path in results.items()}
        for frame in frames():
            shown = {name: next(stream) for name, stream in streams.items()}
            shown |= {name: peer(frame) for name, peer in peers.items()}
            for name, picture in shown.items():
                scorers[name].add(frame.shot, frame.clean, frame.mask, picture)
            if gallery:
                gallery.add(frame, shown)
    if gallery and extent.pictures:
        gallery.write(extent.pictures)
    return [Outcome(case.name, name, scorer.scores(), reports.get(name)) for name, scorer in scorers.items()]


def measure_all(
    cases: Sequence[Case],
    config: Config,
    method: str,
    progress: Progress = silent,
    extent: Extent = USUAL,
) -> list[Outcome]:
    """Every case with one remover, loaded once."""
    remover = VideoRemover.from_config(config)
    return [outcome for case in cases for outcome in measure(case, remover, method, progress, extent)]

"""The commands that measure and show: bench and strip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from osor_video.apps.exits import writing
from osor_video.apps.progress import shown_progress
from osor_video.apps.tables import show_tables
from osor_video.benchmark.cases import Case, cases_from_clips, cases_from_configs
from osor_video.benchmark.composites import Composite, make_case, read_composites
from osor_video.benchmark.davis import correct, open_sequences, track
from osor_video.benchmark.fidelity import measure_fidelity, quick_config
from osor_video.benchmark.fullsize import FullSizeJob, measure_encoders, measure_fullsize
from osor_video.benchmark.judge import judge_absent
from osor_video.benchmark.people import Person, empty_place, read_people
from osor_video.benchmark.people import make_case as make_person
from osor_video.benchmark.random_sdxl import UNETS, Scale, write_random_model
from osor_video.benchmark.run import Extent, measure_all
from osor_video.benchmark.speed import LENGTHS, measure_speed
from osor_video.benchmark.table import (
    DETAIL_HEADER,
    HEADER,
    PEOPLE_HEADER,
    correction_rows,
    detail_rows,
    encoder_rows,
    fidelity_rows,
    fullsize_rows,
    mask_rows,
    measured,
    people_rows,
    rows,
    speed_rows,
    stage_rows,
)
from osor_video.config import Config, RemovalConfig
from osor_video.errors import ConfigError
from osor_video.flow.weights import build_flow
from osor_video.masks.features import build_features
from osor_video.pipeline import VideoRemover
from osor_video.removal.model import quiet_libraries
from osor_video.removal.sdxl import SdxlBackbone

CASES = Path("configs/benchmark")
COMPOSITES = CASES / "composites"
PEOPLE = CASES / "people"
Named = TypeVar("Named", Case, Composite, Person)


def chosen_cases(clips: Path | None, names: Sequence[str]) -> list[Case]:
    """The cases of ``configs/benchmark`` or of the folder ``clips``; where given, only those of ``names``."""
    return _named(cases_from_clips(clips) if clips else cases_from_configs(CASES), names)


@contextmanager
def quality_cases(clips: Path | None, sequences: Path | None, names: Sequence[str]) -> Iterator[list[Case]]:
    """As ``chosen_cases``; or what the recipes of ``configs/benchmark/composites`` make of the DAVIS-like folder ``sequences``.

    Those are gone after the block.
    """
    if sequences is None:
        yield chosen_cases(clips, names)
        return
    recipes = _named(read_composites(COMPOSITES), names)
    with TemporaryDirectory() as folder:
        yield [make_case(recipe, sequences, Path(folder)) for recipe in recipes]


@contextmanager
def people_cases(clip: Path, names: Sequence[str]) -> Iterator[list[Case]]:
    """What the recipes of ``configs/benchmark/people`` make of the still camera's ``clip``, gone after the block."""
    recipes = _named(read_people(PEOPLE), names)
    place = empty_place(clip)
    with TemporaryDirectory() as folder:
        yield [make_person(recipe, clip, place, Path(folder)) for recipe in recipes]


def _named(all_of_them: list[Named], names: Sequence[str]) -> list[Named]:
    """Those of ``names``; all, where none is named."""
    known = {item.name: item for item in all_of_them}
    for name in names:
        if name not in known:
            raise ConfigError(f"There is no case {name!r}, expected one of: {', '.join(known)}.")
    return [known[name] for name in names] if names else all_of_them


def measure_quality(
    cases: Sequence[Case], config: Config, method: str, markdown_file: Path | None, extent: Extent
) -> None:
    """Print, and where asked for write, the tables of quality and the share of each stage."""
    quiet_libraries()
    with shown_progress(quiet=False) as progress:
        outcomes = measure_all(cases, config, method, progress, extent)
    runs = [
        (outcome.case, outcome.report) for outcome in outcomes if outcome.report and outcome.method == method
    ]
    tables = [("Quality", HEADER, rows(outcomes)), ("Time", *stage_rows(runs))]
    show_tables([*tables, ("In detail", *measured(DETAIL_HEADER, detail_rows(outcomes)))], markdown_file)


def measure_people(
    clip: Path, names: Sequence[str], config: Config, method: str, markdown_file: Path | None, extent: Extent
) -> None:
    """Print, and where asked for write, how near the places come to what the still camera of ``clip`` shows itself."""
    quiet_libraries()
    with people_cases(clip, names) as cases, shown_progress(quiet=False) as progress:
        outcomes = measure_all(cases, config, method, progress, extent)
    show_tables([("Still camera", PEOPLE_HEADER, people_rows(outcomes))], markdown_file)


def measure_lengths(
    case: Case,
    config: Config,
    markdown_file: Path | None,
    lengths: Sequence[int],
    size_hw: tuple[int, int] | None,
) -> None:
    """Print, and where asked for write, speed and memory against length; frames are scaled to ``size_hw`` where given."""
    runs = [measure_speed(case.clip, case.first, config, frames, size_hw) for frames in lengths or LENGTHS]
    show_tables([(f"Speed on {case.name}", *speed_rows(runs))], markdown_file)


def measure_sources(markdown_file: Path | None) -> None:
    """Print, and where asked for write, what comes through of each generated source, as FFmpeg's programs see it."""
    absent = judge_absent()
    if absent:
        raise ConfigError(f"--sources is judged by FFmpeg's own programs: {absent}.")
    quiet_libraries()
    remover = VideoRemover.from_config(quick_config())
    with shown_progress(quiet=False) as progress:
        found = measure_fidelity(remover, progress=progress)
    show_tables([("Sources", *fidelity_rows(found))], markdown_file)


def measure_masks(
    folder: Path, names: Sequence[str], config: Config, markdown_file: Path | None, *, corrections: bool
) -> None:
    """Print, and where asked for write, how well masks hold on the sequences of a DAVIS-like folder.

    With ``corrections`` each sequence is followed once more with the true mask of its worst frame.
    """
    sequences = open_sequences(folder, list(names))
    flow, features = build_flow(config.flow), build_features()
    with shown_progress(quiet=False) as progress:
        runs = [track(sequence, flow, features, config, progress) for sequence in sequences]
        tables = [(f"Masks with {flow.name}", *mask_rows(runs))]
        if corrections:
            again = [
                correct(run, sequence, flow, features, config, progress)
                for run, sequence in zip(runs, sequences, strict=True)
            ]
            tables.append(("One correction", *correction_rows(list(zip(runs, again, strict=True)))))
    show_tables(tables, markdown_file)


def measure_fullsize_model(
    removal: RemovalConfig, scale: str, frames: int, markdown_file: Path | None, model_folder: Path | None
) -> None:
    """Print, and where asked for write, our path against the plain loop at SDXL's size with random weights.

    With ``model_folder`` nothing is measured: a model of random weights is written there.
    """
    if removal.model != "osor-sdxl":
        raise ConfigError(f"--random-weights measures --model osor-sdxl, and the model is {removal.model}.")
    if scale not in UNETS:
        raise ConfigError(f"--scale is {scale!r}, expected one of: {', '.join(UNETS)}.")
    size: Scale = "full" if scale == "full" else "tiny"
    if model_folder is not None:
        with writing(model_folder):
            write_random_model(model_folder, size)
        return
    job = FullSizeJob(
        size,
        removal.published_raster_px or SdxlBackbone.raster_px,
        frames,
        removal.batch,
        removal.device,
        removal.dtype,
        removal.compile,
    )
    sides = f"SDXL, {scale} size, random weights", *fullsize_rows(measure_fullsize(job))
    show_tables([sides, ("Text encoders, once a model", *encoder_rows(measure_encoders(job)))], markdown_file)

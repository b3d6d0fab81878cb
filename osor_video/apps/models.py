"""The commands around models: list them, fetch them, hold one against a recorded run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer

from osor_video.apps.progress import shown_progress
from osor_video.apps.tables import show_tables
from osor_video.errors import ConfigError, WeightsError
from osor_video.removal.catalogue import BUNDLED, MODELS, Published, bundled_model_path
from osor_video.removal.record import ModelRecord


def list_models() -> None:
    """Print every model with a name: licence, size, whether it is here; and what is missing of those begun."""
    show_tables([("Models", ("name", "licence", "size", "here"), list(_rows()))])
    for model in MODELS.values():
        typer.echo(f"{model.name}: {model.folder}")
        lacking = model.missing()
        if lacking and model.folder.exists():
            typer.echo("".join(f"  missing: {item}\n" for item in lacking), nl=False)
        if lacking:
            typer.echo(f"  fetch it: osor-video models fetch {model.name}")


def fetch_model(name: str, quiet: bool) -> str:
    """Fetch the model ``name``; returns what to say when it is whole."""
    if name == BUNDLED:
        raise ConfigError("The bundled model comes with the package; there is nothing to fetch.")
    if name not in MODELS:
        raise ConfigError(f"There is no model {name!r} to fetch, expected one of: {', '.join(MODELS)}.")
    from osor_video.removal.fetch import fetch  # noqa: PLC0415  (the hub's client)

    with shown_progress(quiet) as progress:
        folder = fetch(MODELS[name], progress)
    notice = MODELS[name].notice
    return f"{name} is whole: {folder}" + (f"\n{notice}" if notice else "")


def check_model(folder: Path, merge: bool) -> None:
    """Print the largest difference of every step to the folder's recorded run; WeightsError beyond the tolerance."""
    from osor_video.benchmark.parity import TOLERANCE, compare, reference_file  # noqa: PLC0415  (loads torch)
    from osor_video.removal.model import quiet_libraries  # noqa: PLC0415

    if not folder.is_dir():
        raise WeightsError(f"{folder} is no folder. Give one with base/, an adapter and a recorded run.")
    quiet_libraries()
    found = compare(folder, merge=merge)
    rows = [[item.step, f"{item.largest:.1e}", f"{item.magnitude:.3g}"] for item in found]
    title = f"{folder.name}: {reference_file(folder).name}"
    show_tables([(title, ("step", "largest difference", "largest value"), rows)])
    # Not "larger": a difference that is no number agrees with nothing.
    wrong = [item for item in found if not item.largest <= TOLERANCE]
    if wrong:
        raise WeightsError(
            f"{folder} does not agree with its recorded run: {wrong[0].step} differs by {wrong[0].largest:.1e}, expected "
            f"at most {TOLERANCE:.0e}."
        )


def _rows() -> Iterator[list[str]]:
    bundled = bundled_model_path()
    yield [BUNDLED, ModelRecord.read(bundled).licence, f"{_size_gb(bundled):.2f} GB", "yes"]
    for model in MODELS.values():
        lacking = model.missing()
        size = f"about {model.size_gb:.0f} GB" if lacking else f"{_size_gb(model.folder):.1f} GB"
        yield [model.name, model.licence, size, _presence(model)]


def _size_gb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def _presence(model: Published) -> str:
    if not model.missing():
        return "yes"
    return "in part" if model.folder.exists() else "no"

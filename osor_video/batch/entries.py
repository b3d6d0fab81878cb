"""Lists of jobs: YAML with ``defaults`` and ``jobs``, CSV with a column an option, or a folder of clips with masks beside them.

A job says ``clip`` and any option of ``remove``. Its files are relative to the list's folder, its ``output`` to that of the
results; ``{name}`` in a value stands for the clip's name without suffix, ``{out}`` for the folder of the results. A clip may be a
pattern (``shots/*.mp4``). What a job does not mark is looked for beside its clip: ``walk.yaml`` (options), ``walk.json`` (a
project), ``walk.mask.png``, ``walk.mask.mkv`` or the folder ``walk.mask``.
"""

from __future__ import annotations

import csv
import glob
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from osor_video.batch.options import CLIP, OUTPUT, RESULTS, named, options, placed, value_of
from osor_video.errors import ConfigError, OsorError
from osor_video.project import FORMAT, SUFFIX

MARKS = ("mask", "box", "polygon", "points", "boxes")
LISTS = (".yaml", ".yml", ".csv")
VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mxf", ".ts", ".mpg", ".mpeg", ".wmv")
WRITABLE = (".mp4", ".mov", ".m4v", ".mkv", ".webm")
MASKS = (".png", ".jpg", ".tif", ".tiff", ".bmp", ".mkv", ".mp4", ".mov")
SEPARATOR = ";"
"""Between several values in a cell of a CSV."""


@dataclass(frozen=True)
class Entry:
    """One job as the arguments of ``remove``; ``where`` says for people which one it is."""

    where: str
    given: Mapping[str, Any]


@dataclass(frozen=True)
class Listed:
    """The jobs of a list, and a sentence for each entry that is none."""

    entries: tuple[Entry, ...]
    complaints: tuple[str, ...]


def read_jobs(source: Path, out: Path, typed: Mapping[str, Any]) -> Listed:
    """The jobs that ``source`` lists: a YAML or CSV file, or a folder of clips; results go to ``out``.

    ``typed`` are options of ``remove`` for all of them, over the list's ``defaults``, under what a job says itself.
    Raises ConfigError where the list as a whole cannot be read or is empty.
    """
    source, out = source.absolute(), out.absolute()
    if not source.exists():
        raise ConfigError(f"The list {source} does not exist. Give a YAML or CSV file, or a folder of clips.")
    if source.is_dir():
        rows: Sequence[Any] = [{CLIP: str(clip)} for clip in clips_in(source)]
        base, home = dict(typed), source
        if not rows:
            raise ConfigError(f"The folder {source} has no clips. Expected files such as walk.mp4.")
    else:
        base, rows = _read_list(source)
        base, home = _joined(base, typed), source.parent
    entries: list[Entry] = []
    complaints: list[str] = []
    for number, row in enumerate(rows, start=1):
        where = source.name if source.is_dir() else f"{source.name}, job {number}"
        try:
            for where_one, clip, values in _expanded(row, where, home):
                try:
                    entries.append(Entry(where_one, _given(clip, base, values, where_one, home, out)))
                except OsorError as error:
                    complaints.append(str(error))
        except OsorError as error:
            complaints.append(str(error))
    return Listed(tuple(entries), (*complaints, *_clashes(entries)))


def entry_of(clip: Path, typed: Mapping[str, Any], out: Path) -> Entry:
    """The job of one clip by what lies beside it; ConfigError where nothing does."""
    given = _given(clip.absolute(), dict(typed), {}, clip.name, clip.absolute().parent, out.absolute())
    return Entry(clip.name, given)


def clips_in(folder: Path) -> list[Path]:
    """Clips and projects in a folder, in order of their names; masks and the projects beside a clip are none."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    clips = [path for path in files if path.suffix.lower() in VIDEOS and not path.stem.endswith(".mask")]
    stems = {path.stem for path in clips}
    projects = [
        path for path in files if path.suffix == SUFFIX and path.stem not in stems and is_project(path)
    ]
    return sorted([*clips, *projects])


def beside(clip: Path) -> dict[str, Any]:
    """What lies beside a clip to say how it is to be worked on, as options of a job; ConfigError for a job file that is none."""
    found: dict[str, Any] = {}
    for suffix in (".yaml", ".yml"):
        if (job := clip.with_suffix(suffix)).is_file():
            found = _read_yaml(job)
            found = {key: _beside(job, key, value) for key, value in found.items()}
            break
    if any(key in found for key in MARKS):
        return found
    project = clip.with_suffix(SUFFIX)
    if clip.suffix != SUFFIX and project.is_file() and is_project(project):
        return {**found, CLIP: str(project)}
    masks = [clip.with_name(f"{clip.stem}.mask{suffix}") for suffix in ("", *MASKS)]
    there = next((path for path in masks if path.exists()), None)
    return found if there is None else {**found, "mask": [str(there)]}


def is_project(path: Path) -> bool:
    """Whether a JSON file is a project of the desk."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and values.get("format") == FORMAT


def _read_list(path: Path) -> tuple[dict[str, Any], Sequence[Any]]:
    """The defaults and the entries of a file."""
    suffix = path.suffix.lower()
    if suffix not in LISTS:
        raise ConfigError(
            f"The list {path} ends in {path.suffix!r}, expected one of {', '.join(LISTS)}, or a folder."
        )
    if suffix == ".csv":
        return {}, _read_csv(path)
    values = _read_yaml(path)
    unknown = [str(key) for key in values if key not in ("defaults", "jobs")]
    jobs, defaults = values.get("jobs"), values.get("defaults") or {}
    if unknown or not isinstance(jobs, list) or not jobs or not isinstance(defaults, dict):
        extra = f" It has {', '.join(unknown)}." if unknown else ""
        raise ConfigError(
            f"The list {path} is none.{extra} Expected jobs: with a list of entries such as - clip: walk.mp4, and, if wanted, "
            "defaults: with options for all of them."
        )
    return _joined({}, {_key(key, f"{path.name}, defaults"): value for key, value in defaults.items()}), jobs


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds {type(values).__name__}, expected lines such as clip: walk.mp4.")
    return {str(key): value for key, value in values.items()}


def _read_csv(path: Path) -> list[dict[str, Any]]:
    """Rows by column; empty cells are not given, several values are parted by semicolons."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read as CSV: {error}") from error
    if not rows:
        raise ConfigError(
            f"{path} has no rows. Expected a line of options such as clip,mask and a line for each job."
        )

    def cell(key: str, text: str) -> Any:
        option = options().get(key.strip().replace("-", "_"))
        return [part.strip() for part in text.split(SEPARATOR)] if option and option.many else text.strip()

    return [
        {
            str(key): cell(str(key), text)
            for key, text in row.items()
            if isinstance(text, str) and text.strip()
        }
        | ({"more cells than columns": row[None]} if None in row else {})
        for row in rows
    ]


def _expanded(row: Any, where: str, home: Path) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """Each clip that an entry means, with what it says; ConfigError for an entry that is none."""
    if not isinstance(row, Mapping):
        raise ConfigError(f"{where} is {row!r}, expected options such as clip: walk.mp4.")
    values = {_key(str(key), where): value for key, value in row.items()}
    text = values.pop(CLIP, None)
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(
            f"{where} names no clip. Expected clip: walk.mp4, or a pattern such as clip: shots/*.mp4."
        )
    path = home / text
    if path.exists() or not glob.has_magic(text):
        yield f"{where} ({path.name})" if path.name not in where else where, path, values
        return
    names = glob.glob(text, root_dir=home, recursive=True)  # noqa: PTH207  (that of Path takes no absolute pattern)
    found = [home / name for name in sorted(names)]
    clips = [clip for clip in found if clip.is_file() and not clip.stem.endswith(".mask")]
    if not clips:
        raise ConfigError(f"{where} has clip: {text}, which fits no file in {home}. Check the pattern.")
    for clip in clips:
        yield f"{where} ({clip.name})", clip, values


def _given(
    clip: Path, base: Mapping[str, Any], values: Mapping[str, Any], where: str, home: Path, out: Path
) -> dict[str, Any]:
    """The arguments of ``remove`` for one clip."""
    own = dict(values)
    if not any(key in own for key in MARKS):
        own = _joined({_key(key, where): value for key, value in beside(clip).items()}, own)
    project = Path(own.pop(CLIP, clip))
    if project.suffix != SUFFIX and not any(key in own for key in MARKS):
        raise ConfigError(
            f"{where} has nothing marked, and beside {clip} lies neither {clip.stem}.mask.png nor {clip.stem}{SUFFIX}, a project. "
            "Put one there, or give mask, box, polygon or points."
        )
    stem = _stem(clip)
    given = {option.name: option.default for option in options().values()}
    for key, value in _joined(base, own).items():
        option = options()[key]
        filled = _filled(value_of(option, value, where), stem, out)
        given[key] = placed(option, filled, home)
    given[CLIP] = project
    given[OUTPUT] = out / _output(given[OUTPUT], project, where)
    return given


def _output(wanted: Path | None, clip: Path, where: str) -> Path:
    """The name of the result within its folder."""
    if wanted is not None:
        if wanted.is_absolute() or ".." in wanted.parts:
            raise ConfigError(
                f"{where} has output: {wanted}, expected a name within the folder of -o, such as day1/{wanted.name}."
            )
        return wanted
    if "%" in clip.name or "#" in clip.name:
        return Path(_stem(clip)) / clip.name
    if clip.suffix == SUFFIX:
        from osor_video.project import Project  # noqa: PLC0415

        return Path(f"{clip.stem}{Project.read(clip).container}")
    return Path(clip.name if clip.suffix.lower() in WRITABLE else f"{clip.stem}.mkv")


def _stem(clip: Path) -> str:
    """The clip's name without suffix; of a sequence what stands before its numbers, or its folder's."""
    stem = clip.stem.split("%")[0].split("#")[0].rstrip("._- ")
    return stem or clip.parent.name


def _filled(value: Any, name: str, out: Path) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_filled(item, name, out) for item in value)
    if isinstance(value, str | Path):
        return type(value)(str(value).replace("{name}", name).replace(RESULTS, str(out)))
    return value


def _joined(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid over ``under``; settings add up, the later ones count."""
    joined = {**under, **{key: value for key, value in over.items() if value is not None}}
    both = [values["settings"] for values in (under, over) if values.get("settings")]
    if len(both) == 2:
        option = options()["settings"]
        joined["settings"] = [text for values in both for text in value_of(option, values, "the list")]
    return joined


def _key(key: str, where: str) -> str:
    return named(key, where).name


def _beside(job: Path, key: str, value: Any) -> Any:
    """A value of a job file, whose files are relative to it."""
    option = named(key, str(job))
    return placed(option, value_of(option, value, str(job)), job.parent)


def _clashes(entries: Sequence[Entry]) -> list[str]:
    """A sentence for each output that several jobs would write."""
    by_output: dict[Path, list[str]] = {}
    for entry in entries:
        by_output.setdefault(entry.given[OUTPUT], []).append(entry.where)
    return [
        f"{' and '.join(names)} would both write {output}. Give each an output of its own, such as output: {{name}}_2.mp4."
        for output, names in by_output.items()
        if len(names) > 1
    ]

"""What a batch writes down of each job in ``OUT/.osor-batch/``: begun or done, as which job, and what came of it.

A job is the same job while its clip, masks, settings and options are; where its files lie, and how many workers there are, is not
a part of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from osor_video.batch.options import CLIP, OUTPUT, options
from osor_video.video.sequence import is_pattern, sequence_files
from osor_video.work.folder import work_path, write_whole
from osor_video.work.identity import FREE, Identity, differences, fingerprint, flattened

FOLDER = ".osor-batch"
BY_CONTENT = ("background.plate", "flow.weights", "removal.model")
"""Settings that name files."""
State = Literal["to do", "unfinished", "changed", "done"]
Stamp = list[list[Any]]
"""Name, size and time of change of each file."""


@dataclass(frozen=True)
class Mark:
    """What is written down of one job. ``outcome`` is empty until it is done."""

    identity: Identity
    clip: Stamp
    state: Literal["begun", "done"] = "begun"
    written: tuple[tuple[Any, ...], ...] = ()
    outcome: Mapping[str, Any] | None = None


def mark_path(out: Path, name: str) -> Path:
    """Where the mark of the job is that writes ``name``."""
    return out / FOLDER / f"{name.replace('/', '~').replace(chr(92), '~')}.json"


def read_mark(out: Path, name: str) -> Mark | None:
    """What is written down of a job; None where nothing is, or nothing that can be read: then it is done again."""
    try:
        return Mark(**json.loads(mark_path(out, name).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_mark(out: Path, name: str, mark: Mark) -> None:
    """Write it down; it is there whole or not at all."""
    path = mark_path(out, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(vars(mark)).encode())


def stamp(path: Path) -> Stamp:
    """Size and time of the file, or of every picture of a sequence; empty where there is none."""
    if is_pattern(path) and not path.exists():
        files = sequence_files(path) if path.parent.is_dir() and any(path.parent.iterdir()) else []
    else:
        files = [path] if path.is_file() else []
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def identify_job(job: Any, given: Mapping[str, Any], out: Path, before: Mark | None) -> Identity:
    """The identity of a job (``apps.removal.Job``, made of ``given``): files by their content, everything else by its value.

    A clip of the size and time that ``before`` noted is not read again.
    """
    same = before is not None and before.clip == stamp(job.source)
    clip = before.identity.get("the clip") if before and same else None
    config = job.config
    project = job.source != given[CLIP]
    settings = config.model_dump(mode="json", exclude={*FREE})
    paths = [path for path in (config.background.plate, config.flow.weights) if path is not None]
    return {
        "the clip": clip or fingerprint(_files(job.source)),
        "the mask, box, polygon or points": fingerprint([job.marks, given[CLIP] if project else None]),
        "the regions of effect_mask or keep": fingerprint(job.regions),
        "the plate or the flow's weights": fingerprint(
            [path if path.exists() else str(path) for path in paths]
        ),
        "the model": _model(config.removal.model_dump_json()),
        "the options": _told(given, out),
        **{key: value for key, value in flattened(settings).items() if key not in BY_CONTENT},
    }


def state_of(output: Path, name: str, identity: Identity, mark: Mark | None) -> tuple[State, str]:
    """What is still to be done for ``output``, and why it is to be done again where it was done before."""
    unfinished = work_path(output).exists()
    there = stamp(output)
    if mark is None:
        return ("unfinished" if unfinished else "to do"), ""
    differing = differences(mark.identity, json.loads(json.dumps(identity)))
    if differing:
        return "changed", differing
    if mark.state == "done" and there:
        return "done", ""
    return ("unfinished" if unfinished else "to do"), ""


def foreign(output: Path, mark: Mark | None) -> str:
    """Why ``output`` is not to be overwritten, as a sentence; empty where nothing stands against it."""
    there = stamp(output)
    if not there or (mark is not None and mark.state == "begun"):
        return ""
    if mark is None:
        return f"{output} is there already, and no batch wrote it. Move it away, or give another folder for the results."
    if [list(item) for item in mark.written] != there:
        return f"{output} was changed since the batch wrote it. Move it away to have it made again."
    return ""


def _files(clip: Path) -> Any:
    return sequence_files(clip) if is_pattern(clip) and not clip.exists() else clip


def _told(given: Mapping[str, Any], out: Path) -> str:
    """Options that are neither settings nor marks, such as files that are to be written beside the clip."""
    from osor_video.apps.asked import SETTINGS, SWITCHES  # noqa: PLC0415

    known = {
        *SETTINGS,
        *SWITCHES,
        CLIP,
        OUTPUT,
        "mask",
        "preset",
        "config",
        "settings",
        "effect_mask",
        "keep",
    }
    rest = {option.name: given.get(option.name) for option in options().values() if option.name not in known}
    run = ("resume", "restart", "threads", "quiet", "preview")
    said = [f"{name} {value}" for name, value in sorted(rest.items()) if value and name not in run]
    return "; ".join(said).replace(str(out), "{out}")


@cache
def _model(removal: str) -> str:
    """The chosen model: its name, and what its files are."""
    from osor_video.config import RemovalConfig  # noqa: PLC0415
    from osor_video.removal.choose import find_model  # noqa: PLC0415  (loads torch)

    found = find_model(RemovalConfig.model_validate_json(removal))
    if isinstance(found, Path):
        return f"{found.name} {fingerprint(found)}"
    # A base has gigabytes and is never trained in place; an adapter may be.
    return f"{found.name} {found.base} {fingerprint(found.adapter)}"

"""What makes two runs the same run: the source, what is marked in it, the settings, the networks and the programs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from osor_video import __version__
from osor_video.config import Config
from osor_video.masks.marks import Marks
from osor_video.masks.region import Regions
from osor_video.removal.record import ModelRecord
from osor_video.video.probe import SourceInfo
from osor_video.video.sequence import is_pattern, sequence_files

Identity = dict[str, Any]
"""Plain values by name, each a string, a number, or None."""
FREE = ("checkpoint_s",)
"""Settings that change nothing of the result."""
TOLD = 3
"""Differences that are named; the rest is counted."""


def identify(
    source: SourceInfo,
    marks: Marks,
    regions: Regions,
    config: Config,
    flow: str,
    record: ModelRecord,
    batch: int,
) -> Identity:
    """The identity of a run: files by their content, wherever they lie, everything else by its value.

    ``batch`` is how many frames the network sees together, which may have been chosen by what memory was free: whoever goes on
    with the run can ask for the same number.
    """
    settings = flattened(config.model_dump(mode="json", exclude=set(FREE))) | {"removal.batch": batch}
    given = (config.background.plate, config.flow.weights)
    return {
        "the clip": fingerprint(source.files or source.path),
        "the mask, box, polygon or points": fingerprint(marks),
        "the regions of --effect-mask or --keep": fingerprint(regions),
        "the plate or the flow's weights": fingerprint([path for path in given if path is not None]),
        "the flow": flow,
        "the model": f"{record.name} {fingerprint(record.model_dump(mode='json'))}",
        "threads": torch.get_num_threads(),
        "the graphics card": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "osor-video": __version__,
        # What computes and encodes: another version may round otherwise.
        "torch": torch.__version__,
        "OpenCV": cv2.__version__,
        "NumPy": np.__version__,
        "PyAV": version("av"),
        **settings,
    }


def differences(old: Identity, new: Identity) -> str:
    """What differs, as a part of a sentence; empty where nothing does."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    told = [_difference(name, old.get(name), new.get(name)) for name in names[:TOLD]]
    if len(names) > TOLD:
        told.append(f"{len(names) - TOLD} more")
    return "; ".join(told)


def fingerprint(value: Any) -> str:
    """SHA-256 over a value: of a path the content it leads to, of a dataclass its fields, of an array its samples."""
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()


def _difference(name: str, old: Any, new: Any) -> str:
    if isinstance(old, str) and isinstance(new, str) and len(new) >= 64:
        return f"{name} is another one"
    return f"{name} was {old}, is {new}"


def _feed(digest: Any, value: Any) -> None:
    digest.update(f"<{type(value).__name__}>".encode())
    if isinstance(value, Path):
        _feed_path(digest, value)
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif is_dataclass(value):
        for field in fields(value):
            digest.update(field.name.encode())
            _feed(digest, getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _feed(digest, (key, item))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for item in value:
            _feed(digest, item)
    else:
        digest.update(repr(value).encode())


def _feed_path(digest: Any, path: Path) -> None:
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
    else:
        files = sequence_files(path) if is_pattern(path) and not path.exists() else [path]
    for file in files:
        digest.update(str(file.relative_to(path) if path.is_dir() else ".").encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())


def flattened(values: Mapping[str, Any], above: str = "") -> Identity:
    """Settings by dotted key."""
    flat: Identity = {}
    for key, value in values.items():
        name = f"{above}{key}"
        flat |= flattened(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat

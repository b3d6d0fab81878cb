"""The parts of a base in diffusers' layout: loaded whole, every weight accounted for."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from osor_video.errors import WeightsError

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
STORED = {"F16": torch.float16, "BF16": torch.bfloat16}
"""By their names in a safetensors file."""
HALF = "fp16"
"""How diffusers marks the files of a base stored in half precision."""


def check_base_name(base: str, wanted: str) -> None:
    """WeightsError unless ``base`` is a folder or reads like a name on the hub; ``wanted`` says what to give."""
    if not Path(base).is_dir() and not HUB_NAME.fullmatch(base):
        raise WeightsError(f"The base {base} is neither a folder nor a name on the hub. {wanted}")


def load_part(
    kind: Any,
    base: str,
    name: str,
    wanted: str,
    dtype: torch.dtype | None = torch.float32,
    *,
    offline: bool = False,
) -> Any:
    """``base/name`` as a ``kind`` of diffusers, in ``dtype`` (None: as stored); the files in half precision where there are no
    others.

    WeightsError where it cannot be read (``wanted`` says what to give), and where its file does not hold exactly the
    weights of its configuration: diffusers would make up what is missing.
    """
    folder = Path(base) / name
    _check_files(kind, folder)
    files = sorted(folder.glob("*.safetensors"))
    plain = [path for path in files if f".{HALF}." not in path.name]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # between the libraries, of arguments we never give
            network, info = kind.from_pretrained(
                base,
                subfolder=name,
                use_safetensors=True,
                torch_dtype=dtype or _stored_dtype(plain or files),
                output_loading_info=True,
                local_files_only=offline,
                # Weights are read from the file when they are used; nothing is made up first.
                low_cpu_mem_usage=True,
                **({"variant": HALF} if files and not plain else {}),
            )
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        raise WeightsError(
            f"The base {base} cannot be read: {' '.join(str(error).split())} {wanted}"
        ) from error
    for what in ("missing", "unexpected", "mismatched"):
        keys = list(info.get(f"{what}_keys") or ())
        if keys:
            named = ", ".join(str(key) for key in keys[:3])
            raise WeightsError(
                f"The base {base} is not whole: {len(keys)} {what} keys in {name}/ ({named}"
                f"{', ...' if len(keys) > 3 else ''}). Fetch it again."
            )
    return network.eval().requires_grad_(False)


def _stored_dtype(files: Sequence[Path]) -> torch.dtype:
    """That of the first weight in them."""
    for path in files:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  (the file is no mapping)
                return STORED.get(file.get_slice(name).get_dtype(), torch.float32)
    return torch.float32


def _check_files(kind: Any, folder: Path) -> None:
    """WeightsError where a folder describes another network than ``kind``, or a file of weights is cut short."""
    try:
        described = json.loads((folder / "config.json").read_bytes()).get("_class_name", kind.__name__)
    except (OSError, ValueError, AttributeError):
        described = kind.__name__  # loading says what is wrong with it
    if described != kind.__name__:
        raise WeightsError(f"{folder} holds a {described}, expected a {kind.__name__}.")
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except (OSError, SafetensorError) as error:
            raise WeightsError(
                f"{path} cannot be read: it is damaged or not whole. Fetch it again."
            ) from error

"""The parts of a base in diffusers' layout: loaded whole, every weight accounted for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from osor_video.errors import WeightsError

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
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
    dtype: torch.dtype = torch.float32,
    *,
    offline: bool = False,
) -> Any:
    """``base/name`` as a ``kind`` of diffusers, in ``dtype``; the files in half precision where there are no others.

    WeightsError where it cannot be read (``wanted`` says what to give), and where its file does not hold exactly the
    weights of its configuration: diffusers would make up what is missing.
    """
    folder = Path(base) / name
    only_half = folder.is_dir() and not [
        p for p in folder.glob("*.safetensors*") if f".{HALF}." not in p.name
    ]
    try:
        network, info = kind.from_pretrained(
            base,
            subfolder=name,
            use_safetensors=True,
            torch_dtype=dtype,
            output_loading_info=True,
            local_files_only=offline,
            # Elsewhere the other way of loading leaves tensors without content where weights are missing.
            low_cpu_mem_usage=dtype != torch.float32,
            **({"variant": HALF} if only_half else {}),
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

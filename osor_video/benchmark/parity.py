"""A model held against a recorded run of the published code: the largest difference of every step.

A folder of the form of ``removal/folder.py`` with ``reference_phase1.safetensors`` or ``reference_phase2.safetensors``: ``image``
[1, 3, H, W] in [0, 1], ``mask`` [1, 1, H, W], the ``noise`` that was drawn (FLUX: ``noise_packed``), and what came of it.
Our path is given these and the folder's embeddings, and runs through: nothing on the way is taken from the record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from osor_video.errors import WeightsError
from osor_video.removal.flux import pack, unpack
from osor_video.removal.folder import REFERENCE, ModelFolder
from osor_video.removal.published import PublishedModel, Running, Steps, load_published
from osor_video.removal.sdxl import STRIDE

TOLERANCE = 1e-4

STEPS: dict[str, Callable[[PublishedModel, Steps], Tensor]] = {
    "latent": lambda _, steps: steps.z,
    "mask_latent": lambda _, steps: steps.mask_input,
    "packed_mask": lambda _, steps: pack(steps.mask_input),
    "noisy": lambda _, steps: steps.z_t,
    "noisy_packed": lambda _, steps: pack(steps.z_t),
    "eps": lambda _, steps: steps.out,
    "velocity_packed": lambda _, steps: pack(steps.out),
    "z0": lambda _, steps: steps.z0,
    "alpha": lambda _, steps: steps.alpha_logit.sigmoid(),
    "blended": lambda _, steps: steps.blended,
    "blended_unscaled": lambda model, steps: steps.blended / model.coder.scale + model.coder.shift,
    "decoded": lambda model, steps: model.coder.decode_raw(steps.blended),
}
"""What a recorded name is in our path, in the order in which it arises."""
GIVEN = ("image", "mask", "noise", "noise_packed")


@dataclass(frozen=True)
class Difference:
    """Of one step: the largest absolute difference, and the largest value it is to be seen against."""

    step: str
    largest: float
    magnitude: float


def reference_file(folder: Path) -> Path:
    """The recorded run in ``folder``; WeightsError where there is none, or several."""
    found = sorted(folder.glob(f"{REFERENCE}*.safetensors"))
    if len(found) != 1:
        raise WeightsError(
            f"{folder} should hold one recorded run named {REFERENCE}1.safetensors or {REFERENCE}2.safetensors, and has "
            f"{len(found)}. Give a folder with one."
        )
    return found[0]


def compare(folder: Path, *, merge: bool = True) -> list[Difference]:
    """Run the model of ``folder`` in float32 on the processor, on what its recorded run was given.

    WeightsError for a folder that cannot be run, and for a record that lacks what has to be given.
    """
    path = reference_file(folder)
    model = load_published(ModelFolder.open(folder), Running(merge=merge))
    return differences(model, _read(path), str(path))


def differences(model: PublishedModel, record: Mapping[str, Tensor], origin: str) -> list[Difference]:
    """The same for a model that is loaded and a record that is read."""
    lacking = [name for name in GIVEN[:2] if name not in record]
    if not {*GIVEN[2:]} & {*record}:
        lacking.append("noise or noise_packed")
    unknown = sorted({*record} - {*STEPS} - {*GIVEN})
    if lacking or unknown:
        raise WeightsError(
            f"{origin} is no recorded run: it lacks {', '.join(lacking) or 'nothing'} and has unknown "
            f"{', '.join(unknown) or 'nothing'}, expected {', '.join(GIVEN)} and any of {', '.join(STEPS)}."
        )
    image = record["image"]
    cells = image.shape[-2] // STRIDE, image.shape[-1] // STRIDE
    noise = record["noise"] if "noise" in record else unpack(record["noise_packed"], cells)
    steps = model.trace(image, record["mask"], noise)
    with torch.inference_mode():
        ours = {name: step(model, steps) for name, step in STEPS.items() if name in record}
    return [_difference(name, found, record[name], origin) for name, found in ours.items()]


def _difference(name: str, found: Tensor, recorded: Tensor, origin: str) -> Difference:
    if found.shape != recorded.shape:
        raise WeightsError(
            f"{origin} has {name} of shape {tuple(recorded.shape)}, and ours is {tuple(found.shape)}."
        )
    largest = (found.cpu() - recorded.float()).abs().max()
    return Difference(name, float(largest), float(recorded.abs().max()))


def _read(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"The recorded run {path} cannot be read: {error}") from error
    return tensors

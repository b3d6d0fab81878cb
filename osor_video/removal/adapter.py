"""Adapters in the layout OSOR publishes: a low-rank pair beside each of many layers of a base, one layer in full.

A layer W of the base counts as W + B A: alpha equals the rank, so the factor between them is 1. The names are PEFT's
behind a prefix; for SDXL, with rank r:

    unet.<layer>.lora_A.default.weight    [r, in] or [r, in, k, k]
    unet.<layer>.lora_B.default.weight    [out, r] or [out, r, 1, 1]
    unet.conv_out.weight, unet.conv_out.bias    C + 1 rows, the last one alpha's logit; in phase 1 C rows
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from osor_video.errors import ConfigError, WeightsError
from osor_video.tensors import load_tensors

Tensors = dict[str, Tensor]
WRAPPERS = ("module", "_orig_mod")
"""Parts of a name that DistributedDataParallel and torch.compile leave in it."""
DOWN, UP = ".lora_A.default.weight", ".lora_B.default.weight"
FILES = (".pth", ".safetensors")
NAMED_KEYS = 3


@dataclass(frozen=True)
class AdapterLayout:
    """Which layers of a base an adapter changes, and under which names."""

    prefix: str
    """What stands before the names of the base's layers."""
    adapted: tuple[str, ...]
    """Ends of the names of the layers that get a low-rank pair."""
    whole: str
    """The output layer, which is trained in full."""

    def layers(self, network: nn.Module) -> dict[str, nn.Module]:
        """The adapted layers of a base without adapter, by their names in it."""
        return {
            name: layer
            for name, layer in network.named_modules()
            if isinstance(layer, nn.Linear | nn.Conv2d) and f".{name}".endswith(self._ends)
        }

    def names(self, network: nn.Module) -> set[str]:
        """The keys of an adapter of this base."""
        pairs = (f"{self.prefix}{name}{end}" for name in self.layers(network) for end in (DOWN, UP))
        return {*pairs, *self.whole_names}

    @property
    def whole_names(self) -> tuple[str, str]:
        """Keys of the weight and the bias of the output layer."""
        return f"{self.prefix}{self.whole}.weight", f"{self.prefix}{self.whole}.bias"

    @property
    def _ends(self) -> tuple[str, ...]:
        return tuple(f".{end}" for end in self.adapted)


SDXL_LAYOUT = AdapterLayout(
    prefix="unet.",
    adapted=(
        *("to_k", "to_q", "to_v", "to_out.0"),
        *("conv", "conv1", "conv2", "conv_shortcut"),
        *("proj_in", "proj_out", "ff.net.2", "ff.net.0.proj"),
    ),
    whole="conv_out",
)


def read_adapter(path: Path) -> Tensors:
    """The tensors of a ``.pth`` or ``.safetensors`` file under clean names; WeightsError where it holds others."""
    try:
        state = load_tensors(path)
    except (OSError, RuntimeError, EOFError, UnpicklingError, SafetensorError) as error:
        raise WeightsError(f"The adapter {path} cannot be read: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} is no adapter: expected a state dict of tensors, and nothing else.")
    tensors = {clean_name(name): value for name, value in state.items()}
    if len(tensors) != len(state):
        raise WeightsError(f"{path} holds some tensors twice, with and without {' or '.join(WRAPPERS)}.")
    return tensors


def write_adapter(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write ``path`` whole or not at all, ``.pth`` as OSOR publishes or ``.safetensors``; ConfigError for others."""
    if path.suffix not in FILES:
        raise ConfigError(
            f"An adapter is written as {' or '.join(FILES)}, not {path.suffix or 'a folder'}: {path}"
        )
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    if path.suffix == ".safetensors":
        save_file(plain, part)
    else:
        torch.save(plain, part)
    part.replace(path)


def clean_name(name: str) -> str:
    """``name`` without what wrappers left in it: ``module.unet._orig_mod.conv_out.bias`` is ``unet.conv_out.bias``."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def check_names(found: Iterable[str], expected: Iterable[str], origin: str) -> None:
    """WeightsError that counts and names what is missing in ``found`` and what does not belong there."""
    found, expected = set(found), set(expected)
    parts = (("missing", expected - found), ("unexpected", found - expected))
    counts = [f"{len(names)} {what} ({_some(names)})" for what, names in parts if names]
    if counts:
        raise WeightsError(
            f"{origin} does not fit this base: {', '.join(counts)}, of {len(expected)} keys. "
            "Take the base that it was trained on."
        )


def adapter_rank(tensors: Mapping[str, Tensor], origin: str) -> int:
    """The one rank r of all pairs; WeightsError where there are none, or several."""
    ranks = {value.shape[0] for name, value in tensors.items() if name.endswith(DOWN)}
    ranks |= {value.shape[1] for name, value in tensors.items() if name.endswith(UP)}
    if len(ranks) != 1:
        raise WeightsError(f"{origin} has pairs of ranks {sorted(ranks) or 'none'}, expected a single rank.")
    return int(ranks.pop())


@torch.no_grad()
def merge_adapter(
    network: Any,
    tensors: Mapping[str, Tensor],
    layout: AdapterLayout = SDXL_LAYOUT,
    origin: str = "The adapter",
) -> None:
    """Make ``network`` what it is with the adapter beside it, in place and at no further cost in a step.

    Every pair is added to its layer, in float32; the output layer gets the adapter's weights and its number of rows.
    WeightsError where keys are missing or left over, or a shape does not fit; nothing has changed then.
    """
    check_names(tensors, layout.names(network), origin)
    adapter_rank(tensors, origin)
    weight, bias = (tensors[name] for name in layout.whole_names)
    pairs = {
        name: tuple(tensors[f"{layout.prefix}{name}{end}"] for end in (DOWN, UP))
        for name in layout.layers(network)
    }
    for name, (down, up) in pairs.items():
        found = torch.Size([up.shape[0], *down.shape[1:]])
        _check_shape(found, network.get_submodule(name).weight.shape, name, origin)
    _check_shape(weight.shape[1:], network.get_submodule(layout.whole).weight.shape[1:], layout.whole, origin)
    for name, pair in pairs.items():
        layer = network.get_submodule(name)
        delta = low_rank_delta(*(side.to(layer.weight.device) for side in pair))
        layer.weight.copy_(layer.weight.float() + delta)
    widen_output(network, layout.whole, weight.shape[0])
    network.get_submodule(layout.whole).load_state_dict({"weight": weight, "bias": bias})


def low_rank_delta(down: Tensor, up: Tensor) -> Tensor:
    """B A as one weight: [out, in] of a linear layer, [out, in, k, k] of a convolution followed by a 1 x 1 one."""
    product = up.float().flatten(1) @ down.float().flatten(1)
    return product.reshape(up.shape[0], *down.shape[1:])


@torch.no_grad()
def widen_output(network: Any, layer: str, rows: int, bias: float = 0.0) -> None:
    """Give the convolution ``layer`` of a diffusers network ``rows`` outputs; new rows say ``bias`` everywhere."""
    old = network.get_submodule(layer)
    if rows < old.out_channels:
        raise WeightsError(f"{layer} of the base has {old.out_channels} outputs, more than {rows}.")
    new = nn.Conv2d(old.in_channels, rows, old.kernel_size, padding=old.padding).to(old.weight)
    new.weight.zero_()
    new.bias.fill_(bias)
    new.weight[: old.out_channels], new.bias[: old.out_channels] = old.weight, old.bias
    setattr(network, layer, new)
    network.register_to_config(out_channels=rows)


def _check_shape(found: torch.Size, expected: torch.Size, name: str, origin: str) -> None:
    if found != expected:
        raise WeightsError(
            f"{origin} does not fit this base: {name} is {tuple(found)}, not {tuple(expected)}."
        )


def _some(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:NAMED_KEYS])
    return shown if len(names) <= NAMED_KEYS else f"{shown}, ..."

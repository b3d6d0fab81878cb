"""Adapters in the layout OSOR publishes: a low-rank pair beside each of many layers of a base, one layer in full.

A layer W of the base counts as W + B A: alpha equals the rank, so the factor between them is 1. The names are PEFT's
behind a prefix; for SDXL, with rank r:

    unet.<layer>.lora_A.default.weight    [r, in] or [r, in, k, k]
    unet.<layer>.lora_B.default.weight    [out, r] or [out, r, 1, 1]
    unet.conv_out.weight, unet.conv_out.bias    C + 1 rows, the last one alpha's logit; in phase 1 C rows

FLUX has ``transformer.base_model.model.`` for ``unet.``, ``proj_out`` for ``conv_out`` and 4 (C + 1) rows: 2 x 2 cells a token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from osor_video.errors import ConfigError, WeightsError
from osor_video.tensors import load_tensors, save_tensors

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
    cells: int = 1
    """Latent cells that the output layer answers for at once."""

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

    def phase(self, tensors: Mapping[str, Tensor], latent_channels: int, origin: str) -> Literal[1, 2]:
        """1 where the output layer has rows for the latent alone, 2 where alpha's are among them; else WeightsError."""
        weight, bias = (tensors.get(name) for name in self.whole_names)
        if weight is None or bias is None:
            raise WeightsError(
                f"{origin} has no {self.whole_names[0]}: it is no OSOR adapter of this kind of base, or a part of one."
            )
        rows = {self.cells * latent_channels: 1, self.cells * (latent_channels + 1): 2}
        if len(weight) not in rows or len(bias) != len(weight):
            raise WeightsError(
                f"{origin} has {len(weight)} rows in {self.whole}, expected {' (phase 1) or '.join(map(str, rows))} "
                "(phase 2) for this base."
            )
        return 1 if rows[len(weight)] == 1 else 2

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

FLUX_LAYOUT = AdapterLayout(
    prefix="transformer.base_model.model.",
    adapted=("to_k", "to_q", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_mlp"),
    whole="proj_out",
    cells=4,
)


def read_adapter(path: Path) -> Tensors:
    """The tensors of a ``.pth`` or ``.safetensors`` file under clean names; WeightsError where it holds others."""
    state = load_tensors(path)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} is no adapter: expected a state dict of tensors, and nothing else.")
    tensors = {clean_name(name): value for name, value in state.items()}
    if len(tensors) != len(state):
        raise WeightsError(f"{path} holds some tensors twice, with and without {' or '.join(WRAPPERS)}.")
    broken = {name for name, value in tensors.items() if not bool(value.isfinite().all())}
    if broken:
        raise WeightsError(
            f"{path} is damaged: {len(broken)} tensors ({_some(broken)}) hold values that are no numbers. Fetch it again."
        )
    return tensors


def write_adapter(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write ``path`` whole or not at all, ``.pth`` as OSOR publishes or ``.safetensors``; ConfigError for others."""
    if path.suffix not in FILES:
        raise ConfigError(
            f"An adapter is written as {' or '.join(FILES)}, not {path.suffix or 'a folder'}: {path}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, tensors)


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
    dtype: torch.dtype | None = None,
) -> None:
    """Make ``network`` what it is with the adapter beside it, in place and at no further cost in a step.

    Every pair is added to its layer in float32, and the sum kept in ``dtype``, else the layer's own; the output layer gets
    the adapter's weights and its number of rows.
    WeightsError where keys are missing or left over, or a shape does not fit; nothing has changed then.
    """
    for name, pair in _fitting_pairs(network, tensors, layout, origin).items():
        layer = network.get_submodule(name)
        delta = low_rank_delta(*(side.to(layer.weight.device) for side in pair))
        merged = (layer.weight.float() + delta).to(dtype or layer.weight.dtype)
        # Anew, not in place: a weight that comes from a file then never takes memory of its own.
        layer.weight = nn.Parameter(merged, layer.weight.requires_grad)
    _replace_output(network, tensors, layout)


@torch.no_grad()
def attach_adapter(
    network: Any,
    tensors: Mapping[str, Tensor],
    layout: AdapterLayout = SDXL_LAYOUT,
    origin: str = "The adapter",
) -> None:
    """The same without merging: the pairs stay beside their layers, as PEFT holds them, at their cost in every step.

    Raises what ``merge_adapter`` raises, and ConfigError without peft.
    """
    _fitting_pairs(network, tensors, layout, origin)
    with torch.device("meta"):  # the fresh pairs have no content, for theirs is at hand
        add_adapters(network, adapter_rank(tensors, origin), layout)
    for name, value in tensors.items():
        if name.endswith((DOWN, UP)):
            layer = network.get_submodule(name.removeprefix(layout.prefix).removesuffix(".weight"))
            layer.weight = nn.Parameter(value, requires_grad=False)
    _replace_output(network, tensors, layout)


def add_adapters(network: Any, rank: int, layout: AdapterLayout = SDXL_LAYOUT) -> None:
    """Freeze ``network`` but for its output layer, and put fresh pairs beside the layers of ``layout``.

    A pair begins with B = 0, so nothing changes yet; A comes from torch's global generator. ConfigError without peft.
    """
    try:
        from peft import LoraConfig  # noqa: PLC0415  (an extra that few need)
    except ImportError as error:
        raise ConfigError(
            "Adapters beside their layers need the package peft: install osor-video[sdxl]."
        ) from error
    network.requires_grad_(False)
    network.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(layout.layers(network))))
    network.get_submodule(layout.whole).requires_grad_(True)


def _fitting_pairs(
    network: Any, tensors: Mapping[str, Tensor], layout: AdapterLayout, origin: str
) -> dict[str, tuple[Tensor, Tensor]]:
    """The pair (A, B) of each adapted layer; WeightsError unless every key and every shape fits."""
    check_names(tensors, layout.names(network), origin)
    adapter_rank(tensors, origin)
    pairs = {
        name: (tensors[f"{layout.prefix}{name}{DOWN}"], tensors[f"{layout.prefix}{name}{UP}"])
        for name in layout.layers(network)
    }
    for name, (down, up) in pairs.items():
        found = torch.Size([up.shape[0], *down.shape[1:]])
        _check_shape(found, network.get_submodule(name).weight.shape, name, origin)
    weight = tensors[layout.whole_names[0]]
    _check_shape(weight.shape[1:], network.get_submodule(layout.whole).weight.shape[1:], layout.whole, origin)
    return pairs


def _replace_output(network: Any, tensors: Mapping[str, Tensor], layout: AdapterLayout) -> None:
    weight, bias = (tensors[name] for name in layout.whole_names)
    widen_output(network, layout.whole, weight.shape[0])
    network.get_submodule(layout.whole).load_state_dict({"weight": weight, "bias": bias})


def low_rank_delta(down: Tensor, up: Tensor) -> Tensor:
    """B A as one weight: [out, in] of a linear layer, [out, in, k, k] of a convolution followed by a 1 x 1 one."""
    product = up.float().flatten(1) @ down.float().flatten(1)
    return product.reshape(up.shape[0], *down.shape[1:])


@torch.no_grad()
def widen_output(network: Any, layer: str, rows: int, bias: float = 0.0) -> None:
    """Give ``layer``, linear or a convolution, of a diffusers network ``rows`` outputs; new rows say ``bias`` everywhere."""
    old = network.get_submodule(layer)
    before = len(old.weight)
    if rows < before:
        raise WeightsError(f"{layer} of the base has {before} outputs, more than {rows}.")
    if isinstance(old, nn.Linear):
        new: nn.Linear | nn.Conv2d = nn.Linear(old.in_features, rows)
    else:
        new = nn.Conv2d(old.in_channels, rows, old.kernel_size, padding=old.padding)
    new = new.to(old.weight)
    new.weight.zero_()
    new.bias.fill_(bias)
    new.weight[:before], new.bias[:before] = old.weight, old.bias
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

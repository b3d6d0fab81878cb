"""How close a picture comes to the clean one inside a region: PSNR, SSIM and a perceptual distance."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from osor_video.benchmark.metrics import ssim_map
from osor_video.tensors import Mask, Picture, mask_to_tensor, picture_to_tensor
from osor_video.training.backbone import Backbone
from osor_video.training.losses import perceptual_distance, psnr_db

HIGHEST_DB = 50.0
"""Cap of a single pair's figure, so that an untouched one cannot carry the mean."""
MEASURES = ("psnr_db", "ssim", "distance")
MULTIPLE_PX = 16
"""The coarsest stride of the backbone's stages."""


class Judge:
    """Holds pictures against one clean picture in some regions of it.

    ``clean`` uint8 [H, W, 3]; ``regions`` bool [H, W] by name, not empty. ``backbone`` gives the features.
    """

    def __init__(self, clean: Picture, regions: dict[str, Mask], backbone: Backbone) -> None:
        self.clean = clean
        self.regions = regions
        self._backbone = backbone
        self._clean_maps = self._maps(clean)

    def __call__(self, picture: Picture) -> dict[str, dict[str, float]]:
        """``psnr_db`` (at most ``HIGHEST_DB``), ``ssim`` (Wang et al. 2004) and ``distance`` of each region.

        ``distance`` is ``perceptual_distance``, 0 = equal. SSIM's map and the feature maps are those of the whole
        pictures; only then the region is looked at.
        """
        similarity, maps = ssim_map(picture, self.clean), self._maps(picture)
        return {
            name: {
                "psnr_db": region_psnr_db(picture, self.clean, region),
                "ssim": float(similarity[region].mean()),
                "distance": float(perceptual_distance(maps, self._clean_maps, _weight(region))),
            }
            for name, region in self.regions.items()
        }

    @torch.inference_mode()
    def _maps(self, picture: Picture) -> list[Tensor]:
        maps: list[Tensor] = self._backbone(_padded(picture_to_tensor(picture)))
        return maps


def region_psnr_db(picture: Picture, clean: Picture, region: Mask) -> float:
    """PSNR inside ``region``, capped at ``HIGHEST_DB``."""
    figure = psnr_db(picture_to_tensor(picture), picture_to_tensor(clean), mask_to_tensor(region))
    return min(figure, HIGHEST_DB)


def iou(found: Mask, true: Mask) -> float:
    """Intersection over union of two masks; 0 where both are empty."""
    return float((found & true).sum() / max(1, np.count_nonzero(found | true)))


def _padded(picture: Tensor) -> Tensor:
    """[1, C, H, W] with its last pixels repeated up to sides that the backbone's strides divide."""
    down, right = (-side % MULTIPLE_PX for side in picture.shape[-2:])
    return F.pad(picture, (0, right, 0, down), mode="replicate")


def _weight(region: Mask) -> Tensor:
    down, right = (-side % MULTIPLE_PX for side in region.shape)
    return F.pad(mask_to_tensor(region), (0, right, 0, down))

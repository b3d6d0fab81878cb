"""What other frames of a shot show of a hole: a fill that has nothing before it begins with that, and makes up the rest.

The camera's motion leads to each of them, and the pictures themselves put it right (``align.py``), as for what is carried on later.
One frame after the other is taken, the one first that shows most of what is still hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from osor_video.background.camera import Homography
from osor_video.flow.warp import warp
from osor_video.removal.align import Alignment, fine_flow, seen_there
from osor_video.removal.carry import Aligned
from osor_video.removal.crop import CELL_PX, Crop
from osor_video.removal.step import grown, interpolate_hole, latent_mask
from osor_video.tensors import Mask, Picture, mask_to_tensor, picture_to_tensor

FEWEST_PX = 4
"""With fewer that it should show a witness is not heard."""
FEATHER_PX = 1
"""Width of the seam between what is seen and what is made."""


@dataclass(frozen=True, eq=False)
class Witness:
    """Another frame ``rgb`` of the shot, seen through its ``crop``; it shows no background in its ``hole`` [H, W].

    ``camera`` maps the frame that is asked about onto it. What its object casts is looked for where the witness is heard.
    """

    rgb: Picture
    hole: Mask
    crop: Crop
    camera: Homography
    find_cast: Callable[[], Mask | None] = lambda: None

    @cached_property
    def open(self) -> Tensor:
        """float [1, 1, H, W] of its crop: 1 where that shows no object."""
        within = self.crop.cut_mask(np.ones(self.hole.shape, bool))
        return mask_to_tensor(within & ~self.crop.cut_mask(self.hole))

    @property
    def known(self) -> Tensor:
        """float [1, 1, H, W] of its crop: 1 where that shows background as it is."""
        cast = self.find_cast()
        return self.open if cast is None else self.open * (1 - mask_to_tensor(self.crop.cut_mask(cast)))

    @property
    def image(self) -> Tensor:
        """Its crop, [1, 3, H, W] in [0, 1]."""
        return picture_to_tensor(self.crop.cut_picture(self.rgb))

    def way_from(self, crop: Crop) -> Tensor:
        """The flow of its camera [1, 2, h, w], in cells, from the grid of ``crop`` in the frame that is asked about."""
        places = crop.cell_places()
        # Cameras take the centre of a pixel for its place, crops its corner.
        moved = cv2.perspectiveTransform(places.reshape(1, -1, 2) - 0.5, self.camera) + 0.5
        flow = moved.reshape(places.shape) - places - (self.crop.left - crop.left, self.crop.top - crop.top)
        cells = (flow * crop.scale / CELL_PX).astype(np.float32)
        return torch.from_numpy(cells).permute(2, 0, 1)[None].contiguous()


@dataclass(frozen=True, eq=False)
class Gathering:
    """What ``witnesses`` show of the hole in a ``crop``; ``encode`` makes a latent of a picture."""

    crop: Crop
    witnesses: Sequence[Witness]
    encode: Callable[[Tensor], Tensor]

    def aligned(self, image: Tensor, known: Tensor) -> Aligned | None:
        """It as the frame ``image`` [1, 3, H, W] shows it, which is ``known`` [1, 1, H, W] outside its hole; None without any."""
        picture, seen = gather(image, known, self.crop, self.witnesses)
        if not bool((seen > known).any()):
            return None
        picture = torch.where(seen > 0, picture, interpolate_hole(picture, 1 - seen))
        cells = 1 - latent_mask(1 - seen, CELL_PX)
        return Aligned(self.encode(picture), picture, cells, _feathered(seen))


def gather(image: Tensor, known: Tensor, crop: Crop, witnesses: Sequence[Witness]) -> tuple[Tensor, Tensor]:
    """``image`` [1, 3, H, W] with what ``witnesses`` show of it where it is not ``known`` [1, 1, H, W].

    Also says where anything is known then, [1, 1, H, W] of 0 and 1. Of witnesses that show as much the first is asked.
    """
    picture, seen = image, known
    left = [(witness, *_promised(witness, crop, image)) for witness in witnesses]
    while left:
        gains = [int(((1 - seen) * places).sum()) for _, _, places in left]
        if max(gains) < FEWEST_PX:
            break
        witness, way, _ = left.pop(int(np.argmax(gains)))
        there, shown = witness.image.to(image), witness.known.to(known)
        found = Alignment(there, shown, image, known).find(way)
        if found.lost:
            continue
        back = fine_flow(found.flow, image)
        new = seen_there(shown, back) * (1 - seen)
        picture = torch.where(new > 0, (warp(there, back, "bicubic") * found.gain).clamp(0, 1), picture)
        seen = torch.maximum(seen, new)
    return picture, seen


def _promised(witness: Witness, crop: Crop, like: Tensor) -> tuple[Tensor, Tensor]:
    """The camera's way to a witness, and what it should show of the picture ``like`` [1, 3, H, W], [1, 1, H, W]."""
    way = witness.way_from(crop).to(like)
    return way, seen_there(witness.open.to(like), fine_flow(way, like))


def _feathered(seen: Tensor) -> Tensor:
    """``seen`` [1, 1, H, W] of 0 and 1, falling off smoothly inwards."""
    size = 2 * FEATHER_PX + 1
    return (
        gaussian_blur2d(1 - grown(1 - seen, FEATHER_PX), (size, size), (FEATHER_PX / 2, FEATHER_PX / 2))
        * seen
    )

"""A hole filled with patches of the rest of the same picture, coarse to fine.

Space-time completion's energy (Wexler et al., "Space-Time Completion of Video", PAMI 2007): every patch that touches the hole
is to look like some patch that lies outside it. Two steps take turns: each patch finds its likeness, and each pixel becomes the
weighted mean of what the patches over it say. On coarse levels likenesses are found among all patches; on fine ones they come from
the level below and spread to neighbours (Barnes et al., "PatchMatch", SIGGRAPH 2009), in a fixed order: nothing is drawn
by chance, so the same picture gives the same fill.

Convention: one picture [3, H, W] in [0, 1]; places are row x W + column; ``known`` [H, W] is true outside the hole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor

from osor_video.removal.record import FirstGuess
from osor_video.removal.step import RIM_PX, grown, halved, interpolate_hole

PATCH_PX = 7
SWEEPS = (8, 4, 3, 2)
"""Turns of the two steps on the coarsest level, the next ones, and the finest."""
MANY_PATCHES = 15000
"""Where more would ask on the finest level, every second one of every second row does: a pixel still
hears a dozen, in half the time."""
SEARCHED_IN_FULL = 2600
"""A level with at most so many whole patches is searched in full."""
FEWEST_PATCHES = 20
"""With fewer to choose from the interpolated surroundings are better."""
DEPTH_BASE = 1.5
"""A pixel one deeper in the hole counts so much less: what lies near the rim is sure first."""
DEEPEST_PX = 24
COARSEST_DEPTH_PX = 3
"""The coarsest level is where the hole is no deeper than this, so that every patch sees something known."""
STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))


@torch.no_grad()
def fill_by_patches(image: Tensor, mask: Tensor) -> Tensor:
    """``image`` [B, 3, H, W] in [0, 1] with the pixels of ``mask`` [B, 1, H, W] of 0 and 1 filled from the rest of it.

    The mask is widened by ``RIM_PX``, as in ``interpolate_hole``, whose answer is the first guess, and the last one where
    hardly a whole patch lies outside the hole. Pixels outside the widened mask stay as they are.
    """
    guesses = interpolate_hole(image, mask)
    widened = grown(mask, RIM_PX) > 0
    filled = [
        _fill(picture, guess, ~hole[0])
        for picture, guess, hole in zip(image.float(), guesses.float(), widened, strict=True)
    ]
    return torch.stack(filled)


FIRST_GUESSES: dict[FirstGuess, Callable[[Tensor, Tensor], Tensor]] = {
    "interpolated": interpolate_hole,
    "patches": fill_by_patches,
}
"""What a residual model begins with, from a picture [B, 3, H, W] and its mask [B, 1, H, W]."""


def _fill(picture: Tensor, guess: Tensor, known: Tensor) -> Tensor:
    levels = [_Level(picture, guess, known, finest=True)]
    while levels[-1].deepest_px > COARSEST_DEPTH_PX:
        below = levels[-1].half()
        if min(below.size_hw) < 2 * PATCH_PX or len(below.whole) < FEWEST_PATCHES:
            break
        levels.append(below)
    if len(levels[0].whole) < FEWEST_PATCHES or not len(levels[0].asking):
        return guess
    found: _Likenesses | None = None
    for number, level in enumerate(reversed(levels)):
        if not len(level.asking):
            continue
        last = level is levels[0]
        found = _settle(level, found, SWEEPS[-1] if last else SWEEPS[min(number, len(SWEEPS) - 2)])
    return levels[0].picture()


class _Level:
    """The picture at one size; ``pixels`` [H W, 3] change in the hole only.

    ``whole`` are the places of patches that lie outside the hole, ``asking`` of those that touch it and take part.
    ``weights`` [asking, P P 3] says how sure each pixel of an asking patch is.
    """

    def __init__(self, picture: Tensor, guess: Tensor, known: Tensor, finest: bool = False) -> None:
        self.size_hw = height, width = known.shape[0], known.shape[1]
        self.guess, self.known = guess, known
        self.pixels = torch.where(known, picture, guess).permute(1, 2, 0).reshape(-1, 3).contiguous()
        hole, half = (~known)[None, None].float(), PATCH_PX // 2
        touches = grown(hole, half)[0, 0] > 0
        inside = torch.zeros_like(known)
        inside[half : height - half, half : width - half] = True
        self.is_whole = (~touches & inside).flatten()
        self.whole = self.is_whole.nonzero()[:, 0]
        apart = 2 if finest and int(touches.sum()) > MANY_PATCHES else 1
        asking = torch.zeros_like(touches)
        asking[::apart, ::apart] = touches[::apart, ::apart]
        self.asking = asking.flatten().nonzero()[:, 0]
        self.gaps = (~known).flatten().nonzero()[:, 0]
        reach = torch.arange(-half, half + 1, device=known.device)
        self._offsets = (reach[:, None] * width + reach).flatten()
        depth = _depth(~known)
        self.deepest_px = float(depth.max())
        sureness = (DEPTH_BASE**-depth).flatten()
        self._asked = self._around(self.asking, reach)
        self._voters = self._around(self.gaps, reach)
        self.weights = sureness[self._asked].repeat_interleave(3, dim=1)
        self._share = torch.zeros_like(sureness)
        self._share[self.asking] = sureness[self._asked].mean(dim=1)

    def half(self) -> _Level:
        """The level of half the size; a pixel is known where all that it covers is."""
        small = halved(torch.cat([self.picture(), self.guess, self.known[None].float()])[None])[0]
        return _Level(small[:3], small[3:6], small[6] == 1)

    def picture(self) -> Tensor:
        """[3, H, W]."""
        return self.pixels.T.reshape(3, *self.size_hw)

    def asked(self) -> Tensor:
        """The asking patches as they are now, [asking, P P 3]; beyond the picture's edge its last pixels go on."""
        return self.pixels[self._asked].flatten(1)

    def patches(self, places: Tensor) -> Tensor:
        """Whole patches [N, P P 3]."""
        width, half = self.size_hw[1], PATCH_PX // 2
        across = width - PATCH_PX + 1
        return self._table[(places // width - half) * across + places % width - half]

    @cached_property
    def _table(self) -> Tensor:
        """The patch around every place inside the picture, [places, P P 3]; those outside the hole never change."""
        height, width = self.size_hw
        rows, columns = height - PATCH_PX + 1, width - PATCH_PX + 1
        steps = (3 * width, 3, 3 * width, 1)
        windows = self.pixels.as_strided((rows, columns, PATCH_PX, 3 * PATCH_PX), steps)
        return windows.reshape(rows * columns, -1)

    def vote(self, found: Tensor) -> None:
        """Each pixel of the hole becomes the mean of what the patches over it show, the surer ones counting more."""
        likenesses = torch.zeros_like(self._share, dtype=torch.long)
        likenesses[self.asking] = found
        # The patch d away from a pixel shows it what lies d before its likeness; twice the same patch at an edge does no harm.
        shown = self.pixels[likenesses[self._voters] - self._offsets]
        share = self._share[self._voters][..., None]
        self.pixels[self.gaps] = (shown * share).sum(dim=1) / share.sum(dim=1)

    def _around(self, places: Tensor, reach: Tensor) -> Tensor:
        """Places of the pixels of the patches at ``places`` [N], [N, P P]; beyond the edge those on it."""
        height, width = self.size_hw
        rows = ((places // width)[:, None] + reach).clamp(0, height - 1)
        columns = ((places % width)[:, None] + reach).clamp(0, width - 1)
        return (rows[:, :, None] * width + columns[:, None]).flatten(1)


@dataclass(frozen=True)
class _Likenesses:
    """For every place of a level [H W] the place of its likeness, -1 where it does not ask."""

    places: Tensor
    size_hw: tuple[int, int]

    def raised(self, level: _Level) -> Tensor:
        """The same on the level above, for its asking patches: twice as far, the parity kept, moved to whole patches."""
        height, width = level.size_hw
        rows, columns = level.asking // width, level.asking % width
        lower_h, lower_w = self.size_hw
        below = self.places[
            (rows // 2).clamp(max=lower_h - 1) * lower_w + (columns // 2).clamp(max=lower_w - 1)
        ]
        up = ((below // lower_w) * 2 + rows % 2).clamp(max=height - 1) * width
        places = up + ((below % lower_w) * 2 + columns % 2).clamp(max=width - 1)
        nearest = torch.searchsorted(level.whole, places).clamp(max=len(level.whole) - 1)
        return level.whole[nearest]


def _settle(level: _Level, below: _Likenesses | None, sweeps: int) -> _Likenesses:
    """Let the two steps take turns until nothing changes, at most ``sweeps`` times."""
    height, width = level.size_hw
    found = None if below is None else below.raised(level)
    if found is not None:
        level.vote(found)
    in_full = found is None or len(level.whole) <= SEARCHED_IN_FULL
    for _ in range(sweeps):
        better = _searched(level) if in_full or found is None else _spread(level, found)
        settled = found is not None and torch.equal(better, found)
        found = better
        level.vote(found)
        if settled:
            break
    places = level.asking.new_full((height * width,), -1)
    places[level.asking] = found
    return _Likenesses(places, (height, width))


def _searched(level: _Level) -> Tensor:
    """The best of all whole patches for each asking one."""
    asked, offered, weights = level.asked(), level.patches(level.whole), level.weights
    # |w (a - o)|^2 without what is the same for every o.
    misfit = torch.addmm(weights @ offered.square().T, weights * asked, offered.T, alpha=-2)
    return level.whole[misfit.argmin(dim=1)]


def _spread(level: _Level, found: Tensor) -> Tensor:
    """Better likenesses from neighbours' ones, two pixels and one pixel away, and from one pixel beside one's own."""
    height, width = level.size_hw
    asked, found = level.asked(), found.clone()
    misfit = (level.weights * (asked - level.patches(found)).square()).sum(dim=1)
    rows, columns = level.asking // width, level.asking % width
    at = level.asking.new_full((height * width,), -1)

    def offer(places_y: Tensor, places_x: Tensor, good: Tensor) -> None:
        good = good & (places_y >= 0) & (places_y < height) & (places_x >= 0) & (places_x < width)
        places = torch.where(good, places_y * width + places_x, 0)
        chosen = (good & level.is_whole[places] & (places != found)).nonzero()[:, 0]
        apart = asked[chosen] - level.patches(places[chosen])
        distance = (level.weights[chosen] * apart.square()).sum(dim=1)
        wins = distance < misfit[chosen]
        winners = chosen[wins]
        found[winners], misfit[winners] = places[winners], distance[wins]

    for reach in (2, 1):
        for down, right in STEPS:
            y, x = rows + down * reach, columns + right * reach
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            at[level.asking] = found
            likeness = torch.where(inside, at[torch.where(inside, y * width + x, 0)], -1)
            offer(likeness // width - down * reach, likeness % width - right * reach, likeness >= 0)
    for down, right in STEPS:
        offer(found // width + down, found % width + right, torch.ones_like(found, dtype=torch.bool))
    return found


def _depth(hole: Tensor) -> Tensor:
    """How deep in ``hole`` [H, W] each pixel lies, in pixels along rows, columns and diagonals; at most ``DEEPEST_PX``."""
    inside = hole.cpu().numpy().astype(np.uint8)
    depth = np.minimum(cv2.distanceTransform(inside, cv2.DIST_C, 3), DEEPEST_PX)
    return torch.from_numpy(depth).to(hole.device)

"""A hole filled with patches of the rest of the same picture, coarse to fine.

Space-time completion's energy (Wexler et al., "Space-Time Completion of Video", PAMI 2007): every patch that touches the hole
is to look like some patch that lies outside it. Two steps take turns: each patch finds its likeness, and each pixel becomes the
weighted mean of what the patches over it say; below the finest level those that found a good likeness count more (section 3.2).
Small patches and large ones do so by themselves, and the fill is the mean of both: each errs in its own way. A shallow hole is
left to the small ones.
On coarse levels likenesses are found among all patches; on fine ones they come from the level below and spread to neighbours
(Barnes et al., "PatchMatch", SIGGRAPH 2009), in a fixed order: nothing is drawn by chance, so the same picture gives the same
fill.

Convention: one picture [3, H, W] in [0, 1]; places are row x W + column; ``known`` [H, W] is true outside the hole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import cv2
import numpy as np
import torch
from torch import Tensor

from osor_video.removal.record import FirstGuess
from osor_video.removal.step import RIM_PX, grown, halved, interpolate_hole

MANY_PATCHES = 1000
"""Where more would ask on a level, only some of them do: a pixel still hears half a dozen, in a fraction of the time."""
SEARCHED_IN_FULL = 2600
"""A level with at most so many whole patches is searched in full."""
FEWEST_PATCHES = 20
"""With fewer to choose from the interpolated surroundings are better."""
DEPTH_BASE = 1.5
"""A pixel one deeper in the hole counts so much less: what lies near the rim is sure first."""
DEEPEST_PX = 24
COARSEST_DEPTH_PX = 3
"""The coarsest level is where the hole is no deeper than this, so that every patch sees something known."""
MOST_COMPARISONS = 1_000_000
"""Nor are there more pairs of an asking patch and a whole one, all of which are compared there."""
SHALLOW_PX = 5
"""No deeper than this, a hole shows its shapes all around: small patches alone do."""
ALIKE_QUANTILE, ALIKE_SHARE = 0.75, 0.3
"""A patch whose misfit is this share of that quantile of all misfits counts 1 / sqrt(e) of one that fits."""
LEAST_COUNT = 1e-6
STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))


@dataclass(frozen=True)
class PatchSearch:
    """Squares of ``side_px`` (odd); where there are many, every ``apart``-th in every ``apart``-th row asks.

    ``sweeps``: turns of the two steps on the coarsest level, the next ones, and the finest.
    """

    side_px: int
    apart: int
    sweeps: tuple[int, ...]

    @property
    def half(self) -> int:
        """Pixels from the middle to the rim."""
        return self.side_px // 2

    @property
    def in_turn(self) -> tuple[slice, ...]:
        """Lines of a patch in the order in which they are compared: most offers lose by the first alone."""
        return (
            slice(self.half - 1, self.half + 2),
            slice(0, self.half - 1),
            slice(self.half + 2, self.side_px),
        )


SEARCHES = (PatchSearch(5, 2, (8, 4, 3, 2)), PatchSearch(9, 3, (5, 3, 2, 1)))
"""The fill of a deep hole is the mean of theirs: small patches are like more places, large ones keep shapes together."""


@torch.no_grad()
def fill_by_patches(image: Tensor, mask: Tensor) -> Tensor:
    """``image`` [B, 3, H, W] in [0, 1] with the pixels of ``mask`` [B, 1, H, W] of 0 and 1 filled from the rest of it.

    The mask is widened by ``RIM_PX``, as in ``interpolate_hole``, whose answer is the first guess, and the last one where
    hardly a whole patch lies outside the hole. Pixels outside the widened mask stay as they are.
    """
    guesses = interpolate_hole(image, mask)
    widened = grown(mask, RIM_PX) > 0
    filled = []
    for picture, guess, hole in zip(image.float(), guesses.float(), widened, strict=True):
        searches = SEARCHES if float(_depth(hole[0]).max()) > SHALLOW_PX else SEARCHES[:1]
        answers = (_fill(picture, guess, ~hole[0], search) for search in searches)
        found = [answer for answer in answers if answer is not None]
        filled.append(torch.stack(found).mean(dim=0) if found else guess)
    return torch.stack(filled)


FIRST_GUESSES: dict[FirstGuess, Callable[[Tensor, Tensor], Tensor]] = {
    "interpolated": interpolate_hole,
    "patches": fill_by_patches,
}
"""What a residual model begins with, from a picture [B, 3, H, W] and its mask [B, 1, H, W]."""


def _fill(picture: Tensor, guess: Tensor, known: Tensor, search: PatchSearch) -> Tensor | None:
    """The picture as ``search`` fills it; None where there is no hole, or hardly a whole patch outside it."""
    levels = [_Level(picture, guess, known, search, finest=True)]
    sweeps = search.sweeps
    while levels[-1].deepest_px > COARSEST_DEPTH_PX or levels[-1].comparisons > MOST_COMPARISONS:
        below = levels[-1].half()
        if min(below.size_hw) < 2 * search.side_px or len(below.whole) < FEWEST_PATCHES:
            break
        levels.append(below)
    if len(levels[0].whole) < FEWEST_PATCHES or not len(levels[0].asking):
        return None
    found: _Likenesses | None = None
    for number, level in enumerate(reversed(levels)):
        if not len(level.asking):
            continue
        last = level is levels[0]
        found = _settle(level, found, sweeps[-1] if last else sweeps[min(number, len(sweeps) - 2)])
    return levels[0].picture()


class _Level:
    """The picture at one size; ``pixels`` [H W, 3] change in the hole only.

    ``whole`` are the places of patches that lie outside the hole, ``asking`` of those that touch it and take part.
    ``weights`` [asking, P P 3] says how sure each pixel of an asking patch is.
    """

    def __init__(
        self, picture: Tensor, guess: Tensor, known: Tensor, search: PatchSearch, finest: bool = False
    ) -> None:
        self.size_hw = height, width = known.shape[0], known.shape[1]
        self.guess, self.known, self.search, self._finest = guess, known, search, finest
        self.pixels = torch.where(known, picture, guess).permute(1, 2, 0).reshape(-1, 3).contiguous()
        half = search.half
        touches = grown((~known)[None, None].float(), half)[0, 0] > 0
        inside = torch.zeros_like(known)
        inside[half : height - half, half : width - half] = True
        self.is_whole = (~touches & inside).flatten()
        self.whole = self.is_whole.nonzero()[:, 0]
        self._apart = apart = search.apart if int(touches.sum()) > MANY_PATCHES else 1
        # On the finest level likenesses hardly move any more.
        self._reaches = (apart,) if finest else (2 * apart, apart)
        asking = torch.zeros_like(touches)
        asking[::apart, ::apart] = touches[::apart, ::apart]
        self.asking = asking.flatten().nonzero()[:, 0]
        self.gaps = (~known).flatten().nonzero()[:, 0]
        self._reach = reach = torch.arange(-half, half + 1, device=known.device)
        depth = _depth(~known)
        self.deepest_px = float(depth.max())
        sureness = (DEPTH_BASE**-depth).flatten()
        self._asked = self._around(self.asking, reach, reach)
        self.weights = sureness[self._asked].repeat_interleave(3, dim=1)
        share = torch.zeros_like(sureness)
        share[self.asking] = sureness[self._asked].mean(dim=1)
        self._votes = [
            self._voters(share, reach, apart, *parity) for parity in product(range(apart), repeat=2)
        ]

    def half(self) -> _Level:
        """The level of half the size; a pixel is known where all that it covers is."""
        small = halved(torch.cat([self.picture(), self.guess, self.known[None].float()])[None])[0]
        return _Level(small[:3], small[3:6], small[6] == 1, self.search)

    @property
    def comparisons(self) -> int:
        """How many a search in full takes."""
        return len(self.asking) * len(self.whole)

    def picture(self) -> Tensor:
        """[3, H, W]."""
        return self.pixels.T.reshape(3, *self.size_hw)

    def asked(self) -> Tensor:
        """The asking patches as they are now, [asking, P P 3]; beyond the picture's edge its last pixels go on."""
        return self.pixels.index_select(0, self._asked.flatten()).view(len(self.asking), -1)

    def patches(self, places: Tensor, lines: slice = slice(None)) -> Tensor:
        """Whole patches, or some ``lines`` L of them, [N, L P 3]."""
        width, half, side = self.size_hw[1], self.search.half, self.search.side_px
        across = width - side + 1
        first = places // width * across + places % width - half
        rows = first[:, None] + across * self._reach[lines]
        return self._lines.index_select(0, rows.flatten()).view(len(places), rows.shape[1] * 3 * side)

    @cached_property
    def _lines(self) -> Tensor:
        """Every P pixels of a row beside each other, [H (W - P + 1), P 3]; those outside the hole never change."""
        height, width = self.size_hw
        side = self.search.side_px
        columns = width - side + 1
        lines = self.pixels.as_strided((height, columns, 3 * side), (3 * width, 3, 1))
        return lines.reshape(height * columns, -1)

    @cached_property
    def offered(self) -> Tensor:
        """All whole patches, [whole, P P 3]."""
        return self.patches(self.whole)

    @cached_property
    def offered_alone(self) -> Tensor:
        """w |o|^2 of each asking patch and each whole one, [asking, whole]."""
        return self.weights @ self.offered.square().T

    @cached_property
    def neighbours(self) -> list[tuple[int, int, Tensor, Tensor]]:
        """Ways down and right, which asking patches have another one there, and its number (0 where there is none)."""
        height, width = self.size_hw
        number = self.asking.new_full((height * width,), -1)
        number[self.asking] = torch.arange(len(self.asking), device=number.device)
        rows, columns = self.asking // width, self.asking % width
        found = []
        for reach, (down, right) in product(self._reaches, STEPS):
            y, x = rows + down * reach, columns + right * reach
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            there = torch.where(inside, number[torch.where(inside, y * width + x, 0)], -1)
            found.append((down * reach, right * reach, there >= 0, there.clamp(min=0)))
        return found

    def everywhere(self, found: Tensor) -> Tensor:
        """Likenesses for every place, [H W], from those of the asking patches; where no patch asks the place itself.

        Of a patch that was left out it is what lies beside the likeness of the one before it.
        """
        (height, width), apart = self.size_hw, self._apart
        every = torch.arange(height * width, device=found.device)
        places = every.clone()
        places[self.asking] = found
        beside = every // width % apart * width + every % width % apart
        return (places[every - beside] + beside).clamp(max=height * width - 1)

    def vote(self, found: Tensor) -> None:
        """Each pixel of the hole becomes the mean of what the patches over it show, the surer ones counting more."""
        likenesses = self.whole[:1].repeat(len(self.pixels))
        likenesses[self.asking] = found
        counts = None if self._finest else self._counts(found)
        for gaps, voters, offsets, sure in self._votes:
            share = sure if counts is None else _shares(sure * counts[voters][..., None])
            # The patch d away from a pixel shows it what lies d before its likeness.
            shown = likenesses[voters] - offsets
            colours = self.pixels.index_select(0, shown.flatten()).view(*shown.shape, 3)
            self.pixels[gaps] = (colours * share).sum(dim=1)

    def _counts(self, found: Tensor) -> Tensor:
        """How much the patch at each place counts by the misfit of its likeness, [H W]."""
        weights = self.weights
        misfit = (weights * (self.asked() - self.patches(found)).square()).sum(dim=1) / weights.sum(dim=1)
        usual = ALIKE_SHARE * misfit.quantile(ALIKE_QUANTILE).clamp(min=LEAST_COUNT)
        counts = misfit.new_ones(len(self.pixels))
        counts[self.asking] = (-misfit / (2 * usual)).exp() + LEAST_COUNT
        return counts

    def _voters(
        self, share: Tensor, reach: Tensor, apart: int, down: int, right: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The pixels of the hole in every ``apart``-th row and column from (``down``, ``right``) on, and the asking patches

        over each: their places, how far away they are, and their part in its colour [gaps, voters, 1].
        """
        width = self.size_hw[1]
        rows, columns = self.gaps // width, self.gaps % width
        gaps = self.gaps[(rows % apart == down) & (columns % apart == right)]
        dy, dx = (reach[(reach + side) % apart == 0] for side in (down, right))
        # At the picture's edge some are heard twice, which does no harm.
        voters = self._around(gaps, dy, dx)
        return gaps, voters, (dy[:, None] * width + dx).flatten(), _shares(share[voters][..., None])

    def _around(self, places: Tensor, down: Tensor, right: Tensor) -> Tensor:
        """Places of what lies ``down`` [P] and ``right`` [Q] of ``places`` [N], [N, P Q]; beyond the edge what is on it."""
        height, width = self.size_hw
        rows = ((places // width)[:, None] + down).clamp(0, height - 1)
        columns = ((places % width)[:, None] + right).clamp(0, width - 1)
        return (rows[:, :, None] * width + columns[:, None]).flatten(1)


@dataclass(frozen=True)
class _Likenesses:
    """For every place of a level [H W] the place of its likeness."""

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
    found = None if below is None else below.raised(level)
    if found is not None:
        level.vote(found)
    in_full = found is None or len(level.whole) <= SEARCHED_IN_FULL
    fresh = torch.ones_like(level.asking, dtype=torch.bool)
    for _ in range(sweeps):
        if in_full or found is None:
            better = _searched(level)
        else:
            search = _Search(level, found, fresh)
            search.spread()
            better = search.found
        settled = found is not None and torch.equal(better, found)
        if found is not None:
            fresh = better != found
        found = better
        level.vote(found)
        if settled:
            break
    return _Likenesses(level.everywhere(found), level.size_hw)


def _searched(level: _Level) -> Tensor:
    """The best of all whole patches for each asking one."""
    # |w (a - o)|^2 without what is the same for every o.
    misfit = torch.addmm(level.offered_alone, level.weights * level.asked(), level.offered.T, alpha=-2)
    return level.whole[misfit.argmin(dim=1)]


class _Search:
    """Better likenesses for the asking patches of a level, as they are when it begins.

    ``found`` [asking] are the likenesses; ``fresh`` [asking] says which are newer than the last search: what an older one
    offers has been refused before.
    """

    def __init__(self, level: _Level, found: Tensor, fresh: Tensor) -> None:
        self.level, self.found, self.fresh = level, found.clone(), fresh.clone()
        asked, weights = level.asked(), level.weights
        self._parts = [
            (lines, *(_lines_of(values, lines, level.search.side_px) for values in (asked, weights)))
            for lines in level.search.in_turn
        ]
        self._misfit = (weights * (asked - level.patches(found)).square()).sum(dim=1)

    def spread(self) -> None:
        """Offer neighbours' likenesses, the farther ones first, then what lies one pixel beside one's own."""
        width = self.level.size_hw[1]
        for down, right, asks, number in self.level.neighbours:
            likeness = self.found[number]
            self._offer(likeness // width - down, likeness % width - right, asks & self.fresh[number])
        for down, right in STEPS:
            self._offer(self.found // width + down, self.found % width + right, self.fresh)

    def _offer(self, y: Tensor, x: Tensor, good: Tensor) -> None:
        """Take what lies at ``y``, ``x`` [asking] where it is ``good``, a whole patch and better."""
        height, width = self.level.size_hw
        good = good & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        places = torch.where(good, y * width + x, 0)
        chosen = (good & self.level.is_whole[places] & (places != self.found)).nonzero()[:, 0]
        places, distance = places[chosen], self._misfit.new_zeros(len(chosen))
        for lines, asked, weights in self._parts:
            apart = self.level.patches(places, lines).sub_(asked.index_select(0, chosen)).square_()
            distance = distance + apart.mul_(weights.index_select(0, chosen)).sum(dim=1)
            wins = (distance < self._misfit[chosen]).nonzero()[:, 0]
            chosen, places, distance = chosen[wins], places[wins], distance[wins]
        self.found[chosen], self._misfit[chosen], self.fresh[chosen] = places, distance, True


def _shares(counts: Tensor) -> Tensor:
    """Voters' parts in each pixel, [gaps, voters, 1], which add up to 1."""
    return counts / counts.sum(dim=1, keepdim=True)


def _lines_of(values: Tensor, lines: slice, side_px: int) -> Tensor:
    """Some ``lines`` L of what belongs to patches, [N, P P 3] -> [N, L P 3]."""
    return values[:, 3 * side_px * lines.start : 3 * side_px * lines.stop].contiguous()


def _depth(hole: Tensor) -> Tensor:
    """How deep in ``hole`` [H, W] each pixel lies, in pixels along rows, columns and diagonals; at most ``DEEPEST_PX``."""
    inside = hole.cpu().numpy().astype(np.uint8)
    depth = np.minimum(cv2.distanceTransform(inside, cv2.DIST_C, 3), DEEPEST_PX)
    return torch.from_numpy(depth).to(hole.device)

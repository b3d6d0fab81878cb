"""The plate: each hidden pixel's real samples from other frames of the shot, and how far they agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import cv2
import numpy as np

from osor_video.background.camera import GreyPicture, Homography
from osor_video.background.merge import Sample, grain_left, interquartile_mean
from osor_video.background.register import (
    Box,
    Registration,
    ShotFrame,
    View,
    box_grid,
    homography_map,
    look,
    outside,
    to_grey,
)
from osor_video.config import BackgroundConfig
from osor_video.tensors import FloatMap, Mask, Picture, to_uint8

NOISE = 3.0
"""Error in 8-bit levels that is put down to noise when samples are weighed."""
SPREAD = 24.0
"""Disagreement of samples, in 8-bit levels, at which confidence has mostly gone."""
GUIDE = 0.3
"""Confidence from which a first guess guides the registration."""
GUESSED = 0.1
"""Certainty of the guess beside that of the frame's own pixels: where both speak, the frame decides."""
CLEAR_VIEW = 0.25
"""Mean clearness over the points that lack samples from which a frame is asked first."""
MIN_COMMON_PX = 64
"""Pixels that frame and sample must both show before exposures are compared."""
UNLIKE, MISPLACED = 0.15, 0.33
"""Change of log luminance against the frame beyond which a plate does not show its place, and the share of what both show that may
be so: more is no shadow. On the clips at hand it is .12 at most, and .35 to .67 where a camera swung round."""
SHADED = 0.1
"""Change of log luminance against the guess from which a sample is taken to be shaded."""
AGREED = 10.0
"""Difference in 8-bit levels up to which frame and first guess show the same."""
NEAR_FRAMES = 10
"""Distance in time at which a frame is worth half: depth and light change meanwhile."""
WITNESS_FRAMES = 8
"""Distance in time at which two frames are mostly witnesses of their own: whoever passed in the one is gone in the other."""
STILL_PX = 1.0
"""Way of the picture's points between two frames up to which the camera stands still."""
STILL_COST = 1 / 3
"""Of a frame that needs no registration, over one that does."""
MOST_LARGER = 2
"""Times that a plate may turn out too small."""
OVERLAP_PX = 16
UNSHADED = 0.8
"""Clearness of a view from which no shadow of the object is expected in it."""
COVERAGE_STEP = 8
"""Pixels between the points on which the choice of frames is made."""


@dataclass(frozen=True)
class Plate:
    """Recovered background of a box: ``rgb`` float32 [h, w, 3] in [0, 1] and ``confidence`` [h, w] in [0, 1].

    ``grain`` [h, w] is the share of a frame's noise variance still there, little in a mean of several frames; None is none.
    """

    box: Box
    rgb: FloatMap
    confidence: FloatMap
    grain: FloatMap | None = None


NeededBox = Callable[[Plate], Box]
"""The box that is to be recovered, after what a first plate shows: its own, or a larger one around it."""


def plate_box(hole: Mask, margin: float) -> Box:
    """The hole's bounding box, widened by ``margin`` times its longer side, on even pixels inside the frame."""
    ys, xs = np.nonzero(hole)
    reach = margin_px(hole, margin)
    height, width = hole.shape
    top, left = max(int(ys.min()) - reach, 0) // 2 * 2, max(int(xs.min()) - reach, 0) // 2 * 2
    return top, left, min(int(ys.max()) + reach + 1, height), min(int(xs.max()) + reach + 1, width)


def margin_px(hole: Mask, margin: float) -> int:
    """``margin`` times the hole's longer side, and a little more, in pixels."""
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    return round(margin * max(int(np.ptp(rows)), int(np.ptp(columns)))) + 8


def recover(
    target: ShotFrame, others: Sequence[ShotFrame], config: BackgroundConfig, needed: NeededBox | None = None
) -> Plate:
    """The plate of ``target`` from ``others``, neighbours of the same shot.

    A first plate from a few frames is registered by the hole's surroundings alone. It then guides the registration of all frames
    inside the hole, where it shows roughly what they show. It is made anew for each frame: carried from frame to frame, its
    small errors of place add up wherever the scene has depth. ``needed`` is asked up to ``MOST_LARGER`` times, with what is there
    of that first plate, whether more is wanted.
    """
    box = plate_box(target.hole, config.margin)
    if not others:
        return empty_plate(box)
    coverage = Coverage(target, others, box)
    first = coverage.choose(config.first_frames, config.samples, CLEAR_VIEW)
    chosen = coverage.choose(config.max_frames, config.samples, 0.0)
    view = cache(partial(look, target.camera))

    def merge(frames: Sequence[Sequence[ShotFrame]], area: Box, guess: Plate | None) -> Plate:
        views, beside = ([view(other, area) for other in some] for some in frames)
        return _merge(target, views, beside, area, guess)

    beginning, whole = ((frames, coverage.choose_beside(frames)) for frames in (first, chosen))

    def begin(area: Box) -> Plate:
        return merge(beginning, area, None)

    guess = begin(box)
    for _ in range(MOST_LARGER):
        larger = guess.box if needed is None else needed(guess)
        if larger == guess.box:
            break
        guess = _extended(guess, larger, begin)
    plate = merge(whole, guess.box, guess)
    return empty_plate(plate.box) if _misplaced(target, plate) else plate


def _misplaced(target: ShotFrame, plate: Plate) -> bool:
    """Whether the plate shows another place: much of what is seen around the hole is not as bright in it."""
    top, left, bottom, right = plate.box
    area = np.s_[top:bottom, left:right]
    seen = (plate.confidence > GUIDE) & ~target.hole[area]
    if np.count_nonzero(seen) < MIN_COMMON_PX:
        return False
    shadings = (_shading(_grey(rgb)) for rgb in (target.rgb[area].astype(np.float32), plate.rgb * 255))
    return float(np.mean(np.abs(np.subtract(*shadings))[seen] > UNLIKE)) > MISPLACED


def _extended(plate: Plate, box: Box, make: Callable[[Box], Plate]) -> Plate:
    """``plate`` with what ``make`` gives around it, on a ``box`` around its own; its grain is not kept."""
    larger = empty_plate(box)
    for part in [*map(make, _strips(plate.box, box)), plate]:
        top, left, bottom, right = part.box
        area = np.s_[top - box[0] : bottom - box[0], left - box[1] : right - box[1]]
        larger.rgb[area], larger.confidence[area] = part.rgb, part.confidence
    return larger


def _strips(inner: Box, outer: Box) -> list[Box]:
    """What ``outer`` has around ``inner``, each strip reaching ``OVERLAP_PX`` into it: something to be registered by."""
    (top, left, bottom, right), (first, begin, last, end) = inner, outer
    sides = [
        (first < top, (first, begin, min(top + OVERLAP_PX, last), end)),
        (bottom < last, (max(bottom - OVERLAP_PX, first), begin, last, end)),
        (begin < left, (top, begin, bottom, min(left + OVERLAP_PX, end))),
        (right < end, (top, max(right - OVERLAP_PX, begin), bottom, end)),
    ]
    return [strip for there, strip in sides if there]


class Coverage:
    """Which frames show the points that ``target`` hides."""

    def __init__(self, target: ShotFrame, others: Sequence[ShotFrame], box: Box) -> None:
        points = box_grid(box)[::COVERAGE_STEP, ::COVERAGE_STEP]
        back = np.linalg.inv(target.camera)
        area = np.s_[box[0] : box[2] : COVERAGE_STEP, box[1] : box[3] : COVERAGE_STEP]
        self._hidden = target.hole[area]
        self._beside = np.where(self._hidden, 0, 1 - target.clearness[area])
        self._others = list(others)
        ways = [other.camera @ back for other in others]
        self._views = np.stack(
            [_clearness_at(points, way, other) for way, other in zip(ways, others, strict=True)]
        )
        self._same = [np.array_equal(target.camera, other.camera) for other in others]
        moved = [np.abs(homography_map(points, way) - points).max() for way in ways]
        self._stillness = np.exp(-np.square(np.array(moved) / STILL_PX))
        apart = np.array([abs(other.index - target.index) for other in others])
        self._nearness = 1 / (1 + apart / NEAR_FRAMES)

    def choose(self, most: int, samples: int, clear: float) -> list[ShotFrame]:
        """At most ``most`` frames to borrow from, the worthiest first, until each hidden point has ``samples`` samples.

        Those that a still camera took are quickly asked, and more of them may be.

        A frame is worth the hidden points that it shows, those with few samples counting most, and the more the nearer it is in
        time: so the first frames are near ones, and the last fetch from afar what no near one shows. Views clearer than ``clear``
        come first: where the object stood nearby, the shadow that is to go may lie on them.
        """
        counts, chosen, asked = np.zeros(self._hidden.shape, np.float32), list[int](), 0.0
        for wanted in (clear, 0.0):
            showing = (self._views > wanted) & self._hidden
            while asked < most:
                best = self._best(showing, self._hidden * _lack(counts, samples), chosen)
                if best is None:
                    break
                counts += showing[best]
                chosen.append(best)
                asked += STILL_COST if self._same[best] else 1
        return [self._others[index] for index in chosen]

    def choose_beside(self, chosen: Sequence[ShotFrame]) -> list[ShotFrame]:
        """One frame more than those ``chosen``, if it shows anything beside the object that all of them may have in shadow."""
        taken = [self._others.index(frame) for frame in chosen]
        showing = self._views > UNSHADED
        best = self._best(showing, self._beside * ~showing[taken].any(axis=0), taken)
        return [] if best is None else [self._others[best]]

    def _best(self, showing: Mask, worth: FloatMap, chosen: Sequence[int]) -> int | None:
        """The frame that shows the most of what is of ``worth``; None where none shows any."""
        values = (showing * worth).sum(axis=(1, 2)) * self._nearness * self._news(chosen)
        values[list(chosen)] = 0
        best = int(values.argmax())
        return best if values[best] > 0 else None

    def _news(self, chosen: Sequence[int]) -> FloatMap:
        """How far each frame is another witness than those ``chosen``, [N] in [0, 1].

        A camera that stands still shows the same passer-by at the same place for a while; one that moves needs its near frames.
        """
        if not chosen:
            return np.ones(len(self._others), np.float32)
        times = np.array([other.index for other in self._others])
        gaps = np.abs(times[:, None] - times[list(chosen)]).min(axis=1)
        return np.asarray(1 - self._stillness * np.exp(-gaps / WITNESS_FRAMES), np.float32)


def _lack(counts: FloatMap, samples: int) -> FloatMap:
    """What one more sample of points that have ``counts`` of them is worth."""
    return np.asarray(np.where(counts < samples, 1 / (1 + counts), 0), np.float32)


def _clearness_at(points: FloatMap, homography: Homography, other: ShotFrame) -> FloatMap:
    """How well ``other`` shows the points [h, w, 2] of another frame, [h, w] in [0, 1]."""
    coords = homography_map(points, homography)
    clear = cv2.remap(other.clearness, coords, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.where(outside(coords, other), 0, clear).astype(np.float32)


def _merge(
    target: ShotFrame, views: Sequence[View], beside: Sequence[View], box: Box, guess: Plate | None
) -> Plate:
    """Register each view to the box once, sample its frame once (bicubic) and average the samples that agree.

    What is seen from ``beside`` has no say in the hole, of which nearer frames tell.
    """
    if not views:
        return empty_plate(box)
    area = np.s_[box[0] : box[2], box[1] : box[3]]
    shown, hole = target.rgb[area], target.hole[area]
    registration = Registration(*guide_of(shown, hole, target.clearness[area], guess), box)
    lit = (
        None
        if guess is None
        else np.where(guess.confidence > GUIDE, _shading(_grey(guess.rgb * 255)), np.inf)
    )
    seen = Seen(shown, hole)
    samples = [sample_view(registration, view, seen, lit) for view in (*views, *beside)]
    for sample in samples[len(views) :]:
        sample.weight[hole] = 0
    colours, spread, total = interquartile_mean(samples)
    confidence = np.where(total > 0, np.exp(-np.square(spread / SPREAD)), 0.0).astype(np.float32)
    return Plate(box, np.clip(colours / 255, 0, 1), confidence, grain_left(samples))


def guide_of(
    shown: Picture, hole: Mask, clear: FloatMap, guess: Plate | None
) -> tuple[GreyPicture, FloatMap]:
    """What the box should show, grey [h, w], and how sure that is.

    Outside the hole the frame itself, and the guess where that shows it to be shaded; beside the object neither is sure, unless
    both agree that no shadow lies there.
    """
    if guess is None:
        return to_grey(shown), np.where(hole, 0, clear).astype(np.float32)
    first, grey = to_grey(to_uint8(guess.rgb)), to_grey(shown)
    agreed = cv2.GaussianBlur(cv2.absdiff(grey, first).astype(np.float32), (0, 0), 2.0) < AGREED
    shaded = np.abs(_shading(grey.astype(np.float32)) - _shading(first.astype(np.float32))) > SHADED
    guided = (hole | (shaded & (clear < 1))) & (guess.confidence > GUIDE)
    own = np.where(hole, 0, np.where(agreed, 1, clear))
    return np.where(guided, first, grey), np.where(guided, GUESSED, own).astype(np.float32)


class Seen:
    """What the frame itself shows of a box, ``shown`` [h, w, 3] and its ``hole`` [h, w]; its ``shading`` is worked out once."""

    def __init__(self, shown: Picture, hole: Mask) -> None:
        self.shown, self.hole = shown, hole
        self.shading = _shading(_grey(shown.astype(np.float32)))


def sample_view(registration: Registration, view: View, seen: Seen, lit: FloatMap | None) -> Sample:
    """What ``view`` says of the box, exposure matched to the frame's ``seen``.

    ``lit`` [h, w] is the shading of the guess, if there is one. Beside the object in the view a sample counts only where it agrees
    with that: elsewhere the object's shadow or reflection lies on it. What may stray counts less then. Not in the guess:
    near frames stray least, and a guess made of those would have their shadows.
    """
    alignment, other = registration.fine(view), view.frame
    coords = alignment.coords
    sampled = cv2.remap(other.rgb, coords, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    valid = ~outside(coords, other)
    colours = sampled.astype(np.float32)
    colours *= _gain(sampled, _grey(colours), seen, valid & ~seen.hole)
    grey = _grey(colours)
    clear, variance = view.clear, NOISE**2 + np.square(alignment.error)
    if lit is not None:
        variance += np.square(alignment.strays())
        clear = np.where(np.abs(_shading(grey) - lit) < SHADED, 1, np.square(clear))
    weight = valid * clear / variance
    return Sample(colours, grey, weight.astype(np.float32))


def _gain(sampled: Picture, grey: FloatMap, seen: Seen, common: Mask) -> FloatMap:
    """Exposure ratio [3] between frame and sample, ``grey`` [h, w], over what both show, at most a quarter either way.

    What one of them alone shows, a passer-by or a shadow, has no say.
    """
    if cv2.countNonZero(common.astype(np.uint8)) < MIN_COMMON_PX:
        return np.ones(3, np.float32)
    ratio = seen.shading - _shading(grey)
    # Shading is blurred: a quarter of the pixels has its median.
    alike = common & (np.abs(ratio - np.median(ratio[common][::4])) < SHADED)
    known = alike.astype(np.uint8)
    means = [np.array(cv2.mean(picture, known)[:3]) for picture in (seen.shown, sampled)]
    return np.asarray(np.clip(means[0] / np.maximum(means[1], 1.0), 0.8, 1.25), np.float32)


def _grey(colours: FloatMap) -> FloatMap:
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), dtype=np.float32)


def _shading(grey: FloatMap) -> FloatMap:
    """Logarithm of the local brightness of [h, w] in 8-bit levels."""
    return np.asarray(np.log(np.maximum(cv2.GaussianBlur(grey, (0, 0), 2.5), 0) + 8), dtype=np.float32)


def empty_plate(box: Box) -> Plate:
    """Nothing is known of ``box``."""
    size = box[2] - box[0], box[3] - box[1]
    return Plate(box, np.zeros((*size, 3), np.float32), np.zeros(size, np.float32))

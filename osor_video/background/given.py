"""The user's own clean plate, a picture or a clip: laid over each frame, and believed where it agrees around the hole."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from osor_video.background.camera import Homography
from osor_video.background.recover import AGREED, Plate, Seen, guide_of, plate_box, sample_view
from osor_video.background.register import Registration, ShotFrame, look, to_grey
from osor_video.config import Config
from osor_video.errors import ConfigError, VideoError
from osor_video.masks.painted import PICTURE_SUFFIXES, decode_picture, picture_size
from osor_video.tensors import FloatMap, Mask, Picture
from osor_video.video.orient import shown_size, to_coded, to_shown
from osor_video.video.probe import SourceInfo, probe
from osor_video.video.reader import open_reader

MATCHING_PX = 640
"""Longer side at which frame and plate are matched; what is left of a shift is found at full size."""
CORNERS = 1500
SURE_MATCH = 0.75
"""A corner's best match counts when it is nearer than this times the second best (Lowe 2004, section 7.1)."""
MIN_MATCHES = 16
MATCHED_PX = 1.5
"""Distance up to which a matched corner obeys the homography."""
DOUBTFUL_SHARE, SURE_SHARE = 0.5, 0.9
"""Share of the surroundings that agree with the plate at which its confidence is 0, and 1."""
NEIGHBOURHOOD = 0.15
"""Surroundings in which agreement is judged, as a share of the box's longer side: a shadow is only a part of them."""


class GivenPlate:
    """Opened for one clip; gives the plate's picture for every frame in turn."""

    def __init__(self, path: Path, source: SourceInfo) -> None:
        """Raises VideoError where the plate is missing, unreadable, or does not fit the clip in size or length."""
        self._path = path
        self._source = source
        if not path.is_file():
            raise VideoError(f"The plate {path} does not exist. Give a picture or a clip of the empty place.")
        self.moving = path.suffix.lower() not in PICTURE_SUFFIXES
        """A clip with its own live grain, not a picture."""
        self._clip = probe(path) if self.moving else None
        wanted = shown_size(source.size_hw, source.rotation)
        own = shown_size(self._clip.size_hw, self._clip.rotation) if self._clip else picture_size(path)
        if own is None:
            raise _unreadable(path)
        if own != wanted:
            raise VideoError(
                f"The plate {path} is {own[1]}x{own[0]}, the clip is {wanted[1]}x{wanted[0]}. "
                "Give the plate at the clip's own size."
            )
        self._picture = None if self._clip else _read_picture(path)
        if self._clip and self._clip.frames != source.frames:
            raise VideoError(
                f"The plate {path} has {self._clip.frames} frames, the clip has {source.frames}. "
                "Give a frame for every frame, or one picture."
            )

    def pictures(self) -> Generator[Picture, None, None]:
        """The plate [H, W, 3] in the clip's coded orientation, for every frame."""
        if self._picture is not None:
            yield from repeat(to_coded(self._picture, self._source.rotation), self._source.frames)
        if self._clip is not None:
            with open_reader(self._clip, "pyav") as frames:
                for frame in frames:
                    if frame.damaged:
                        raise VideoError(
                            f"The plate {self._path} is damaged at frame {frame.index}. Render it again."
                        )
                    yield to_coded(to_shown(frame.rgb, self._clip.rotation), self._source.rotation)


def open_plate(config: Config, source: SourceInfo) -> GivenPlate | None:
    """The plate that ``config`` names, None where it names none.

    Raises VideoError where it does not fit ``source``, ConfigError where nothing is to be borrowed.
    """
    path = config.background.plate
    if path is None:
        return None
    if config.fill == "diffusion":
        raise ConfigError(
            f"The plate {path} is given, but fill diffusion borrows nothing. Take --fill auto or --fill plate with it."
        )
    return GivenPlate(path, source)


def lay_plate(target: ShotFrame, picture: Picture, margin: float, moving: bool) -> Plate:
    """The user's ``picture`` [H, W, 3] as ``target`` would show it.

    A homography from matched corners outside the hole, then the dense residual of the recovered plate's registration; exposure is
    matched over what both show. Twice: what disagrees the first time, a shadow or another thing, has no say in the second.
    Confidence is the share of the surroundings that agree. ``moving``: the plate is a clip, whose grain is alive.
    """
    box = plate_box(target.hole, margin)
    area = np.s_[box[0] : box[2], box[1] : box[3]]
    still = replace(target, camera=np.eye(3))
    view = look(
        still.camera, ShotFrame(-1, picture, np.zeros_like(target.hole), _match(target, picture)), box
    )
    shown, hole = still.rgb[area], still.hole[area]
    laid: Plate | None = None
    unlike = hole
    for _ in range(2):
        registration = Registration(*guide_of(shown, hole, still.clearness[area], laid), box)
        sample = sample_view(registration, view, Seen(shown, unlike), None)
        known = (sample.weight > 0) & ~hole
        agreed = known & _alike(sample.grey, to_grey(shown))
        confidence = np.where(sample.weight > 0, _share_near(agreed, known), 0).astype(np.float32)
        laid = Plate(box, np.clip(sample.colours / 255, 0, 1), confidence)
        unlike = ~agreed
    assert laid is not None  # twice round
    return replace(laid, grain=np.ones_like(laid.confidence)) if moving else laid


def prefer(given: Plate, recovered: Plate, trust: float) -> Plate:
    """One plate on the same box: the user's where its confidence reaches ``trust``, else the shot's own."""
    chosen = given.confidence >= trust
    blank = np.zeros_like(given.confidence)
    grain = [blank if plate.grain is None else plate.grain for plate in (given, recovered)]
    return Plate(
        given.box,
        np.where(chosen[..., None], given.rgb, recovered.rgb),
        np.where(chosen, given.confidence, recovered.confidence),
        np.where(chosen, *grain),
    )


def _match(target: ShotFrame, picture: Picture) -> Homography:
    """Homography from the frame to the plate; where too little matches they are taken to coincide."""
    scale = min(1.0, MATCHING_PX / max(target.hole.shape))
    sift: Any = cv2.SIFT.create(CORNERS)
    found = []
    for grey, allowed in ((target.grey, ~target.hole), (to_grey(picture), np.ones_like(target.hole))):
        small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(allowed.astype(np.uint8), small.shape[::-1], interpolation=cv2.INTER_NEAREST)
        found.append(sift.detectAndCompute(small, mask))
    (start, looks), (end, others) = found
    if looks is None or others is None or len(others) < 2:
        return np.eye(3)
    pairs = [
        best
        for best, second in cv2.BFMatcher().knnMatch(looks, others, k=2)
        if best.distance < SURE_MATCH * second.distance
    ]
    if len(pairs) < MIN_MATCHES:
        return np.eye(3)
    points = [
        np.array([side[index].pt for index in chosen], np.float64) / scale
        for side, chosen in ((start, [p.queryIdx for p in pairs]), (end, [p.trainIdx for p in pairs]))
    ]
    homography, inliers = cv2.findHomography(points[0], points[1], cv2.USAC_MAGSAC, MATCHED_PX)
    if homography is None or int(inliers.sum()) < MIN_MATCHES:
        return np.eye(3)
    return np.asarray(homography, np.float64)


def _alike(grey: FloatMap, shown: npt.NDArray[np.uint8]) -> Mask:
    """Where both show the same, grain aside."""
    difference = cv2.GaussianBlur(grey - shown.astype(np.float32), (0, 0), 1.5)
    return np.asarray(np.abs(difference) < AGREED)


def _share_near(agreed: Mask, known: Mask) -> FloatMap:
    """Share of the known pixels nearby that are agreed on, brought from its two limits to [0, 1], [h, w]."""
    reach = max(4.0, NEIGHBOURHOOD * max(known.shape))
    near = [
        cv2.GaussianBlur(part.astype(np.float32), (0, 0), reach, borderType=cv2.BORDER_CONSTANT)
        for part in (agreed, known)
    ]
    share = near[0] / np.maximum(near[1], 1e-6)
    return np.asarray(np.clip((share - DOUBTFUL_SHARE) / (SURE_SHARE - DOUBTFUL_SHARE), 0, 1), np.float32)


def _unreadable(path: Path) -> VideoError:
    return VideoError(f"The plate {path} is not a readable picture. Save it as PNG.")


def _read_picture(path: Path) -> Picture:
    stored = decode_picture(path, cv2.IMREAD_COLOR)
    if stored is None:
        raise _unreadable(path)
    return np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), np.uint8)

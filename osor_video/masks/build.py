"""Who follows the object and who draws its outline, as the configuration says."""

from __future__ import annotations

from typing import Protocol

from osor_video.config import MaskConfig
from osor_video.flow.estimate import FlowPair
from osor_video.masks.features import RecognitionFeatures
from osor_video.masks.refined import RefinedTracker
from osor_video.masks.refiner import bundled_refiner
from osor_video.masks.sam import open_sam2, sam_cut_out
from osor_video.masks.sam_track import Sam2Tracker
from osor_video.masks.seed import BoxSeed, Seed
from osor_video.masks.switching import SwitchingTracker
from osor_video.masks.track import MaskTracker, State, TrackedFrame
from osor_video.report import Progress, silent
from osor_video.tensors import Mask, Picture


class Tracker(Protocol):
    """Carries one object's mask through a clip, frame by frame."""

    @property
    def follows(self) -> bool:
        """Whether the next step needs the flow."""

    def start(self, picture: Picture, mask: Mask) -> TrackedFrame:
        """Begin with the mask [H, W] of the first frame [H, W, 3]."""

    def step(self, picture: Picture, flow: FlowPair | None) -> TrackedFrame:
        """The mask of the next frame; no flow where a shot begins, or where it was not needed."""

    def state(self) -> State | None:
        """What a later run needs to go on from here, once begun; None where that cannot be had."""

    def go_on(self, state: State) -> None:
        """Stand where the tracker stood that said ``state``."""


def build_tracker(config: MaskConfig, features: RecognitionFeatures, progress: Progress = silent) -> Tracker:
    """The tracker that ``config`` names; ConfigError and WeightsError as ``open_sam2``."""
    if config.tracker == "sam2":
        return Sam2Tracker(open_sam2(config.sam2_model))
    if config.tracker == "propagate":
        return MaskTracker(features, config)

    def refined() -> RefinedTracker:
        return RefinedTracker(features, bundled_refiner(), config, progress)

    return (
        refined() if config.tracker == "refined" else SwitchingTracker(MaskTracker(features, config), refined)
    )


def draws_with_sam2(config: MaskConfig) -> bool:
    """Whether a box's object is outlined by SAM2: where so set, or where SAM2 follows it anyway."""
    return config.seed == "sam2" or (config.seed == "auto" and config.tracker == "sam2")


def check_sam2(config: MaskConfig) -> None:
    """Load SAM2 where it will be needed, so that it is missed before any work is done; errors as ``open_sam2``."""
    if config.tracker == "sam2" or draws_with_sam2(config):
        open_sam2(config.sam2_model)


def object_of(seed: Seed, picture: Picture, config: MaskConfig) -> Mask:
    """What ``seed`` marks on ``picture`` [H, W, 3] -> bool [H, W]; MaskError where nothing is found.

    SAM2 is prompted by boxes; any other region says more than its box, and GrabCut, which heeds it, draws the outline.
    """
    if isinstance(seed, BoxSeed) and draws_with_sam2(config):
        return sam_cut_out(picture, open_sam2(config.sam2_model), box_xywh=seed.xywh)
    return seed.object_in(picture)

"""The library in one call: ``remove_object``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from osor_video.config import Config
from osor_video.errors import MaskError
from osor_video.masks.marks import Marks
from osor_video.masks.region import Region, Regions
from osor_video.masks.seed import ArraySeed, BoxSeed, PictureSeed, PointsSeed, PolygonSeed, Seed, UnionSeed
from osor_video.pipeline import VideoRemover
from osor_video.project import ObjectMarks, Project, encode_mask, preview_span
from osor_video.report import Progress, RunReport, silent
from osor_video.spans import follow_span, preview_near
from osor_video.work.folder import Unfinished

__all__ = [
    "MaskLike",
    "Project",
    "RegionLike",
    "VideoRemover",
    "as_marks",
    "as_region",
    "as_seed",
    "follow_project",
    "follow_span",
    "preview_near",
    "preview_span",
    "remove_object",
]

FrameMaskLike = (
    str | PathLike[str] | npt.NDArray[Any] | tuple[int, int, int, int] | Sequence[tuple[int, int]] | Seed
)
"""A mask picture, a bool array [H, W] as shown, a box (x, y, width, height), a polygon's corners (x, y) or a seed."""
MaskLike = FrameMaskLike | Mapping[int, FrameMaskLike] | Sequence[str | PathLike[str]] | Marks
"""The same, for the first frame; a dict of them by frame; several pictures, whose union is meant; or a folder of masks or a
video of masks."""


RegionLike = str | PathLike[str] | Mapping[int, str | PathLike[str]] | Sequence[str | PathLike[str]] | Region
"""A picture for the whole clip, a folder by frame or a video; several, united; or a dict of pictures by frame, each holding from
its frame on until the next."""


def remove_object(
    source: str | PathLike[str],
    mask: MaskLike,
    output: str | PathLike[str],
    *,
    preset: str = "balanced",
    effect_mask: RegionLike = (),
    keep: RegionLike = (),
    unfinished: Unfinished = "refuse",
    **overrides: Any,
) -> RunReport:
    """Write ``output``: ``source`` without what ``mask`` marks, shadow included.

    What ``effect_mask`` shows goes too; what ``keep`` shows is never touched. ``unfinished`` says what is to become of a run of
    the same output that was cut off: "resume" goes on with it, "restart" throws it away. ``overrides`` are settings of
    ``Config``, two underscores for a dot: ``seed=1``, ``flow__height_px=200``.
    Raises an OsorError that says what is wrong; nothing is written then.
    """
    marks = as_marks(mask)
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    remover = VideoRemover.from_config(Config.load(preset, overrides=dotted))
    regions = Regions(as_region(effect_mask), as_region(keep))
    return remover.remove(Path(source), marks, Path(output), regions=regions, unfinished=unfinished)


def follow_project(
    remover: VideoRemover, clip: Path, project: Project, progress: Progress = silent
) -> Project:
    """``project`` with a mask for every frame of each object that is marked and was not followed yet.

    Raises MaskError where an object has no mask to begin with, else as ``follow_span``.
    """

    def follow(part: ObjectMarks) -> ObjectMarks:
        if part.followed or not part.masks:
            return part
        found = [
            (encode_mask(mask), round(score, 4))
            for _, mask, score in follow_span(remover, clip, project.seeds(part), progress=progress)
        ]
        return part.model_copy(
            update={"track": tuple(png for png, _ in found), "scores": tuple(score for _, score in found)}
        )

    return project.model_copy(update={"objects": tuple(follow(part) for part in project.objects)})


def as_region(region: RegionLike) -> Region:
    """What ``region`` means, by its type; MaskError for anything else."""
    if isinstance(region, Region):
        return region
    if isinstance(region, str | PathLike):
        return Region(paths=(Path(region),))
    if isinstance(region, Mapping):
        return Region(tuple((int(frame), Path(path)) for frame, path in region.items()))
    if isinstance(region, Sequence) and all(isinstance(part, str | PathLike) for part in region):
        return Region(paths=tuple(Path(part) for part in region))
    raise MaskError(
        f"The region is {region!r}, expected the path of a picture, a folder or a video, several of them, or a dict of "
        "pictures by frame."
    )


def as_marks(mask: MaskLike) -> Marks:
    """What ``mask`` marks, by its type; MaskError for anything else."""
    if isinstance(mask, Marks):
        return mask
    if isinstance(mask, Mapping):
        return Marks(tuple((int(frame), as_seed(value)) for frame, value in mask.items()))
    if isinstance(mask, str | PathLike):
        return Marks(paths=(Path(mask),))
    if isinstance(mask, Sequence) and mask and all(isinstance(part, str | PathLike) for part in mask):
        return Marks(paths=tuple(Path(str(part)) for part in mask))
    return Marks(((0, as_seed(mask)),))  # type: ignore[arg-type]


def as_seed(mask: FrameMaskLike) -> Seed:
    """The seed of one frame that ``mask`` means, by its type; MaskError for anything else."""
    if isinstance(mask, ArraySeed | BoxSeed | PictureSeed | PointsSeed | PolygonSeed | UnionSeed):
        return mask
    if isinstance(mask, str | PathLike):
        return PictureSeed(Path(mask))
    if isinstance(mask, np.ndarray):
        if mask.dtype != np.bool_ or mask.ndim != 2:
            raise MaskError(
                f"The mask array is {mask.dtype} {mask.shape}, expected bool [height, width]; try mask > 127."
            )
        return ArraySeed(mask)
    if not isinstance(mask, Sequence) or isinstance(mask, str):
        raise _unknown(mask)
    if len(mask) == 4 and all(isinstance(value, int | np.integer) for value in mask):
        x, y, width, height = (int(value) for value in mask)  # type: ignore[arg-type]
        return BoxSeed((x, y, width, height))
    if all(isinstance(corner, Sequence) and len(corner) == 2 for corner in mask):
        return PolygonSeed(tuple((int(x), int(y)) for x, y in mask))  # type: ignore[misc]
    raise _unknown(mask)


def _unknown(mask: object) -> MaskError:
    return MaskError(
        f"The mask is {mask!r}, expected a picture's path, a bool array, a box (x, y, width, height), "
        "corners (x, y), or a dict of these by frame."
    )

"""A project: a clip, what is marked in it, what was followed and how it is to be removed, as one JSON file.

    {"format": "osor-video project 1", "clip": "walk.mp4", "frames": 40, "width": 448, "height": 256,
     "objects": [{"name": "Walker", "colour": "#e8a33d", "masks": {"0": "<PNG in base64>"}}],
     "preset": "balanced", "settings": {"effects.find": "auto"}, "container": ".mp4"}

``clip`` is absolute, or relative to the file. Masks are PNG of the clip's size as it is shown, white = remove; those of ``masks``
are the user's, by frame, between which the object is followed. A ``track`` has the mask of every frame: where all objects have
one, nothing is followed any more and exactly these are removed. ``also`` goes too and ``keep`` is never touched, each from its
frame on until the next. Reading loads no torch.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from osor_video.config import Config
from osor_video.errors import ConfigError, MaskError

if TYPE_CHECKING:
    from osor_video.masks.marks import Marks
    from osor_video.masks.region import Region, Regions
    from osor_video.masks.seed import Seed

FORMAT: Literal["osor-video project 1"] = "osor-video project 1"
SUFFIX = ".json"
PREVIEW_REACH = 24
"""Frames on either side that a preview looks at, at most: a whole run borrows from ``background.reach_frames``."""
Mask = npt.NDArray[np.bool_]
Frame = Annotated[int, Field(ge=0)]
Png = str
"""A PNG in base64."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ObjectMarks(_Part):
    """One thing to remove: the user's masks by frame and, once it was followed, a mask and a score for every frame."""

    name: str = Field(default="Object", max_length=80)
    colour: str = Field(default="#e8a33d", pattern="^#[0-9a-fA-F]{6}$")
    masks: dict[Frame, Png] = {}
    track: tuple[Png, ...] = ()
    scores: tuple[float, ...] = ()

    @property
    def followed(self) -> bool:
        """Whether every frame has its mask."""
        return bool(self.track)


class Project(_Part):
    """Everything about the removal of some things from one clip."""

    format: Literal["osor-video project 1"] = FORMAT
    clip: str
    frames: int = Field(ge=1)
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    objects: tuple[ObjectMarks, ...] = ()
    also: dict[Frame, Png] = {}
    keep: dict[Frame, Png] = {}
    preset: Literal["fast", "balanced", "best"] = "balanced"
    settings: dict[str, Any] = {}
    """What differs from the preset, by dotted key."""
    container: str = ".mp4"

    @classmethod
    def read(cls, path: Path) -> Self:
        """The project at ``path``; ConfigError where it is none, MaskError for masks beyond the clip."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise ConfigError(
                f"The project {path} cannot be read ({reason}). Give a JSON file that the desk has saved."
            ) from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, name: str) -> Self:
        """The project in ``text``, of a file called ``name``; errors as ``read``."""
        try:
            project = cls.model_validate(json.loads(text))
        except json.JSONDecodeError as error:
            raise ConfigError(
                f"The project {name} is not JSON (line {error.lineno}: {error.msg}). Give a file that the desk has saved."
            ) from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"]) or "the file"
            shown = repr(first["input"])
            raise ConfigError(
                f"The project {name} does not fit: {key} is {shown[:60]}{'...' if len(shown) > 60 else ''}: {first['msg']}. "
                f"Expected the form {FORMAT!r}, as the desk saves it."
            ) from error
        project.check()
        return project

    def check(self) -> None:
        """MaskError for a mask beyond the clip, and for a track that does not have every frame."""
        for frame in (*(f for part in self.objects for f in part.masks), *self.also, *self.keep):
            if frame >= self.frames:
                raise MaskError(
                    f"The project has a mask for frame {frame}, but its clip has frames 0 to {self.frames - 1}. Choose one of them."
                )
        for part in self.objects:
            if part.track and len(part.track) != self.frames:
                raise MaskError(
                    f"{part.name} was followed through {len(part.track)} frames, but the clip has {self.frames}. Follow it again."
                )
            if part.scores and len(part.scores) != len(part.track):
                raise MaskError(
                    f"{part.name} has {len(part.scores)} scores for {len(part.track)} masks. Expected one each, or none."
                )

    def to_json(self) -> str:
        """The text of the file; what was not set is left out."""
        return self.model_dump_json(exclude_defaults=True, indent=1).replace(
            "{", f'{{\n "format": "{FORMAT}",', 1
        )

    @property
    def size_hw(self) -> tuple[int, int]:
        """The clip's size as it is shown."""
        return self.height, self.width

    @property
    def marked(self) -> tuple[ObjectMarks, ...]:
        """The objects of which anything is marked."""
        return tuple(part for part in self.objects if part.masks or part.track)

    @property
    def whole(self) -> bool:
        """Whether every marked object was followed through every frame."""
        return bool(self.marked) and all(part.followed for part in self.marked)

    def clip_path(self, home: Path) -> Path:
        """Where the clip is, for a project file in the folder ``home``."""
        return home / self.clip

    def config(self, overrides: Mapping[str, Any] | None = None, preset: str | None = None) -> Config:
        """The settings of a run, ``overrides`` by dotted key over the project's own; ConfigError as ``Config.load``."""
        return Config.load(preset or self.preset, overrides={**self.settings, **(overrides or {})})

    def seeds(self, part: ObjectMarks) -> dict[int, Seed]:
        """The user's masks of one object, by frame; empty ones are left out."""
        from osor_video.masks.seed import ArraySeed  # noqa: PLC0415  (loads torch)

        masks = {frame: decode_mask(png, self.size_hw, part.name) for frame, png in part.masks.items()}
        return {frame: ArraySeed(mask) for frame, mask in sorted(masks.items()) if mask.any()}

    def marks(self) -> Marks:
        """What is marked: the tracks where every object has one, else the user's masks of the one object there is.

        MaskError where nothing is marked, and for several objects that were not followed: each has to be, by itself
        (``follow_span``, ``with_track``), since a mask of one says nothing of the others.
        """
        from osor_video.masks.marks import Marks  # noqa: PLC0415  (loads torch)
        from osor_video.masks.sequence import StoredMasks  # noqa: PLC0415

        if not self.marked:
            raise MaskError("Nothing is marked in the project. Paint the object in at least one frame.")
        if self.whole:
            tracks = (
                StoredMasks(tuple(base64.b64decode(png) for png in part.track), part.name)
                for part in self.marked
            )
            return Marks(stored=tuple(tracks))
        if len(self.marked) > 1:
            raise MaskError(
                f"The project has {len(self.marked)} objects that were not followed yet. Follow each."
            )
        return Marks(tuple(self.seeds(self.marked[0]).items()))

    def regions(self) -> Regions:
        """What goes too and what is never touched; MaskError for pictures of another size."""
        from osor_video.masks.region import Regions  # noqa: PLC0415  (loads torch)

        return Regions(self._region(self.also, "also"), self._region(self.keep, "keep"))

    def _region(self, masks: Mapping[int, Png], name: str) -> Region:
        from osor_video.masks.region import Region  # noqa: PLC0415  (loads torch)

        return Region(
            tuple((frame, decode_mask(png, self.size_hw, name)) for frame, png in sorted(masks.items()))
        )


def encode_mask(mask: Mask) -> Png:
    """bool [H, W] -> a PNG of one bit a pixel, white = True, in base64."""
    stored = io.BytesIO()
    Image.fromarray(mask).save(stored, "PNG")
    return base64.b64encode(stored.getvalue()).decode("ascii")


def decode_mask(png: Png, size_hw: tuple[int, int], name: str) -> Mask:
    """The mask in ``png``, bool ``size_hw``: opaque and bright = True; MaskError where it is none or of another size."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(png, validate=True)), formats=("PNG",)) as picture:
            width, height = picture.size
            if (height, width) != size_hw:
                raise MaskError(
                    f"The mask of {name} is {width}x{height}, the clip is {size_hw[1]}x{size_hw[0]}. Draw it at the clip's size."
                )
            if "A" in picture.getbands():
                return np.asarray(picture.getchannel("A")) > 127
            return np.asarray(picture.convert("L")) > 127
    except (binascii.Error, UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise MaskError(f"The mask of {name} is not a readable PNG in base64. Paint it anew.") from error


def span_of(keys: Mapping[int, object] | set[int], frame: int, frames: int) -> tuple[int, int]:
    """The frames (first, end not included) whose masks depend on the user's mask of ``frame``: up to the neighbouring ``keys``.

    Both neighbours are in it, as following begins and ends at them; their own masks do not change.
    """
    before = [key for key in keys if key < frame]
    after = [key for key in keys if key > frame]
    return (max(before) if before else 0), (min(after) + 1 if after else frames)


def preview_span(frame: int, frames: int, config: Config) -> tuple[int, int]:
    """The frames around ``frame`` (first, end not included) that a preview of it looks at, in a clip of ``frames``."""
    reach = min(PREVIEW_REACH, config.background.reach_frames)
    start = max(0, frame - reach)
    return start - start % config.background.step_frames, min(frames, frame + reach + 1)

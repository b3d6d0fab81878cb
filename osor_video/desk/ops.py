"""What a window asks to be changed in a project, as the page sends it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Op(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PaintMask(_Op):
    """The mask of one frame: of an object (its id), or of the regions ``also`` and ``keep``; none takes it away."""

    op: Literal["mask"]
    target: int | Literal["also", "keep"]
    frame: Annotated[int, Field(ge=0)]
    png: str | None


class AddObject(_Op):
    """One more object; ``id`` and ``masks`` bring back one that was deleted."""

    op: Literal["add"]
    name: str | None = Field(default=None, max_length=80)
    id: int | None = None
    colour: str | None = Field(default=None, pattern="^#[0-9a-fA-F]{6}$")
    masks: dict[Annotated[int, Field(ge=0)], str] = {}


class RenameObject(_Op):
    """Another name."""

    op: Literal["rename"]
    target: int
    name: str = Field(min_length=1, max_length=80)


class DeleteObject(_Op):
    """Without this object."""

    op: Literal["delete"]
    target: int


class ChangeSettings(_Op):
    """Preset, settings by dotted key (None takes one away) and container, those that are given."""

    op: Literal["settings"]
    preset: str | None = None
    settings: dict[str, Any] = {}
    container: str | None = None


Op = Annotated[
    PaintMask | AddObject | RenameObject | DeleteObject | ChangeSettings, Field(discriminator="op")
]

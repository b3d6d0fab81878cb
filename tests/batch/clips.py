"""Folders of tiny clips with their masks beside them."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.apps.conftest import Material

OPTIONS = ("--flow", "dis", "--set", "checkpoint_s=0", "--set", "window_frames=2")


def clip_folder(folder: Path, material: Material, count: int) -> Path:
    """``count`` clips, each of its own bytes, with their masks."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        clip = folder / f"c{number}.mp4"
        # What follows a file's last box is no part of the film.
        clip.write_bytes(material.clip.read_bytes() + b"\0\0\0\x0cfree" + number.to_bytes(4, "big"))
        shutil.copy(material.first, folder / f"c{number}.mask.png")
    return folder

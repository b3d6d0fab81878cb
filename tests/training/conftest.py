"""Small synthetic photographs and labelled objects, in the layout that the trainers read."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from osor_video.tensors import Picture

PHOTOS = 13


def texture(seed: int, height: int, width: int) -> Picture:
    """A smooth coloured texture, uint8 [H, W, 3]."""
    coarse = np.random.default_rng(seed).integers(20, 235, (height // 16, width // 16, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.fixture(scope="session")
def photos_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index in range(PHOTOS):
        cv2.imwrite(str(folder / f"photo_{index:02d}.png"), texture(index, 160, 192))
    return folder


@pytest.fixture(scope="session")
def cutouts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two objects a photograph: a tall diamond (class 0) and one too small to be used."""
    folder = tmp_path_factory.mktemp("cutouts")
    (folder / "images/set").mkdir(parents=True)
    (folder / "labels/set").mkdir(parents=True)
    for index in range(PHOTOS):
        cv2.imwrite(str(folder / f"images/set/{index:02d}.jpg"), texture(100 + index, 160, 160))
        rows = ["0 0.5 0.1 0.8 0.5 0.5 0.9 0.2 0.5", "2 0.1 0.1 0.2 0.1 0.2 0.2"]
        (folder / f"labels/set/{index:02d}.txt").write_text("\n".join(rows))
    return folder

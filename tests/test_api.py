"""What a mask given to ``remove_object`` means, by its type."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from osor_video.api import MaskLike, as_marks, as_region
from osor_video.errors import MaskError
from osor_video.masks.marks import Marks
from osor_video.masks.region import Region
from osor_video.masks.seed import ArraySeed, BoxSeed, PictureSeed, PointsSeed, PolygonSeed

POINTS = PointsSeed(((3, 4),))


@pytest.mark.parametrize(
    ("mask", "marks"),
    [
        ("first.png", Marks(paths=(Path("first.png"),))),
        (["person.png", Path("bag.png")], Marks(paths=(Path("person.png"), Path("bag.png")))),
        ((1, 2, 3, 4), Marks(((0, BoxSeed((1, 2, 3, 4))),))),
        ([(1, 2), (3, 4), (5, 6)], Marks(((0, PolygonSeed(((1, 2), (3, 4), (5, 6)))),))),
        (POINTS, Marks(((0, POINTS),))),
        (Marks(((7, POINTS),)), Marks(((7, POINTS),))),
        (
            {0: (1, 2, 3, 4), 45: "fix.png"},
            Marks(((0, BoxSeed((1, 2, 3, 4))), (45, PictureSeed(Path("fix.png"))))),
        ),
    ],
)
def test_marks_by_type(mask: MaskLike, marks: Marks) -> None:
    assert as_marks(mask) == marks


def test_an_array_marks_the_first_frame() -> None:
    ((frame, seed),) = as_marks(np.ones((2, 3), bool)).seeds
    assert frame == 0
    assert isinstance(seed, ArraySeed)


@pytest.mark.parametrize("mask", [5, (1, 2, 3), {3: 4}, ["a.png", 3]])
def test_what_is_no_mask_is_refused(mask: MaskLike) -> None:
    with pytest.raises(MaskError, match="expected a picture's path"):
        as_marks(mask)


def test_an_array_of_another_kind_is_refused() -> None:
    with pytest.raises(MaskError, match=r"mask array is uint8 \(2, 3\)"):
        as_marks({2: np.ones((2, 3), np.uint8)})


def test_regions_by_their_type(tmp_path: Path) -> None:
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    assert as_region(str(a)) == Region(paths=(a,))
    assert as_region([a, str(b)]) == Region(paths=(a, b))
    assert as_region({3: a}) == Region(((3, a),))
    assert as_region(Region(paths=(a,))) == as_region(a)
    assert as_region(()) == Region()
    with pytest.raises(MaskError, match="The region is 7, expected the path"):
        as_region(7)  # type: ignore[arg-type]

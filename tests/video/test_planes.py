from __future__ import annotations

import time
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from osor_video.video.frames import frame_planes, planar_color, planes_frame
from osor_video.video.planes import (
    ColorSpec,
    Matrix,
    Planes,
    blend_planes,
    from_linear,
    outside_difference,
    planes_to_rgb,
    to_linear,
)
from tests.video.clips import DEEP, DEEPER, PLAIN, TAG, index_planes

SIZE = (64, 96)
SPECS = [
    PLAIN,
    DEEP,
    DEEPER,
    ColorSpec("bt601", full_range=True, bit_depth=8, chroma_log2=(0, 0)),
    ColorSpec("bt601", full_range=True, bit_depth=8, chroma_log2=(0, 0), gray=True),
    ColorSpec("rgb", full_range=True, bit_depth=16, chroma_log2=(0, 0)),
    ColorSpec("bt709", full_range=False, bit_depth=10, chroma_log2=(0, 1), alpha=True),
]
FloatMap = npt.NDArray[np.float32]


def smooth_rgb(size_hw: tuple[int, int] = SIZE) -> FloatMap:
    y, x = np.mgrid[0 : size_hw[0], 0 : size_hw[1]].astype(np.float32)
    channels = [0.5 + 0.3 * np.sin(x / 31 + k) + 0.15 * np.cos(y / 23 + 2 * k) for k in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def noise_planes(color: ColorSpec, size_hw: tuple[int, int] = SIZE) -> Planes:
    generator = np.random.default_rng(0)
    sizes = color.plane_sizes(size_hw)
    return tuple(generator.integers(0, color.top, size, endpoint=True).astype(color.dtype) for size in sizes)


def disc(size_hw: tuple[int, int] = SIZE) -> FloatMap:
    y, x = np.mgrid[0 : size_hw[0], 0 : size_hw[1]]
    distance = np.hypot(y - size_hw[0] / 2 + 3, x - size_hw[1] / 2 - 5)
    inside: FloatMap = np.clip((18 - distance) / 6, 0, 1).astype(np.float32)
    return inside


def everywhere(value: float) -> FloatMap:
    return np.full(SIZE, value, np.float32)


@pytest.mark.parametrize("color", SPECS, ids=lambda c: c.pix_fmt)
def test_frames_hold_exactly_the_planes(color: ColorSpec) -> None:
    planes = noise_planes(color, (48, 100))

    back = frame_planes(planes_frame(planes, color), color)

    assert all(np.array_equal(a, b) for a, b in zip(planes, back, strict=True))


@pytest.mark.parametrize("color", SPECS, ids=lambda c: c.pix_fmt)
def test_zero_alpha_leaves_every_byte(color: ColorSpec) -> None:
    planes = noise_planes(color)

    out = blend_planes(planes, smooth_rgb(), everywhere(0), color)

    assert all(a.tobytes() == b.tobytes() for a, b in zip(planes, out, strict=True))


@pytest.mark.parametrize("color", SPECS, ids=lambda c: c.pix_fmt)
def test_outside_the_region_every_byte_stays(color: ColorSpec) -> None:
    planes, alpha = noise_planes(color), disc()

    out = blend_planes(planes, smooth_rgb(), alpha, color)

    assert np.array_equal(out[0][alpha == 0], planes[0][alpha == 0])
    assert not np.array_equal(out[0][alpha > 0], planes[0][alpha > 0])
    v, h = color.chroma_log2
    average = alpha.reshape(SIZE[0] >> v, 1 << v, SIZE[1] >> h, 1 << h).mean(axis=(1, 3))
    for before, after in zip(planes[1:3], out[1:3], strict=True):
        assert np.array_equal(after[average < 1 / 512], before[average < 1 / 512])
        assert not np.array_equal(after, before)


@pytest.mark.parametrize("color", SPECS[:4], ids=lambda c: c.pix_fmt)
def test_full_alpha_gives_the_picture_back(color: ColorSpec) -> None:
    rgb = smooth_rgb()

    out = blend_planes(noise_planes(color), rgb, everywhere(1), color)

    error = np.abs(planes_to_rgb(out, color) - rgb * 255.0)
    # Half a code of chroma is worth up to one of blue, and chroma is rounded again as it is enlarged.
    assert error.max() < 3
    assert error.mean() < 0.6


def test_gray_takes_the_luma_of_the_picture() -> None:
    gray = SPECS[4]
    rgb = smooth_rgb()

    out = planes_to_rgb(blend_planes(noise_planes(gray), rgb, everywhere(1), gray), gray)

    assert np.array_equal(out[..., 0], out[..., 2])
    assert np.abs(out[..., 0] - rgb @ (0.299, 0.587, 0.114) * 255).max() < 1


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("full", [False, True])
def test_colours_agree_with_ffmpeg(matrix: Matrix, full: bool) -> None:
    color = ColorSpec(matrix, full_range=full, bit_depth=8, chroma_log2=(0, 0))
    planes = blend_planes(noise_planes(color), smooth_rgb(), everywhere(1), color)
    frame = planes_frame(planes, color)
    frame.colorspace, frame.color_range = TAG[matrix], 2 if full else 1

    theirs = frame.to_ndarray(format="rgb24")

    assert np.abs(planes_to_rgb(planes, color).astype(int) - theirs).max() <= 2


def test_known_colours_of_bt709() -> None:
    red = np.zeros((*SIZE, 3), np.float32)
    red[..., 0] = 1

    out = blend_planes(noise_planes(PLAIN), red, everywhere(1), PLAIN)

    assert [int(plane[8, 8]) for plane in out] == [63, 102, 240]


def test_colour_where_alpha_is_zero_does_not_bleed_into_chroma() -> None:
    planes = tuple(np.full(size, 128, np.uint8) for size in PLAIN.plane_sizes(SIZE))
    alpha = everywhere(0)
    alpha[:, 0::2] = 1
    rgb = np.full((*SIZE, 3), 0.5, np.float32)
    rgb[:, 1::2] = (1, 0, 0)

    out = blend_planes(planes, rgb, alpha, PLAIN)

    assert (out[1] == 128).all()
    assert (out[2] == 128).all()


@pytest.mark.parametrize("color", SPECS, ids=lambda c: c.pix_fmt)
def test_a_box_gives_what_the_whole_frame_gives(color: ColorSpec) -> None:
    planes, alpha, rgb = noise_planes(color), disc(), smooth_rgb()
    y0, x0, y1, x1 = box = (4, 20, 58, 90)

    part = blend_planes(planes, rgb[y0:y1, x0:x1], alpha[y0:y1, x0:x1], color, box)

    whole = blend_planes(planes, rgb, alpha, color)
    assert all(np.array_equal(a, b) for a, b in zip(part, whole, strict=True))


@pytest.mark.parametrize(
    ("box", "patch", "message"),
    [
        ((0, 0, 65, 96), (65, 96), "does not lie in a frame"),
        ((1, 0, 33, 96), (32, 96), "cuts chroma samples"),
        ((0, 0, 32, 96), (30, 96), "do not fit a patch"),
    ],
)
def test_misfits_are_refused(box: tuple[int, int, int, int], patch: tuple[int, int], message: str) -> None:
    rgb, alpha = np.zeros((*patch, 3), np.float32), np.zeros(patch, np.float32)
    with pytest.raises(ValueError, match=message):
        blend_planes(index_planes(0), rgb, alpha, PLAIN, box)


@pytest.mark.parametrize("form", ["rgb24", "gbrp", "bgra", "nv12", "yuv411p", "gbrp10le", "p010le"])
def test_other_forms_become_planes_of_the_same_colours(form: str) -> None:
    frame = planes_frame(blend_planes(noise_planes(PLAIN), smooth_rgb(), everywhere(1), PLAIN), PLAIN)
    frame.colorspace, frame.color_range = 1, 1
    frame = frame.reformat(format=form, dst_colorspace=1, dst_color_range=1)

    color, note = planar_color(frame, Path("a.mov"))
    rgb = planes_to_rgb(frame_planes(frame, color), color)

    assert np.abs(rgb - smooth_rgb() * 255.0)[4:-4, 4:-4].mean() < 2
    assert (note == "") == (form != "yuv411p")
    assert color.alpha == (form == "bgra")
    assert color.matrix == ("rgb" if color.pix_fmt.startswith("gb") else "bt709")
    assert color.bit_depth == (10 if "10" in form else 8)


@pytest.mark.parametrize("color", [PLAIN, DEEP, DEEPER, *SPECS[-2:]], ids=lambda c: c.pix_fmt)
def test_odd_sizes_are_blended_in_their_own_planes(color: ColorSpec) -> None:
    size = (63, 95)
    planes, alpha = noise_planes(color, size), np.zeros(size, np.float32)
    alpha[40:, 60:] = 1

    rgb = np.full((*size, 3), 0.5, np.float32)
    out = blend_planes(planes, rgb, alpha, color)
    part = blend_planes(planes, rgb[40:, 60:], alpha[40:, 60:], color, (40, 60, 63, 95))

    assert [plane.shape for plane in out] == list(color.plane_sizes(size))
    assert all(np.array_equal(a, b) for a, b in zip(out, part, strict=True))
    assert outside_difference(planes, out, alpha, color) == 0
    corner = planes_to_rgb(out, color)[44:, 64:].astype(int)
    assert np.abs(corner - 127.5).max() <= 1.5


@pytest.mark.parametrize("number", [0, 1, 3])
def test_one_moved_sample_outside_is_measured(number: int) -> None:
    color = SPECS[-1]
    planes, alpha = noise_planes(color), np.zeros(SIZE, np.float32)
    alpha[8:20, 10:31] = 1
    moved = tuple(plane.copy() for plane in planes)
    # Within alpha's box all may change, but the alpha plane; the sample beside it may not.
    moved[0][8:20, 10:31] = 0
    moved[1][8:20, 5:16] = 0
    assert outside_difference(planes, moved, alpha, color) == 0
    assert outside_difference(planes, moved, alpha[8:20, 10:32], color, (8, 10, 20, 32)) == 0
    place = (7, 15) if number != 1 else (7, 7)
    moved[number][place] = planes[number][place] ^ 4
    assert outside_difference(planes, moved, alpha, color) == 4


@pytest.mark.parametrize("depth", [16, 32])
def test_linear_light_is_seen_and_filled_through_the_srgb_curve(depth: int) -> None:
    color = ColorSpec("rgb", full_range=True, bit_depth=depth, chroma_log2=(0, 0), linear=True)
    planes = tuple(np.full(SIZE, value, color.dtype) for value in (0.2140, 7.5, np.nan))
    # 0.2140 of the light is the middle grey of sRGB, 188 / 255 is half of the light.
    assert planes_to_rgb(planes, color)[0, 0].tolist() == [0, 127, 255]
    alpha = disc()
    out = blend_planes(planes, np.full((*SIZE, 3), 188 / 255, np.float32), alpha, color)
    assert outside_difference(planes, out, alpha, color) == 0
    assert np.abs(out[0][alpha == 1].astype(float) - 0.5).max() < 0.005
    assert np.isnan(out[2][alpha == 0]).all()
    assert np.isfinite(out[2][alpha == 1]).all()
    half = (alpha > 0.4) & (alpha < 0.6)
    assert np.abs(out[0][half] - (0.214 * (1 - alpha[half]) + 0.5029 * alpha[half])).max() < 0.002


def test_both_directions_of_the_curve() -> None:
    values = np.linspace(0, 1, 1001, dtype=np.float32)
    assert np.abs(from_linear(to_linear(values)) - values).max() < 1e-5
    assert np.allclose(from_linear(np.array([np.nan, np.inf, -1, 9], np.float32)), [0, 1, 0, 1])


def test_a_blend_of_a_small_clip_is_quick() -> None:
    size = (256, 448)
    planes, rgb, alpha = noise_planes(PLAIN, size), smooth_rgb(size), disc(size)
    blend_planes(planes, rgb, alpha, PLAIN)

    best_s = min(_seconds(planes, rgb, alpha) for _ in range(20))

    # Measured at 2 ms; the bound leaves room for a busy machine.
    assert best_s < 0.012


def _seconds(planes: Planes, rgb: FloatMap, alpha: FloatMap) -> float:
    start = time.perf_counter()
    blend_planes(planes, rgb, alpha, PLAIN)
    return time.perf_counter() - start


def test_ffmpeg_is_not_told_apart_by_row_padding() -> None:
    frame = av.VideoFrame(50, 34, "yuv420p")
    color = ColorSpec("bt601", full_range=False, bit_depth=8, chroma_log2=(1, 1))

    assert [plane.shape for plane in frame_planes(frame, color)] == [(34, 50), (17, 25), (17, 25)]

"""What the user can say beside the mask: regions, effects, where the fill comes from; and grain that does not freeze."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from osor_video.analysis import FrameNotes
from osor_video.apps.summary import summary
from osor_video.background.given import open_plate
from osor_video.config import Config
from osor_video.masks.features import RecognitionFeatures
from osor_video.masks.held import pack_mask
from osor_video.masks.region import Region, Regions
from osor_video.masks.seed import ArraySeed
from osor_video.removal.remover import OneStepRemover
from osor_video.report import Stopwatch
from osor_video.restore import Restored, Restorer
from osor_video.shapes import dilate
from osor_video.tensors import FloatMap, Mask, Picture
from osor_video.video.frames import frame_planes
from osor_video.video.planes import ColorSpec, PlanarFrame, planes_to_rgb, whole_samples
from osor_video.video.probe import probe
from tests.test_pipeline import COUNT, LOSSLESS, Parts, decoded, notes_of, same, write_clip
from tests.tiny import tiny_model
from tests.world import World, make_world

FULL = ColorSpec("bt601", full_range=True, bit_depth=8, chroma_log2=(0, 0))
"""RGB through these planes and back differs by rounding alone."""


def planes_of(frames: Sequence[Picture]) -> list[PlanarFrame]:
    coded = (av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames)
    full = (frame.reformat(format="yuv444p", dst_color_range=2, dst_colorspace=5) for frame in coded)
    return [PlanarFrame(i, i, frame_planes(frame, FULL)) for i, frame in enumerate(full)]


def finish(
    parts: Parts, frames: Sequence[Picture], notes: Sequence[FrameNotes], config: Config
) -> list[Restored]:
    remover = OneStepRemover(parts.model, config.removal, config.seed)
    with ThreadPoolExecutor(2) as pool:
        restorer = Restorer(notes, remover, FULL, config, pool, Stopwatch())
        return list(restorer.run(iter(planes_of(frames))))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, features: RecognitionFeatures, world: World) -> Parts:
    folder = tmp_path_factory.mktemp("controls")
    clip = write_clip(folder / "clip.mp4", world.frames[:COUNT])
    return Parts(features, tiny_model(folder / "model"), clip, ArraySeed(world.masks[0]))


@pytest.fixture(scope="module")
def notes(parts: Parts, world: World) -> list[FrameNotes]:
    return notes_of(parts, world.frames[:COUNT], world.masks[0])


def alpha_of(done: Restored) -> FloatMap:
    whole = np.zeros(done.frame.planes[0].shape, np.float32)
    if done.fill is not None:
        top, left, bottom, right = done.fill.box
        whole[top:bottom, left:right] = done.fill.alpha
    return whole


def painted(path: Path, mask: Mask) -> Path:
    cv2.imwrite(str(path), mask.astype(np.uint8) * 255)
    return path


def test_what_is_kept_stays_sample_for_sample_though_mask_and_region_say_otherwise(
    parts: Parts,
    world: World,
    tmp_path: Path,
) -> None:
    kept = np.zeros(world.masks[0].shape, dtype=bool)
    # Odd edges: half of a chroma sample is kept wholly.
    kept[61:85, 41:] = True
    added = np.zeros_like(kept)
    added[80:101, 20:71] = True
    regions = Regions(
        Region(paths=(painted(tmp_path / "a.png", added),)),
        Region(paths=(painted(tmp_path / "k.png", kept),)),
    )
    output, effects = tmp_path / "out.mkv", dict[int, FloatMap]()
    parts.remover(LOSSLESS).remove(
        parts.clip,
        parts.seed,
        output,
        regions=regions,
        on_effect=lambda index, alpha: effects.update({index: alpha}),
    )
    chroma = whole_samples(kept, (1, 1))[::2, ::2]
    assert (kept & world.masks[2]).sum() > 200
    for before, after in zip(decoded(parts.clip), decoded(output), strict=True):
        for plane, source, area in zip(after.planes, before.planes, (kept, chroma, chroma), strict=True):
            assert np.array_equal(plane[area], source[area])
        gone = added & ~whole_samples(kept, (1, 1))
        assert (after.planes[0] != before.planes[0])[gone].mean() > 0.5
    assert sorted(effects) == list(range(COUNT))
    assert max(alpha[kept].max() for alpha in effects.values()) == 0


def test_where_all_of_the_hole_is_kept_the_frame_passes_as_it_is(
    parts: Parts,
    world: World,
    notes: list[FrameNotes],
) -> None:
    everything = pack_mask(np.ones(world.masks[0].shape, dtype=bool))
    kept = [replace(notes[0], packed_kept=everything, hole_box=None), *notes[1:]]
    done = finish(parts, world.frames[:COUNT], kept, Config())
    assert done[0].fill is None
    assert same(done[0].frame, planes_of(world.frames[:1])[0])
    assert done[1].fill is not None


def test_a_region_goes_in_frames_without_the_object(
    parts: Parts, world: World, notes: list[FrameNotes]
) -> None:
    spot = np.zeros(world.masks[0].shape, dtype=bool)
    spot[20:40, 120:150] = True
    nothing = pack_mask(spot & False)
    alone = replace(notes[3], packed_mask=nothing, packed_added=pack_mask(spot), hole_box=(20, 120, 40, 150))
    frames = [*world.frames[:3], world.plates[3], *world.frames[4:COUNT]]
    config = Config.model_validate({"effects": {"find": "off"}})
    done = finish(parts, frames, [*notes[:3], alone, *notes[4:]], config)
    alpha = alpha_of(done[3])
    assert alpha[spot].min() == 1
    assert alpha[60:].max() == 0


def test_effects_off_touches_the_mask_alone(parts: Parts) -> None:
    world = make_world(20)
    notes = notes_of(parts, world.frames, world.masks[0])
    touched = {}
    for find in ("off", "auto"):
        done = finish(parts, world.frames, notes, Config.model_validate({"effects": {"find": find}}))[10]
        shadow = world.effects[10] & ~dilate(notes[10].mask, 7)
        touched[find] = float((alpha_of(done)[shadow] > 0.5).mean())
    assert touched["off"] == 0
    assert touched["auto"] > 0.6


def test_pure_diffusion_sees_no_other_frame(parts: Parts, world: World, notes: list[FrameNotes]) -> None:
    config = Config.model_validate({"fill": "diffusion", "removal": {"latent_warp": 0}})
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, *world.frames[0].shape)).astype(np.uint8)
    others = [*noise[:4], world.frames[4], *noise[5:]]
    alone, among = (finish(parts, frames, notes, config)[4] for frames in (others, world.frames[:COUNT]))
    assert same(alone.frame, among.frame)
    assert among.fill is not None
    assert among.fill.borrowed == 0
    borrowing = finish(parts, others, notes, Config())[4]
    assert not same(borrowing.frame, finish(parts, world.frames[:COUNT], notes, Config())[4].frame)


def test_the_plate_fill_asks_no_network_and_says_what_no_frame_shows(
    parts: Parts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def generate(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(OneStepRemover, "remove", generate)
    # The object stands still before a still camera: no frame shows what is behind it.
    still = make_world(4, walk_px=0, pan_xy=(0, 0), shadow=0)
    clip = write_clip(tmp_path / "still.mp4", still.frames)
    report = parts.remover(Config(fill="plate")).remove(clip, parts.seed, tmp_path / "out.mp4")
    assert set(report.unseen) == set(range(4))
    assert min(report.unseen.values()) > 0.95  # the mask's edge breathes by a pixel
    assert "4 of 4 frames have places that no frame shows, at most 100% of the hole" in summary(report)
    assert "nothing is generated" in summary(report)


def test_a_given_plate_fills_what_the_shot_never_shows(parts: Parts, tmp_path: Path) -> None:
    # The object stands still before a still camera: no frame shows what is behind it.
    still = make_world(COUNT, walk_px=0, pan_xy=(0, 0), shadow=0)
    found = notes_of(parts, still.frames, still.masks[0])
    cv2.imwrite(str(tmp_path / "plate.png"), still.plates[0][..., ::-1])
    config = Config.load(overrides={"background.plate": tmp_path / "plate.png", "composite.grain": 0})
    given = open_plate(config, probe(parts.clip))
    remover = OneStepRemover(parts.model, config.removal, 0)
    with ThreadPoolExecutor(2) as pool:
        restorer = Restorer(found, remover, FULL, config, pool, Stopwatch(), given)
        done = list(restorer.run(iter(planes_of(still.frames))))
    for item, truth, mask in zip(done, still.plates, still.masks, strict=True):
        assert item.fill is not None
        assert item.fill.borrowed > 0.99
        error = np.abs(planes_to_rgb(item.frame.planes, FULL).astype(int) - truth)[mask]
        assert error.mean() < 3


def temporal_noise(frames: Sequence[Picture], plates: Sequence[Picture], where: Sequence[Mask]) -> float:
    """Standard deviation over the pixels ``where`` of what changes from frame to frame and does not in the plates."""
    luma = [
        frame.astype(np.float32).mean(axis=2) - plate.mean(axis=2)
        for frame, plate in zip(frames, plates, strict=True)
    ]
    steps = [(b - a)[mask] for a, b, mask in zip(luma, luma[1:], where[1:], strict=False)]
    return float(np.concatenate(steps).std())


@pytest.mark.parametrize("fill", ["auto", "plate"])
def test_grain_lives_on_in_the_hole(parts: Parts, fill: str) -> None:
    clean = make_world(COUNT + 5, shadow=0, pan_xy=(0, 0))
    random = np.random.default_rng(3)
    frames = [
        np.clip(np.rint(frame + 5 * random.standard_normal(frame.shape)), 0, 255).astype(np.uint8)
        for frame in clean.frames
    ]
    found = notes_of(parts, frames, clean.masks[0])
    inner = [cv2.erode(mask.astype(np.uint8), np.ones((5, 5))) > 0 for mask in clean.masks]
    outer = [~dilate(mask, 12) for mask in clean.masks]
    outside = temporal_noise(frames, clean.plates, outer)
    shares = {}
    for grain in (0.0, 1.0):
        config = Config.model_validate({"fill": fill, "composite": {"grain": grain}})
        done = finish(parts, frames, found, config)
        shown = [planes_to_rgb(item.frame.planes, FULL) for item in done]
        # The ends of the walk, which few frames uncover, are left out.
        span = slice(4, COUNT + 1)
        shares[grain] = temporal_noise(shown[span], clean.plates[span], inner[span]) / outside
    assert shares[0.0] < 0.6
    assert 0.8 < shares[1.0] < 1.25

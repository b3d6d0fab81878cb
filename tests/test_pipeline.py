"""The whole run on a small clip with sound: a tiny real model, DIS flow, the tracker's real weights."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from osor_video.analysis import FirstPass, FrameNotes
from osor_video.config import Config, DecodeConfig, EncodeConfig, RemovalConfig
from osor_video.errors import MaskError, VideoError
from osor_video.flow.estimate import DisFlow
from osor_video.masks.drift import SURE
from osor_video.masks.features import RecognitionFeatures
from osor_video.masks.held import KeyedFrames, pack_mask
from osor_video.masks.seed import ArraySeed
from osor_video.masks.track import MaskTracker
from osor_video.pipeline import VideoRemover
from osor_video.removal.model import OsorModel
from osor_video.removal.remover import OneStepRemover
from osor_video.report import RunReport, Stopwatch
from osor_video.restore import Restored, Restorer
from osor_video.tensors import Mask, Picture
from osor_video.video.frames import frame_planes
from osor_video.video.planes import ColorSpec, PlanarFrame, planes_to_rgb
from osor_video.video.probe import probe
from osor_video.video.reader import read_planes
from tests.tiny import tiny_model
from tests.video.clips import add_tone, packets
from tests.world import World, jaccard, make_world, night, psnr_db

RATE = Fraction(24000, 1001)
COUNT = 9
BY_PYAV = DecodeConfig(decoder="pyav")
"""decord's RGB differs from PyAV's by rounding, so comparisons sample by sample name who decodes."""
LOSSLESS = Config(decode=BY_PYAV, encode=EncodeConfig(lossless=True))


def write_clip(path: Path, frames: Sequence[Picture], *, sound: bool = False, rotation: int = 0) -> Path:
    """Encode RGB frames at high quality, one timestamp left out in the middle, with a tone beside them."""
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as out:
        video = out.add_stream("libx264", rate=RATE, options={"crf": "4", "preset": "veryfast"})
        context = video.codec_context
        context.height, context.width, context.pix_fmt = (*frames[0].shape[:2], "yuv420p")
        context.time_base = video.time_base = 1 / RATE / 1001
        if rotation:
            video.set_display_rotation(float(rotation))
        tone = out.add_stream("aac", rate=48000) if sound else None
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = (index + (index > 4)) * 1001, context.time_base
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if tone is not None:
            add_tone(out, tone, float(len(frames) / RATE))
    return path


def decoded(path: Path) -> list[PlanarFrame]:
    with closing(read_planes(probe(path))) as frames:
        return list(frames)


def same(a: PlanarFrame, b: PlanarFrame) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a.planes, b.planes, strict=True))


@dataclass(frozen=True)
class Parts:
    """What every run shares."""

    features: RecognitionFeatures
    model: OsorModel
    clip: Path
    seed: ArraySeed

    def remover(self, config: Config) -> VideoRemover:
        return VideoRemover(
            DisFlow(160), self.features, OneStepRemover(self.model, config.removal, config.seed), config
        )

    def run(self, output: Path, config: Config) -> RunReport:
        return self.remover(config).remove(self.clip, self.seed, output)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, features: RecognitionFeatures, world: World) -> Parts:
    folder = tmp_path_factory.mktemp("pipeline")
    clip = write_clip(folder / "clip.mp4", world.frames[:COUNT], sound=True)
    return Parts(features, tiny_model(folder / "model"), clip, ArraySeed(world.masks[0]))


@pytest.fixture(scope="module")
def lossless(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunReport]:
    """The clip's result as FFV1, and its report."""
    output = tmp_path_factory.mktemp("lossless") / "out.mkv"
    return output, parts.run(output, LOSSLESS)


@pytest.fixture(scope="module")
def notes(parts: Parts, world: World) -> list[FrameNotes]:
    """The first pass over the clip's frames as they are decoded."""
    return first_pass(parts, world)


def first_pass(parts: Parts, world: World) -> list[FrameNotes]:
    color = probe(parts.clip).color
    pictures = [planes_to_rgb(frame.planes, color) for frame in decoded(parts.clip)]
    return notes_of(parts, pictures, world.masks[0])


def notes_of(parts: Parts, pictures: list[Picture], first: Mask) -> list[FrameNotes]:
    config = Config()
    masks = KeyedFrames(MaskTracker(parts.features, config.mask), {0: lambda _: first})
    with ThreadPoolExecutor(1) as pool:
        first_pass = FirstPass(masks, DisFlow(160), config, pool, Stopwatch())
        return [note for _, note in first_pass.run(pictures)]


def notes_like(masks: Sequence[Mask], shots: Sequence[int]) -> list[FrameNotes]:
    """Notes that hold masks and shots alone."""
    return [
        FrameNotes(pack_mask(mask), mask.shape, SURE, shot, np.eye(3), None, None)
        for mask, shot in zip(masks, shots, strict=True)
    ]


def restored(parts: Parts, notes: list[FrameNotes], config: Config, start: int = 0) -> list[Restored]:
    source = probe(parts.clip)
    remover = OneStepRemover(parts.model, config.removal, config.seed)
    with closing(read_planes(source)) as planes, ThreadPoolExecutor(2) as pool:
        restorer = Restorer(notes, remover, source.color, config, pool, Stopwatch())
        return list(restorer.run(planes, start))


def test_frames_times_and_sound_come_through(parts: Parts, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    report = parts.run(output, Config())
    before, after = probe(parts.clip), probe(output)
    assert after.frames == before.frames == report.frames == COUNT
    assert [p * after.time_base for p in after.pts] == [p * before.time_base for p in before.pts]
    assert packets(output, "audio") == packets(parts.clip, "audio")
    assert len(packets(output, "audio")[0]) > 10
    again = tmp_path / "again.mp4"
    parts.run(again, Config(window_frames=3))
    # Same seed, same bytes; and the window's size changes nothing.
    assert again.read_bytes() == output.read_bytes()


def test_the_report_tells_the_run(lossless: tuple[Path, RunReport]) -> None:
    report = lossless[1]
    assert report.size_hw == (128, 192)
    assert report.flow == "DIS (OpenCV)"
    assert report.model == "tiny"
    assert len(report.mask_scores) == COUNT
    assert report.cuts == []
    assert 0.02 < report.replaced < 0.2
    assert 0.5 < report.borrowed <= 1
    assert set(report.seconds) == {
        *("flow", "mask", "camera", "decode", "background", "remove", "composite", "encode", "keep"),
    }
    assert min(report.seconds.values()) > 0
    assert report.wall_s > 0


def test_the_lossless_file_holds_exactly_the_composited_samples(
    parts: Parts, lossless: tuple[Path, RunReport], notes: list[FrameNotes]
) -> None:
    found = decoded(lossless[0])
    for frame, wanted in zip(found, restored(parts, notes, Config()), strict=True):
        assert same(frame, wanted.frame)


def test_every_sample_outside_alpha_is_the_sources(parts: Parts, notes: list[FrameNotes]) -> None:
    for before, after in zip(decoded(parts.clip), restored(parts, notes, Config()), strict=True):
        assert after.fill is not None
        top, left, bottom, right = after.fill.box
        touched = np.zeros((128, 192), dtype=bool)
        touched[top:bottom, left:right] = after.fill.alpha > 0
        chroma = touched.reshape(64, 2, 96, 2).any(axis=(1, 3))
        for plane, source, area in zip(
            after.frame.planes, before.planes, (touched, chroma, chroma), strict=True
        ):
            assert np.array_equal(plane[~area], source[~area])
        assert (after.frame.planes[0] != before.planes[0])[touched].mean() > 0.5
        assert touched.mean() < 0.3


@pytest.mark.parametrize("fill", ["auto", "diffusion", "plate"])
def test_windows_do_not_change_the_result(parts: Parts, notes: list[FrameNotes], fill: str) -> None:
    values = {"fill": fill, "background": {"reach_frames": 4}}
    whole, windowed = (
        restored(parts, notes, Config.model_validate(values | {"window_frames": size})) for size in (1000, 3)
    )
    assert len(whole) == len(windowed) == COUNT
    assert all(same(a.frame, b.frame) for a, b in zip(whole, windowed, strict=True))


def test_another_batch_changes_rounding_only(parts: Parts, notes: list[FrameNotes]) -> None:
    values = {"fill": "diffusion"}
    one, three = (
        restored(parts, notes, Config.model_validate(values | {"removal": {"batch": size}}))
        for size in (1, 3)
    )
    for a, b in zip(one, three, strict=True):
        differences = [
            np.abs(x.astype(int) - y).max() for x, y in zip(a.frame.planes, b.frame.planes, strict=True)
        ]
        assert max(differences) <= 1


def test_another_seed_gives_other_noise(parts: Parts, notes: list[FrameNotes]) -> None:
    a, b = (restored(parts, notes, Config(fill="diffusion", seed=seed))[0] for seed in (0, 1))
    assert not same(a.frame, b.frame)


def test_the_plate_fill_shows_the_true_background(parts: Parts) -> None:
    plain = make_world(18, shadow=0)
    found = notes_of(parts, plain.frames, plain.masks[0])
    figures = plate_psnr(parts, plain, found, Config(fill="plate"))
    # Measured: mean 46.9 dB, lowest 34.0.
    assert np.mean(figures) > 42
    assert min(figures) > 31


def plate_psnr(parts: Parts, world: World, notes: list[FrameNotes], config: Config) -> list[float]:
    """PSNR in the true mask against the true plate, frame by frame, before encoding."""
    color = ColorSpec("bt601", full_range=True, bit_depth=8, chroma_log2=(0, 0))
    coded = (av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in world.frames)
    full = (frame.reformat(format="yuv444p", dst_color_range=2, dst_colorspace=5) for frame in coded)
    planes = (PlanarFrame(i, i, frame_planes(frame, color)) for i, frame in enumerate(full))
    remover = OneStepRemover(parts.model, config.removal, 0)
    figures = []
    with ThreadPoolExecutor(2) as pool:
        finished = list(Restorer(notes, remover, color, config, pool, Stopwatch()).run(planes))
    for done, truth, mask in zip(finished, world.plates, world.masks, strict=True):
        assert done.fill is not None
        top, left, bottom, right = done.fill.box
        inner = mask[top:bottom, left:right]
        figures.append(psnr_db(done.fill.rgb, truth[top:bottom, left:right], inner))
    return figures


def test_an_interrupt_leaves_the_old_file_and_nothing_else(parts: Parts, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(b"an older result")

    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "remove" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parts.remover(Config()).remove(parts.clip, parts.seed, output, interrupt)
    assert output.read_bytes() == b"an older result"
    # What was finished is kept; nothing else is.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "out.mp4.osor-work"]


def test_progress_counts_both_passes(parts: Parts, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "short.mp4", make_world(3).frames)
    told: list[tuple[str, int, int]] = []
    parts.remover(Config()).remove(clip, parts.seed, tmp_path / "out.mp4", lambda *what: told.append(what))
    assert told == [("track", n, 3) for n in (1, 2, 3)] + [("remove", n, 3) for n in (1, 2, 3)]


def test_frames_after_a_cut_are_left_as_they_are(parts: Parts, world: World, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "cut.mp4", [*world.frames[:4], *night(3)])
    report = parts.remover(LOSSLESS).remove(clip, parts.seed, tmp_path / "out.mkv")
    assert report.cuts == [4]
    changed = [not same(a, b) for a, b in zip(decoded(clip), decoded(tmp_path / "out.mkv"), strict=True)]
    assert changed == [True] * 4 + [False] * 3


@pytest.mark.parametrize("rotation", [90, 180])
def test_a_rotated_source_takes_the_mask_as_it_is_shown(
    parts: Parts, world: World, tmp_path: Path, rotation: int
) -> None:
    clip = write_clip(tmp_path / "turned.mp4", world.frames[:2], rotation=rotation)
    source = probe(clip)
    assert source.rotation == rotation
    # Shown upright, the coded picture is turned back by as much: what a player's screenshot has.
    turns = -(rotation // 90)
    shown = [np.ascontiguousarray(np.rot90(mask, turns)) for mask in world.masks[:2]]
    found = [mask for mask, _ in parts.remover(Config()).masks(clip, ArraySeed(shown[0]))]
    assert [mask.shape for mask in found] == [shown[0].shape] * 2
    assert jaccard(found[1], shown[1]) > 0.9
    before, after = parts.remover(Config()).preview(clip, ArraySeed(shown[0]), 1)
    changed = np.abs(before.astype(int) - after).max(axis=2) > 12
    assert changed[shown[1]].mean() > 0.7
    if rotation == 90:
        with pytest.raises(MaskError, match=r"the clip is \(192, 128\)"):
            parts.remover(Config()).preview(clip, parts.seed, 1)


def test_a_preview_is_the_frame_of_the_full_run(parts: Parts, lossless: tuple[Path, RunReport]) -> None:
    frame, color = 4, probe(parts.clip).color
    assert frame <= RemovalConfig().anchor_frames
    before, after = parts.remover(Config(decode=BY_PYAV)).preview(parts.clip, parts.seed, frame)
    assert np.array_equal(before, planes_to_rgb(decoded(parts.clip)[frame].planes, color))
    assert np.array_equal(after, planes_to_rgb(decoded(lossless[0])[frame].planes, color))


@pytest.mark.parametrize("frame", [-1, COUNT])
def test_a_preview_of_a_frame_that_is_not_there_is_refused(parts: Parts, frame: int) -> None:
    with pytest.raises(VideoError, match=rf"Frame {frame} is not in .*clip\.mp4: it has frames 0 to 8"):
        parts.remover(Config()).preview(parts.clip, parts.seed, frame)


def test_a_mask_that_does_not_fit_is_refused_before_anything_is_written(parts: Parts, tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="mask array is"):
        parts.remover(Config()).remove(parts.clip, ArraySeed(np.ones((8, 8), bool)), tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []

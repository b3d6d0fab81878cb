"""A run that was cut off goes on: the bytes of a run that was never stopped, whoever follows the object; or it is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from osor_video.analysis import FrameNotes
from osor_video.composite.fill import Fill, make_fill
from osor_video.composite.grain import Grain
from osor_video.config import Config
from osor_video.errors import ConfigError, VideoError
from osor_video.flow.estimate import DisFlow
from osor_video.masks.drift import SURE, Drift
from osor_video.masks.features import RecognitionFeatures
from osor_video.masks.held import pack_mask
from osor_video.masks.marks import Marks
from osor_video.masks.painted import MaskReading
from osor_video.masks.region import Region, Regions
from osor_video.masks.seed import ArraySeed
from osor_video.pipeline import VideoRemover
from osor_video.removal.remover import OneStepRemover
from osor_video.restore import Restored
from osor_video.video.planes import PlanarFrame, Planes
from osor_video.video.source import open_source
from osor_video.work.edits import Edit
from osor_video.work.folder import Unfinished, WorkFolder, check_work
from osor_video.work.identity import differences
from osor_video.work.notebook import HELD, NoteBook
from tests.test_pipeline import write_clip
from tests.tiny import tiny_model
from tests.world import World, night

FRAMES = 12
CONFIG = Config.model_validate(
    {
        "checkpoint_s": 0,
        "window_frames": 4,
        "background": {"reach_frames": 5},
        "removal": {"anchor_frames": 3},
        "encode": {"encoder_preset": "veryfast"},
    }
)


class Cut(BaseException):
    """Stands for whatever ends a process."""


@dataclass(frozen=True)
class Case:
    """One clip and what is marked in it."""

    remover: VideoRemover
    clip: Path
    marks: Marks
    regions: Regions

    def run(
        self,
        output: Path,
        cut: tuple[str, int] | None = None,
        unfinished: Unfinished = "refuse",
        heard: dict[int, Any] | None = None,
    ) -> None:
        """Run; where a ``cut`` (stage, frame) is given it ends there. Masks and effects that are told go to ``heard``."""

        def progress(stage: str, done: int, total: int) -> None:
            if (stage, done) == cut:
                raise Cut

        told = {} if heard is None else heard
        self.remover.remove(
            self.clip,
            self.marks,
            output,
            progress,
            lambda index, mask: told.update({index: mask}),
            self.regions,
            lambda index, effect: told.update({-1 - index: effect}),
            unfinished=unfinished,
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resume")


@pytest.fixture(scope="module")
def remover(folder: Path, features: RecognitionFeatures) -> VideoRemover:
    model = OneStepRemover(tiny_model(folder / "model"), CONFIG.removal, 0)
    return VideoRemover(DisFlow(160), features, model, CONFIG)


@pytest.fixture(scope="module")
def clip(folder: Path, world: World) -> Path:
    """Ten frames of a shot and two of another, with sound."""
    return write_clip(folder / "clip.mp4", [*world.frames[: FRAMES - 2], *night(2)], sound=True)


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("osor_video.work.notebook.SEGMENT", 4)


def first_mask(world: World) -> Marks:
    return Marks(((0, ArraySeed(world.masks[0])),))


def changed(remover: VideoRemover, **mask: Any) -> VideoRemover:
    config = remover.config.model_copy(update={"mask": remover.config.mask.model_copy(update=mask)})
    return VideoRemover(remover.flow, remover.features, remover.remover, config)


def case_of(name: str, remover: VideoRemover, clip: Path, world: World, folder: Path) -> Case:
    none = Regions()
    if name == "refined":
        return Case(changed(remover, tracker="refined", adapt_steps=2), clip, first_mask(world), none)
    if name == "keyframes":
        marks = Marks(((3, ArraySeed(world.masks[3])), (8, ArraySeed(world.masks[8]))))
        return Case(changed(remover, window_frames=1), clip, marks, none)
    if name == "given":
        masks = folder / "masks"
        masks.mkdir(exist_ok=True)
        for index, mask in enumerate([*world.masks[: FRAMES - 2], *world.masks[:2]]):
            cv2.imwrite(str(masks / f"{index:05d}.png"), mask.astype(np.uint8) * 255)
        return Case(remover, clip, Marks(paths=(masks,), reading=MaskReading()), none)
    if name == "regions":
        spot = np.zeros(world.masks[0].shape, np.uint8)
        spot[5:20, 5:30] = 255
        cv2.imwrite(str(folder / "spot.png"), spot)
        return Case(remover, clip, first_mask(world), Regions(Region(at_frames=((2, folder / "spot.png"),))))
    return Case(remover, clip, first_mask(world), none)


@pytest.mark.parametrize("name", ["refined", "keyframes", "given", "regions"])
def test_a_run_cut_off_in_both_passes_ends_with_the_same_bytes(
    name: str, remover: VideoRemover, clip: Path, world: World, folder: Path, tmp_path: Path
) -> None:
    case = case_of(name, remover, clip, world, folder)
    whole, output, work = tmp_path / "whole.mp4", tmp_path / "out.mp4", tmp_path / "out.mp4.osor-work"
    heard: list[dict[int, Any]] = [{}, {}]
    case.run(whole, heard=heard[0])
    cuts: list[tuple[str, int]] = [("track", 6), ("track", 11), ("remove", 7)]
    for number, cut in enumerate(cuts):
        with pytest.raises(Cut) as error:
            case.run(output, cut, "resume" if number else "refuse")
        assert "with --resume goes on" in error.value.__notes__[0]
        assert not output.exists()
    names = {path.name for path in work.iterdir()}
    assert {"run.json", "track-state.pt", "track-000002.pt", "fill-state.pt", "fill-000000004.pt"} <= names
    case.run(output, None, "resume", heard[1])
    assert output.read_bytes() == whole.read_bytes()
    assert not work.exists()
    # Who listens hears of every frame in either run.
    assert heard[0].keys() == heard[1].keys() == set(range(-FRAMES, FRAMES))
    assert all(np.array_equal(heard[0][index], heard[1][index]) for index in heard[0])


def test_what_is_finished_is_not_done_again(
    remover: VideoRemover, clip: Path, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(remover, clip, first_mask(world), Regions())
    output = tmp_path / "out.mp4"
    with pytest.raises(Cut):
        case.run(output, ("remove", 7))
    monkeypatch.setattr(
        "osor_video.analysis.camera_step", lambda *_: pytest.fail("the first pass runs again")
    )
    finished: list[int] = []

    def counted(*arguments: Any) -> Fill:
        finished.append(1)
        return make_fill(*arguments)

    monkeypatch.setattr("osor_video.restore.make_fill", counted)
    case.run(output, None, "resume")
    # The object is gone in the last two frames, and the first window of four is on the disk.
    assert len(finished) <= FRAMES - 2 - 4


def test_a_damaged_or_missing_work_file_is_told(
    remover: VideoRemover, clip: Path, world: World, tmp_path: Path
) -> None:
    case = Case(remover, clip, first_mask(world), Regions())
    output, work = tmp_path / "out.mp4", tmp_path / "out.mp4.osor-work"
    with pytest.raises(Cut):
        case.run(output, ("remove", 7))
    state, notes = work / "track-state.pt", work / "track-000001.pt"
    data = state.read_bytes()
    state.write_bytes(data[:-9] + b"x" + data[-8:])
    with pytest.raises(VideoError, match=r"track-state\.pt is damaged.*--restart"):
        case.run(output, None, "resume")
    state.write_bytes(data)
    notes.unlink()
    with pytest.raises(VideoError, match="has lost the notes of frames 4 and after"):
        case.run(output, None, "resume")
    case.run(output, None, "restart")
    assert output.exists()
    assert not work.exists()


DIFFERENT: dict[str, tuple[dict[str, Any], str]] = {
    "seed": ({"seed": 5}, "seed was 0, is 5"),
    "a nested setting": ({"mask": {"grow": 0.05}}, r"mask\.grow was 0\.016, is 0\.05"),
}


@pytest.mark.parametrize("name", [*DIFFERENT, "mask", "clip"])
def test_another_run_is_not_gone_on_with(
    name: str, remover: VideoRemover, clip: Path, world: World, folder: Path, tmp_path: Path
) -> None:
    case = Case(remover, clip, first_mask(world), Regions())
    output = tmp_path / "out.mp4"
    with pytest.raises(Cut):
        case.run(output, ("remove", 2))
    before = {path.name: path.read_bytes() for path in (tmp_path / "out.mp4.osor-work").glob("*.pt")}
    if name == "mask":
        other = Case(remover, clip, Marks(((0, ArraySeed(world.masks[1])),)), Regions())
        said = "the mask, box, polygon or points is another one"
    elif name == "clip":
        again = write_clip(tmp_path / "clip.mp4", world.frames[:FRAMES])
        other, said = Case(remover, again, first_mask(world), Regions()), "the clip is another one"
    else:
        values, said = DIFFERENT[name]
        settings = CONFIG.model_dump() | {
            key: CONFIG.model_dump()[key] | value if isinstance(value, dict) else value
            for key, value in values.items()
        }
        config = Config.model_validate(settings)
        other = Case(
            VideoRemover(remover.flow, remover.features, remover.remover, config), clip, case.marks, Regions()
        )
    with pytest.raises(ConfigError, match=said):
        other.run(output, None, "resume")
    with pytest.raises(
        ConfigError, match=r"has an unfinished run in .*--resume, or throw it away by --restart"
    ):
        other.run(output)
    after = {path.name: path.read_bytes() for path in (tmp_path / "out.mp4.osor-work").glob("*.pt")}
    assert after == before


def test_frames_together_tell_runs_apart_however_their_number_came_about(
    remover: VideoRemover, clip: Path, world: World, folder: Path
) -> None:
    source, model = open_source(clip, CONFIG.decode), remover.remover.model
    identities = []
    for batch in (None, 1, 2):
        removal = CONFIG.removal.model_copy(update={"batch": batch})
        config = CONFIG.model_copy(update={"removal": removal})
        other = VideoRemover(remover.flow, remover.features, OneStepRemover(model, removal, 0), config)
        identities.append(other.identity(source, first_mask(world), Regions()))
    assert differences(identities[0], identities[1]) == ""
    assert differences(identities[1], identities[2]) == "removal.batch was 1, is 2"


def test_a_moved_clip_and_another_checkpoint_are_the_same_run(
    remover: VideoRemover, clip: Path, world: World, tmp_path: Path
) -> None:
    with pytest.raises(Cut):
        Case(remover, clip, first_mask(world), Regions()).run(tmp_path / "out.mp4", ("track", 9))
    moved = tmp_path / "moved.mp4"
    moved.write_bytes(clip.read_bytes())
    config = CONFIG.model_copy(update={"checkpoint_s": 3})
    other = VideoRemover(remover.flow, remover.features, remover.remover, config)
    Case(other, moved, first_mask(world), Regions()).run(tmp_path / "out.mp4", None, "resume")
    assert (tmp_path / "out.mp4").exists()


HOLD = """
import sys
from pathlib import Path
from osor_video.work.folder import WorkFolder
with WorkFolder(Path(sys.argv[1]), {"seed": 0}) as work:
    work.save("track-state", {"frames": 0})
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_runs_on_one_output_refuse_each_other_and_the_dead_hold_nothing(tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(output)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        said = rf"is being written by another run \(process {other.pid} on .* since 20"
        with pytest.raises(VideoError, match=said):
            check_work(output, "resume")
        with pytest.raises(VideoError, match=said), WorkFolder(output, {"seed": 0}, "restart"):
            pass
        other.kill()
    owner = json.loads((tmp_path / "out.mp4.osor-work" / "owner.json").read_text(encoding="utf-8"))
    assert owner["process"] == other.pid
    with WorkFolder(output, {"seed": 0}, "resume") as work:
        assert work.resumed
        assert work.load("track-state") == {"frames": 0}
    assert list(tmp_path.iterdir()) == []


def test_files_of_others_in_the_work_folder_stay(tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with WorkFolder(output, {"seed": 0}) as work:
        (work.path / "diary.txt").write_text("mine", encoding="utf-8")
    assert [path.name for path in work.path.iterdir()] == ["diary.txt"]
    check_work(output)
    with WorkFolder(output, {"seed": 0}) as work:
        assert not work.resumed


def test_an_older_part_file_is_no_work(tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with WorkFolder(output, {}) as work:
        work.save("track-state", {"frames": 0})
        (work.path / "fill-000000000.pt.part").write_bytes(b"cut off while it was written")
        left = {path.name: path.read_bytes() for path in work.path.iterdir()}
    work.path.mkdir()
    for name, data in left.items():
        (work.path / name).write_bytes(data)
    with WorkFolder(output, {}, "resume") as work:
        assert work.names("fill-") == []
    assert not work.path.exists()


def test_notes_come_back_as_they_were_and_few_are_in_memory(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    mask = random.random((20, 30)) > 0.5
    plain = FrameNotes(pack_mask(mask), mask.shape, SURE, 0, np.eye(3), None, None)
    full = FrameNotes(
        *(pack_mask(mask), mask.shape, Drift(0.5, 0.25, 1.0, 0.1), 1, random.random((3, 3)), (1, 2, 3, 4)),
        *(random.random((5, 7, 2)).astype(np.float32), pack_mask(~mask), pack_mask(mask)),
        Grain((1.5, 0.5, 0.25), (0.1, 0.2, 0.3), 96.0, 0.0125),
    )
    with WorkFolder(tmp_path / "o.mp4", {}) as work:
        book = NoteBook(work, 0)
        for index in range(30):
            book.add(full if index % 3 else plain)
        # One that began anew would have the notes of whole segments alone.
        assert len(book) == 30
        book.finish()
        again = NoteBook(work, 0)
        assert again.finished
        for index, found in enumerate(again):
            wanted = full if index % 3 else plain
            assert np.array_equal(found.camera, wanted.camera)
            assert np.array_equal(found.flow_back, wanted.flow_back)  # type: ignore[arg-type]
            assert replace(found, camera=wanted.camera, flow_back=wanted.flow_back) == wanted
        assert len(again) == index + 1 == 30
        assert len(again._held) <= HELD
        with pytest.raises(IndexError):
            again[30]


def test_several_threads_read_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # So few are held that each reader drops what another is at.
    monkeypatch.setattr("osor_video.work.notebook.HELD", 1)
    with WorkFolder(tmp_path / "o.mp4", {}) as work:
        book = NoteBook(work, 0)
        for index in range(128):
            book.add(FrameNotes(b"", (1, 1), SURE, index, np.eye(3), None, None))
        book.finish()

        def read(seed: int) -> bool:
            wanted: list[int] = np.random.default_rng(seed).permutation(128).tolist()
            return [book[index].shot for index in wanted] == wanted

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(read, range(16)))


def test_edits_come_back_as_they_were() -> None:
    random = np.random.default_rng(1)
    for top in (255, 1023):
        dtype: Any = np.uint8 if top == 255 else np.uint16
        before: Planes = tuple(
            np.asarray(random.integers(0, top, size), dtype) for size in ((24, 32), (12, 16), (12, 16))
        )
        after = tuple(plane.copy() for plane in before)
        after[0][3:9, 5:30] = random.integers(0, top, (6, 25))
        after[2][11, 15] ^= 1
        alpha = np.zeros((10, 30), np.float32)
        alpha[2:6] = random.random((4, 30))
        fill = Fill(np.zeros((10, 30, 3), np.float32), alpha, alpha, (2, 0, 12, 30), 0.75)
        frame = PlanarFrame(7, 700, before, 10)
        edit = Edit.of(Restored(replace(frame, planes=after), fill, before))
        found = edit.on(frame)
        assert (found.index, found.pts, found.duration) == (7, 700, 10)
        assert all(np.array_equal(*pair) for pair in zip(found.planes, after, strict=True))
        assert not np.shares_memory(found.planes[0], before[0])
        assert np.abs(edit.effect_on((24, 32))[2:12, :30] - alpha).max() <= 0.5 / 255 + 1e-6
        assert (edit.borrowed, edit.replaced) == (0.75, float(alpha.sum()))
    untouched = Edit.of(Restored(frame, None, before))
    assert untouched.on(frame) is frame
    assert untouched.borrowed is None

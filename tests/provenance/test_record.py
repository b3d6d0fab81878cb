"""The record of an edit: what it says, what hashes it has, and that it changes nothing else in the file it is put into."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import zlib
from pathlib import Path

import av
import numpy as np
import pytest

from osor_video.config import Config, EncodeConfig
from osor_video.errors import ConfigError, VideoError
from osor_video.provenance import room
from osor_video.provenance.record import MaskDigest, Record, changed_settings, material, settings_of
from osor_video.provenance.weights import weights_hashes
from osor_video.removal.record import ModelRecord
from osor_video.report import runs_of
from osor_video.video.packets import stream_hashes
from osor_video.video.probe import probe
from osor_video.video.reader import read_planes
from osor_video.video.streams import RECORD_TAG
from osor_video.video.writer import VideoWriter
from tests.apps.clips import FRAMES, SIZE_HW
from tests.provenance.conftest import Remove


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tags(path: Path) -> dict[str, str]:
    with av.open(str(path)) as container:
        return {key.lower(): value for key, value in container.metadata.items()}


def test_the_record_of_a_run(remove: Remove, clip: Path, tmp_path: Path) -> None:
    out, file, masks = tmp_path / "out.mp4", tmp_path / "deep" / "out.json", tmp_path / "masks"
    done = remove(
        "-o",
        out,
        "--record",
        file,
        "--operator",
        "Zoë",
        "--reason",
        "case 7",
        "--seed",
        "5",
        "--masks-out",
        masks,
    )
    assert done.exit_code == 0, done.output
    record = Record.read(file)
    assert (record.source.sha256, record.output.sha256) == (sha256(clip), sha256(out))
    assert (record.source.bytes, record.output.bytes) == (clip.stat().st_size, out.stat().st_size)
    assert (record.source.name, record.output.name) == ("square.mp4", "out.mp4")
    assert (record.operator, record.reason, record.seed, record.preset) == ("Zoë", "case 7", 5, "fast")
    assert record.changed == {"fill": "plate", "effects.find": "off", "seed": 5, "removal.model": "model"}
    assert record.settings["removal.model"] == "model"  # no folder of this machine
    assert str(tmp_path) not in file.read_text()
    assert (record.frames, record.size, record.touched) == (FRAMES, SIZE_HW[::-1], [(0, FRAMES - 1)])
    assert 0.04 < record.replaced < 0.2
    assert record.weights["model unet/config.json"] == sha256(clip.with_name("model") / "unet/config.json")
    digest = hashlib.sha256()
    for index in range(FRAMES):
        with av.open(str(masks / f"{index:05d}.png")) as picture:
            digest.update(
                np.packbits(next(picture.decode(video=0)).to_ndarray(format="gray") > 127).tobytes()
            )
    assert record.masks_sha256 == digest.hexdigest()
    assert RECORD_TAG not in tags(out)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_record_within_changes_nothing_else(remove: Remove, tmp_path: Path, suffix: str) -> None:
    plain, holding, file = tmp_path / f"plain{suffix}", tmp_path / f"holding{suffix}", tmp_path / "r.json"
    assert remove("-o", plain).exit_code == 0
    assert remove("-o", holding, "--embed-record", "--record", file).exit_code == 0
    assert stream_hashes(plain) == stream_hashes(holding)
    both = probe(plain), probe(holding)
    assert [(s.pts, s.rate, s.tags, s.color) for s in both[:1]] == [
        (s.pts, s.rate, s.tags, s.color) for s in both[1:]
    ]
    within, beside = room.take(holding), Record.read(file)
    assert within is not None
    assert json.loads(tags(holding)[RECORD_TAG]) == within.plain()
    assert within.output.sha256 is None  # a file cannot hold its own hash
    assert within.output.sha256_without_record == room.sha256_without(holding)
    assert within.output.streams == beside.output.streams == stream_hashes(holding)
    assert beside.output.sha256 == sha256(holding)
    assert within.left_out == ["settings", "unseen"]
    same = {"settings", "unseen", "left_out", "output", "room", "own_sha256"}
    assert within.model_dump(exclude=same) == beside.model_dump(exclude=same)


def test_the_checksum_of_matroska_tags_fits(remove: Remove, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    assert remove("-o", out, "--embed-record").exit_code == 0
    data = out.read_bytes()
    tags_at = data.rfind(room.TAGS_ID, 0, data.find(room.SOUGHT))
    head = tags_at + 4
    length = 9 - data[head].bit_length()
    size = int.from_bytes(data[head : head + length], "big") & ((1 << (7 * length)) - 1)
    body = data[head + length : head + length + size]
    assert body[:2] == room.CRC_ID
    assert struct.unpack("<I", body[2:6])[0] == zlib.crc32(body[6:])


def test_an_older_record_is_not_carried_into_the_next_output(remove: Remove, tmp_path: Path) -> None:
    first, second = tmp_path / "first.mkv", tmp_path / "second.mp4"
    assert remove("-o", first, "--embed-record").exit_code == 0
    assert remove("-o", second, source=first).exit_code == 0
    assert RECORD_TAG not in tags(second)


def test_other_tags_and_an_embedded_record(clip: Path, tmp_path: Path) -> None:
    source = tmp_path / "tagged.mp4"
    subprocess_copy(clip, source, "title=Zwölf", "shot=12b")
    info = probe(source)
    with VideoWriter(tmp_path / "o.mp4", info, EncodeConfig(), {RECORD_TAG: room.blank(FRAMES)}) as writer:
        for frame in read_planes(info):
            writer.write(frame)
    assert {key: value for key, value in tags(tmp_path / "o.mp4").items() if key in ("title", "shot")} == {
        "title": "Zwölf",
        "shot": "12b",
    }
    assert room.take(tmp_path / "o.mp4") is None  # blank


def subprocess_copy(source: Path, target: Path, *metadata: str) -> None:
    given = [part for item in metadata for part in ("-metadata", item)]
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(source),
        "-c",
        "copy",
        "-movflags",
        "use_metadata_tags",
        *given,
    ]
    subprocess.run([*command, str(target)], check=True)


def record(**changes: object) -> Record:
    values: dict[str, object] = {
        **{"version": "1", "started": "2026-01-01T00:00:00+00:00", "duration_s": 1.0, "seed": 0, "frames": 4},
        **{"source": {"name": "a"}, "output": {"name": "b"}, "model": "m", "flow": "f", "preset": "fast"},
        **{"size": (4, 4), "replaced": 0.5, "borrowed": 0.0, "masks_sha256": "0"},
    }
    return Record.model_validate(values | changes)


def test_a_record_that_is_longer_than_its_room_leaves_out_its_lists(tmp_path: Path) -> None:
    file = tmp_path / "file.mkv"
    file.write_bytes(b"before" + room.blank(1).encode() + b"behind")
    blank = sha256(file)
    room.put(file, record(cuts=list(range(9000))))
    taken = room.take(file)
    assert taken is not None
    assert taken.left_out == ["touched", "cuts", "damaged"]
    assert room.sha256_without(file) == blank
    with pytest.raises(VideoError, match=r"The record of .* has \d+ bytes, expected 16392 at most"):
        room.put(file, record(reason="x" * 30_000))
    (tmp_path / "none.mkv").write_bytes(b"nothing")
    with pytest.raises(VideoError, match="has no room for a record"):
        room.put(tmp_path / "none.mkv", record())


@pytest.mark.parametrize("where", [30, 45, 200, 16_000])
def test_a_damaged_record_is_no_record(tmp_path: Path, where: int) -> None:
    file = tmp_path / "file.mp4"
    file.write_bytes(room.blank(1).encode())
    room.put(file, record())
    data = bytearray(file.read_bytes())
    data[where] ^= 0x41
    file.write_bytes(data)
    if where == 30:  # of the mark itself: nothing is left that could be found
        assert room.take(file) is None
    else:
        with pytest.raises(room.DamagedRecordError):
            room.take(file)


def test_the_hash_of_a_sequence_can_be_had_with_sha256sum(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"a.{number:04d}.png").write_bytes(bytes([number]) * 9)
    found = material(tmp_path / "a.%04d.png")
    told = subprocess.run(
        "sha256sum a.*.png | sha256sum", shell=True, cwd=tmp_path, capture_output=True, check=True
    )
    assert (found.sha256, found.bytes) == (told.stdout.decode().split()[0], 18)


def test_a_missing_output_is_said(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"a\.mp4 cannot be read"):
        material(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").write_bytes(b"no film")
    with pytest.raises(VideoError, match="cannot be read as a clip"):
        stream_hashes(tmp_path / "a.mp4")


def test_the_hash_of_masks_goes_by_every_pixel() -> None:
    empty, dot = np.zeros((5, 7), bool), np.zeros((5, 7), bool)
    dot[4, 6] = True

    def hashed(*masks: np.ndarray) -> str:
        digest = MaskDigest()
        for index, mask in enumerate(masks):
            digest(index, mask)
        return digest.hex()

    assert len({hashed(), hashed(empty), hashed(dot), hashed(dot, empty), hashed(empty, dot)}) == 5


def test_settings_that_differ_are_told(tmp_path: Path) -> None:
    config = Config.load("best", overrides={"mask.grow": 0.05})
    assert changed_settings(config, "best") == {"mask.grow": 0.05}
    assert "mask.grow" in changed_settings(config, "fast")
    plate = tmp_path / "plate.png"
    assert settings_of(Config.load(overrides={"background.plate": plate}))["background.plate"] == "plate.png"


def test_weights_of_the_bundled_networks() -> None:
    config = Config.load("best", overrides={"removal.model": "bundled", "flow.backend": "dis"})
    found = weights_hashes(config)
    assert any(name.startswith("tracker refiner") for name in found)
    assert all(len(value) == 64 for value in found.values())


def test_weights_given_for_the_flow_are_named(clip: Path, tmp_path: Path) -> None:
    weights = tmp_path / "raft.pth"
    weights.write_bytes(b"weights")
    model = {"removal.model": clip.with_name("model")}
    found = weights_hashes(Config.load(overrides={"flow.weights": weights} | model))
    assert found["flow raft.pth"] == hashlib.sha256(b"weights").hexdigest()
    own = ModelRecord.read(clip.with_name("model")).files
    assert {f"model {name}": value for name, value in own.items()}.items() <= found.items()


def test_runs_of_frames() -> None:
    assert runs_of([]) == []
    assert runs_of([0, 1, 2, 5, 7, 8]) == [(0, 2), (5, 5), (7, 8)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("-o", "o.mp4", "--operator", "Z"), "--operator goes into a record, and none is asked for"),
        (("-o", "o.mp4", "--record", "r.txt"), "expected a name that ends in .json"),
        (
            ("-o", "o.mp4", "--record", "r.json", "--reason", " "),
            "--reason has 1 characters, expected 1 to 500",
        ),
        (("-o", "o.mp4", "--record", "r.json", "--reason", "x" * 501), "--reason has 501 characters"),
        (("-o", "o.%04d.png", "--embed-record"), "--embed-record needs a video file to put something into"),
        (("-o", "-", "--embed-record"), "--embed-record needs a video file to put something into"),
        (("-o", "o.png", "--preview", "0", "--record", "r.json"), "A preview leaves no record"),
    ],
)
def test_what_cannot_be_had_is_said_first(
    remove: Remove, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = remove(*given)
    assert done.exit_code == 2
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"kind": "osor-video record 9"}')
    with pytest.raises(ConfigError, match="is not a record of this form"):
        Record.read(tmp_path / "r.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        Record.read(tmp_path / "none.json")


def test_a_record_of_pictures(remove: Remove, tmp_path: Path) -> None:
    done = remove("-o", tmp_path / "o.%04d.png", "--record", tmp_path / "r.json")
    assert done.exit_code == 0, done.output
    found = Record.read(tmp_path / "r.json")
    assert found.output == material(tmp_path / "o.%04d.png")
    assert found.output.sha256 is not None

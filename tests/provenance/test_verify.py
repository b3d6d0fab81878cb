"""Reading a record back: what is told, what is found wrong, what there is nothing to be said of."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner, Result

from osor_video.apps.cli import app
from osor_video.provenance.audit import append
from osor_video.provenance.verify import verify_clip
from tests.provenance.conftest import Remove


def verify(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


@pytest.fixture(scope="module", params=[".mp4", ".mkv"])
def holding(request: pytest.FixtureRequest, remove: Remove, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("holding") / f"out{request.param}"
    assert remove("-o", out, "--embed-record", "--record", out.with_suffix(".json")).exit_code == 0
    return out


def test_a_record_within_is_enough(holding: Path, clip: Path) -> None:
    done = verify(holding, "--json", "--source", clip)
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["intact"]
    assert [check["what"] for check in told["checks"]] == ["record within", "source"]
    assert told["record"]["touched"] == [[0, 5]]
    assert "nothing but the record was put into the file" in verify(holding).output


def test_any_flipped_byte_is_found(holding: Path, tmp_path: Path) -> None:
    data, random = holding.read_bytes(), Random(5)
    file = tmp_path / holding.name
    for place in random.sample(range(len(data)), 150):
        changed = bytearray(data)
        changed[place] ^= 1 << random.randrange(8)
        file.write_bytes(changed)
        assert not verify_clip(file).intact, place
    done = verify(file, "--record", holding.with_suffix(".json"))
    assert done.exit_code == 1
    assert "NOT INTACT" in done.output
    assert "the file is not as the record has it" in done.output


def test_other_tags_leave_the_pictures_as_they_were(holding: Path, tmp_path: Path) -> None:
    file = tmp_path / holding.name
    file.write_bytes(holding.read_bytes() + bytes(8))
    done = verify(file, "--record", holding.with_suffix(".json"))
    assert done.exit_code == 1
    assert "only what is around them was changed" in done.output


def test_a_record_beside(remove: Remove, clip: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "out.mp4", tmp_path / "out.json"
    assert remove("-o", out, "--record", file).exit_code == 0
    assert verify(out, "--record", file, "--source", clip).exit_code == 0
    wrong = verify(clip, "--record", file)
    assert wrong.exit_code == 1
    other = verify(out, "--record", file, "--source", out)
    assert other.exit_code == 1
    assert "out.mp4 is not the clip that this was made of" in other.output
    alone = verify(out)
    assert alone.exit_code == 2
    assert "has no content credentials and no record within, so there is nothing to verify" in alone.stderr


def test_a_record_of_pictures(remove: Remove, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    assert remove("-o", tmp_path / "o.%04d.png", "--record", file).exit_code == 0
    assert verify(tmp_path / "o.%04d.png", "--record", file).exit_code == 0
    (tmp_path / "o.0003.png").write_bytes((tmp_path / "o.0002.png").read_bytes())
    assert verify(tmp_path / "o.%04d.png", "--record", file).exit_code == 1


def test_a_log_is_verified_too(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    for status in ("done", "failed", "done"):
        append(log, {"status": status})
    done = verify(log)
    assert done.exit_code == 0
    assert "3 jobs, 1 of them failed or were stopped" in done.output
    head = json.loads(verify(log, "--json").output)["head"]
    assert head in done.output
    log.write_text(log.read_text().replace("failed", "done"))
    found = verify(log)
    assert found.exit_code == 1
    assert "NOT INTACT: line 3 does not follow the line before it" in found.output
    assert verify(log, "--record", tmp_path / "r.json").exit_code == 2


def test_what_is_no_clip(clip: Path, tmp_path: Path) -> None:
    text = tmp_path / "a.json"
    text.write_text("{}")
    for given, said in (
        ((tmp_path / "none.mp4",), "does not exist or is no file"),
        ((tmp_path / "none.%04d.png",), "there is nothing to verify"),
        ((text,), "is JSON, expected the clip"),
        ((clip, "--record", text), "is not a record of this form"),
        ((clip, "--trust", text), "is not in PEM"),
    ):
        done = verify(*given)
        assert done.exit_code == 2
        assert said in done.stderr

"""The log of all jobs: appended to by many at once, and a line that was changed is found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from osor_video.errors import ConfigError
from osor_video.provenance.audit import NOTHING, append, check_log, is_log, read_chain
from osor_video.provenance.record import Record
from tests.provenance.conftest import Remove

WRITER = """
import sys
from pathlib import Path
from osor_video.provenance.audit import append
for number in range(40):
    append(Path(sys.argv[1]), {"status": "done", "writer": sys.argv[2], "own": number, "text": "x" * 3000})
"""


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(log), name]) for name in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    written = lines(log)
    assert [line["number"] for line in written] == list(range(1, 81))
    for name in "ab":
        assert [line["own"] for line in written if line["writer"] == name] == list(range(40))
    assert read_chain(log).faults == ()


def test_what_was_done_to_a_log_is_found(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    for number in range(5):
        append(log, {"status": "done", "own": number})
    whole = log.read_text().splitlines(keepends=True)
    assert read_chain(log).lines == 5
    assert json.loads(whole[0])["before"] == NOTHING

    def faults(changed: list[str]) -> str:
        log.write_text("".join(changed))
        return " ".join(read_chain(log).faults)

    changed = whole[2].replace('"own":2', '"own":7')
    assert "line 4 does not follow" in faults([*whole[:2], changed, *whole[3:]])
    assert "line 3 does not follow" in faults([*whole[:2], *whole[3:]])
    assert "line 1 does not follow" in faults(whole[1:])
    assert "line 2 does not follow" in faults([whole[0], whole[2], whole[1], *whole[3:]])
    assert "line 3 is no whole line" in faults([*whole[:2], "{}\n", *whole[3:]])
    assert "line 5 is no whole line" in faults([*whole[:4], whole[4][:20]])
    with pytest.raises(ConfigError, match=r"The last line of the audit log .* is not whole"):
        append(log, {"status": "done"})
    assert log.read_text() == "".join([*whole[:4], whole[4][:20]])


def test_the_head_tells_of_lines_cut_off_at_the_end(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    for _ in range(3):
        append(log, {"status": "failed"})
    head = read_chain(log).head
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:2]))
    cut = read_chain(log)
    assert (cut.faults, cut.failed) == ((), 2)
    assert cut.head != head


@pytest.mark.parametrize(
    "content", ["notes of mine\n", '{"a": 1}\n', "\n", '{"kind":"osor-video audit 2"}\n']
)
def test_a_file_of_another_kind_is_left_alone(tmp_path: Path, content: str) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text(content)
    for refuse in (check_log, read_chain):
        with pytest.raises(ConfigError, match="is not an audit log of osor-video"):
            refuse(file)
    with pytest.raises(ConfigError, match="is not an audit log of osor-video"):
        append(file, {"status": "done"})
    assert file.read_text() == content
    assert not is_log(file)


def test_places_that_do_not_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which is a folder"):
        check_log(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read or written"):
        read_chain(tmp_path / "none.jsonl")


def test_an_empty_file_becomes_a_log(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").touch()
    append(tmp_path / "log.jsonl", {"status": "done", "text": "y" * 200_000})
    append(tmp_path / "log.jsonl", {"status": "done"})
    assert read_chain(tmp_path / "log.jsonl").lines == 2
    with pytest.raises(ConfigError, match="is not an audit log"):
        read_chain(Path("/dev/null"))


def test_every_job_leaves_a_line(
    remove: Remove, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, out = tmp_path / "log.jsonl", tmp_path / "out.mp4"
    logged = ("-o", out, "--audit-log", log, "--operator", "Zoë")
    assert remove(*logged).exit_code == 0
    refused = remove(*logged, "--box", "1,2,3")
    assert refused.exit_code == 2
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(clip.read_bytes()[:300])
    failed = remove(*logged, source=damaged)
    assert failed.exit_code == 2

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("osor_video.apps.removal.build_remover", stop)
    assert remove(*logged).exit_code == 130
    done, *others = lines(log)
    assert done["status"] == "done"
    record = Record.model_validate(done["record"])
    assert record.output.name == "out.mp4"
    assert [(line["status"], line["operator"]) for line in others] == [
        *[("failed", "Zoë"), ("failed", "Zoë")],
        ("stopped", "Zoë"),
    ]
    for line, result in zip(others, (refused, failed), strict=False):
        assert " ".join(str(line["error"]).split()) in result.stderr
    assert read_chain(log).failed == 3
    assert read_chain(log).faults == ()


def test_a_job_does_not_begin_where_its_line_could_not_be_written(remove: Remove, tmp_path: Path) -> None:
    notes = tmp_path / "notes.jsonl"
    notes.write_text("mine\n")
    done = remove("-o", tmp_path / "out.mp4", "--audit-log", notes)
    assert done.exit_code == 2
    assert done.stderr.count("is not an audit log of osor-video") == 1
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")) == [
        "notes.jsonl"
    ]

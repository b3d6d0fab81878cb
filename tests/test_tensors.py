"""Files of tensors: read without running what they hold, refused in one sentence, written whole or not at all."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from osor_video.errors import WeightsError
from osor_video.tensors import load_tensors, save_tensors
from tests.full_disk import files_of_at_most

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(1)}


class Code:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth", "x.pt"])
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    save_tensors(tmp_path / name, TENSORS | {"c": TENSORS["a"].T})
    found = load_tensors(tmp_path / name)
    assert {*found} == {"a", "b", "c"}
    assert torch.equal(found["c"], TENSORS["a"].T)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("bare", [True, False])
def test_code_in_a_pickle_is_not_run(bare: bool, protocol: int, tmp_path: Path) -> None:
    path, trap = tmp_path / "evil.pth", tmp_path / "trap"
    if bare:
        path.write_bytes(pickle.dumps(Code(trap), protocol))
    else:
        torch.save({"a": Code(trap)}, path, pickle_protocol=protocol)
    with pytest.raises(WeightsError) as caught:
        load_tensors(path)
    said = str(caught.value)
    assert "more than tensors, which could be code and is not run. Fetch it again from where it was" in said
    assert "weights_only" not in said
    assert not trap.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.pth", b""),
        ("text.pth", b"hello world, I am text"),
        ("page.pth", b"<!DOCTYPE html><html></html>"),
        ("pointer.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        ("zip.pt", b"PK\x03\x04" + b"0" * 100),
        ("bytes.pt", bytes(range(256))),
        ("short.safetensors", b"\x10"),
        ("long.safetensors", b"\xff" * 64),
    ],
)
def test_other_files_are_one_sentence(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{name} cannot be read: it is damaged.*\. Fetch it again"):
        load_tensors(tmp_path / name)


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
def test_files_that_are_cut_short_or_absent(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    save_tensors(path, TENSORS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(WeightsError, match=r"it is damaged or not whole\. Fetch it again\."):
        load_tensors(path)
    path.unlink()
    with pytest.raises(WeightsError, match=rf"{name} cannot be read: No such file or directory"):
        load_tensors(path)


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
def test_a_full_disk_leaves_what_was_there(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with files_of_at_most(1000), pytest.raises(OSError, match=r"too large|broke off"):
        save_tensors(path, {"a": torch.zeros(10_000)})
    assert not list(tmp_path.iterdir())
    save_tensors(path, TENSORS)
    before = path.read_bytes()
    with files_of_at_most(1000), pytest.raises(OSError, match=r"too large|broke off"):
        save_tensors(path, {"a": torch.zeros(10_000)})
    assert path.read_bytes() == before
    with pytest.raises(OSError, match=r"No such file|broke off"):
        save_tensors(tmp_path / "nowhere" / name, TENSORS)

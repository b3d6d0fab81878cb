"""Recorded runs of the published code, and one made here, held against our path step by step."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from osor_video.apps.cli import app
from osor_video.benchmark.parity import TOLERANCE, Difference, compare, reference_file
from osor_video.errors import WeightsError
from osor_video.removal.folder import ModelFolder
from osor_video.removal.published import Running, load_published
from tests.tiny_published import sdxl_model

PARITY = Path(__file__).parents[2].parent / "shared/parity"
published = pytest.mark.skipif(not PARITY.exists(), reason="needs shared/parity beside the repository")

COMPARED = """
import dataclasses, json, sys
from pathlib import Path
from osor_video.benchmark.parity import compare
found = compare(Path(sys.argv[1]), merge=sys.argv[2] == "1")
print(json.dumps([dataclasses.asdict(item) for item in found]))
"""
COMMON = {"latent", "z0", "alpha", "decoded"}
STEPS = {
    "sdxl": COMMON | {"mask_latent", "noisy", "eps", "blended"},
    "sdxl-phase1": COMMON | {"mask_latent", "noisy", "eps", "blended"},
    "flux": COMMON | {"packed_mask", "noisy_packed", "velocity_packed", "blended_unscaled"},
}


@published
@pytest.mark.parametrize("merge", [True, False], ids=["merged", "unmerged"])
@pytest.mark.parametrize("name", STEPS)
def test_every_step_of_the_published_code_is_met(name: str, merge: bool) -> None:
    # MKL's kernels round otherwise from processor to processor, and a tiny FLUX makes 2e-6 of it 5e-5; these are the same on all.
    kernels = os.environ | {"MKL_CBWR": "COMPATIBLE"}
    command = [sys.executable, "-c", COMPARED, str(PARITY / name), str(int(merge))]
    told = subprocess.run(command, env=kernels, capture_output=True, text=True, check=True).stdout
    found = [Difference(**item) for item in json.loads(told.splitlines()[-1])]
    assert {item.step for item in found} == STEPS[name]
    for item in found:
        # Against the largest value: the decoder's is beyond 4, and float32 ends there at 5e-7.
        assert item.largest < 1e-5 * max(item.magnitude, 1), item
        assert item.magnitude > 0.05, item


@pytest.fixture(scope="module")
def recorded(sdxl_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a record of its own run."""
    folder = sdxl_model(tmp_path_factory.mktemp("recorded") / "model", sdxl_folder)
    model = load_published(ModelFolder.open(folder), Running())
    generator = torch.Generator().manual_seed(3)
    image = torch.rand((1, 3, 32, 48), generator=generator)
    mask = (torch.rand((1, 1, 32, 48), generator=generator) > 0.99).float()
    noise = torch.randn((1, 4, 4, 6), generator=generator)
    steps = model.trace(image, mask, noise)
    values = {"image": image, "mask": mask, "noise": noise, "z0": steps.z0, "latent": steps.z}
    save_file(
        {key: value.contiguous() for key, value in values.items()}, folder / "reference_phase2.safetensors"
    )
    return folder


def check(folder: Path, *options: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["models", "check", str(folder), *options])
    return done.exit_code, done.stdout, done.stderr


def test_the_command_shows_each_step(recorded: Path) -> None:
    code, said, _ = check(recorded)
    assert code == 0
    assert "z0" in said
    assert "latent" in said
    assert "largest difference" in said
    assert check(recorded, "--unmerged")[0] == 0


def test_a_difference_ends_the_command_with_2(recorded: Path, tmp_path: Path) -> None:
    for name, change in (("far", 2 * TOLERANCE), ("nan", float("nan"))):
        folder = shutil.copytree(recorded, tmp_path / name)
        path = folder / "reference_phase2.safetensors"
        tensors = load_file(path)
        tensors["z0"][0, 0, 0, 0] += change
        save_file(tensors, path)
        code, said, error = check(folder)
        assert code == 2
        assert "z0" in said
        assert "does not agree with its recorded run: z0 differs by" in error


def test_folders_without_a_usable_record_are_refused(recorded: Path, tmp_path: Path) -> None:
    assert "is no folder" in check(tmp_path / "nowhere")[2]
    with pytest.raises(WeightsError, match=r"should hold one recorded run .* and has 0"):
        reference_file(tmp_path)
    folder = shutil.copytree(recorded, tmp_path / "model")
    path = folder / "reference_phase2.safetensors"
    tensors = load_file(path)
    for changed, said in (
        (
            {key: tensors[key] for key in ("image", "mask")},
            "it lacks noise or noise_packed and has unknown nothing",
        ),
        ({key: tensors[key] for key in ("mask", "noise")}, "it lacks image"),
        (tensors | {"other": torch.zeros(1)}, "has unknown other"),
        (tensors | {"z0": torch.zeros(1, 2)}, r"has z0 of shape \(1, 2\), and ours is \(1, 4, 4, 6\)"),
    ):
        save_file(changed, path)
        with pytest.raises(WeightsError, match=said):
            compare(folder)
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"reference_phase2\.safetensors cannot be read"):
        compare(folder)

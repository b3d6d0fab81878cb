"""Adapters beside a frozen UNet: who trains, what a copy answers, and the gradients when memory is saved."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from osor_video.errors import ConfigError, WeightsError
from osor_video.removal.adapter import SDXL_LAYOUT, add_adapters, merge_adapter
from osor_video.removal.alpha import FIRST_LOGIT
from osor_video.removal.prompt import PromptEmbeddings
from osor_video.removal.sdxl import SdxlBase, load_base
from osor_video.training.config import LoopConfig, SdxlLoraConfig
from osor_video.training.lora import AdaptedUNet
from osor_video.training.sdxl import adapt
from tests.tiny_sdxl import POOLED, WIDTH, tiny_unet

RANK = 3


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


INPUTS = random(2, 9, 8, 8)
PROMPT = PromptEmbeddings(random(1, 77, WIDTH), random(1, POOLED))


def config(**changes: Any) -> SdxlLoraConfig:
    return SdxlLoraConfig.model_validate({"rank": RANK, "loop": LoopConfig(batch=2), **changes})


def adapted(folder: Path, **changes: Any) -> tuple[SdxlBase, AdaptedUNet]:
    base = load_base(str(folder))
    return base, adapt(base, PROMPT, config(**changes))


def disturb(module: AdaptedUNet) -> AdaptedUNet:
    """Random numbers instead of zeros in the pairs, as after training."""
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.add_(0.05 * random(*parameter.shape, seed=number))
    return module


def test_a_run_sees_the_published_names_and_nothing_of_the_base(sdxl_folder: Path) -> None:
    base, module = adapted(sdxl_folder)
    assert {*module.state_dict()} == SDXL_LAYOUT.names(tiny_unet())
    trained = {name for name, value in base.unet.named_parameters() if value.requires_grad}
    assert {f"unet.{name}" for name in trained} == {*module.state_dict()}
    assert {value.shape[0] for name, value in module.named_parameters() if "lora_A" in name} == {RANK}
    assert sum(p.numel() for p in module.parameters()) < sum(p.numel() for p in base.unet.parameters()) / 3


@pytest.mark.parametrize(("phase", "channels"), [(1, 4), (2, 5)])
def test_fresh_adapters_change_nothing_and_phase_2_has_alpha(
    sdxl_folder: Path, phase: int, channels: int
) -> None:
    untouched = load_base(str(sdxl_folder)).unet
    _, module = adapted(sdxl_folder, phase=phase)
    with torch.no_grad():
        out = module(INPUTS, 400).sample
        torch.testing.assert_close(
            out[:, :4], untouched(INPUTS, 400, **PROMPT.arguments(2, (64, 64))).sample, atol=1e-6, rtol=1e-5
        )
    assert out.shape[1] == channels
    if phase == 2:
        assert out[:, 4].unique().tolist() == pytest.approx([FIRST_LOGIT])


def test_the_same_seed_begins_with_the_same_adapters(sdxl_folder: Path) -> None:
    (_, first), (_, second) = adapted(sdxl_folder), adapted(sdxl_folder)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_copy_answers_with_its_own_tensors_on_the_same_base(sdxl_folder: Path) -> None:
    _, module = adapted(sdxl_folder)
    with torch.no_grad():
        before = module(INPUTS, 400).sample
        average = copy.deepcopy(module)
        disturb(module)
        assert average.frozen is module.frozen
        assert torch.equal(average(INPUTS, 400).sample, before)
        assert not torch.allclose(module(INPUTS, 400).sample, before, atol=0.1)
        average.load_state_dict(module.state_dict())
        assert torch.equal(average(INPUTS, 400).sample, module(INPUTS, 400).sample)


def test_merged_is_what_was_trained(sdxl_folder: Path) -> None:
    _, module = adapted(sdxl_folder)
    disturb(module)
    plain = load_base(str(sdxl_folder)).unet
    merge_adapter(plain, module.state_dict())
    with torch.no_grad():
        merged = plain(INPUTS, 400, **PROMPT.arguments(2, (64, 64))).sample
        torch.testing.assert_close(merged, module(INPUTS, 400).sample, atol=1e-4, rtol=1e-4)


def gradients(module: AdaptedUNet) -> list[Tensor]:
    module.zero_grad()
    (module(INPUTS, 400).sample * random(2, 5, 8, 8, seed=9)).sum().backward()
    return [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]


def test_saving_memory_leaves_the_gradients(sdxl_folder: Path) -> None:
    plain, saving = (disturb(adapted(sdxl_folder)[1]) for _ in range(2))
    saving.enable_gradient_checkpointing()
    assert saving.frozen.unet.is_gradient_checkpointing
    assert not plain.frozen.unet.is_gradient_checkpointing
    first, second = gradients(plain), gradients(saving)
    assert len(first) == len(list(plain.parameters()))
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-4)


def test_a_base_in_bfloat16_trains_tensors_in_float32(sdxl_folder: Path) -> None:
    _, plain = adapted(sdxl_folder)
    base, mixed = adapted(sdxl_folder, loop=LoopConfig(precision="bf16"))
    for module in (plain, mixed):
        disturb(module)
    assert base.unet.conv_in.weight.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in mixed.parameters()} == {torch.float32}
    out = mixed(INPUTS, 400).sample
    assert out.dtype == torch.float32
    expected = plain(INPUTS, 400).sample
    assert 0 < (out - expected).abs().max() < 0.02 * expected.abs().max()
    assert {gradient.dtype for gradient in gradients(mixed)} == {torch.float32}


def test_phase_2_begins_with_phase_1(sdxl_folder: Path) -> None:
    _, first = adapted(sdxl_folder, phase=1)
    _, second = adapted(sdxl_folder)
    begun = disturb(first).state_dict()
    second.begin_with(begun, "phase1.pth")
    with torch.no_grad():
        out = second(INPUTS, 400).sample
        torch.testing.assert_close(out[:, :4], first(INPUTS, 400).sample, atol=1e-5, rtol=1e-5)
    assert out[:, 4].unique().tolist() == pytest.approx([FIRST_LOGIT])
    assert (second.state_dict()["unet.conv_out.bias"][:4] == begun["unet.conv_out.bias"]).all()


def test_an_adapter_that_does_not_fit_is_refused(sdxl_folder: Path) -> None:
    _, module = adapted(sdxl_folder, phase=1)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    whole = disturb(adapted(sdxl_folder, phase=1)[1]).state_dict()
    name = "unet.mid_block.attentions.0.proj_in.lora_B.default.weight"
    for wrong, sentence in (
        (adapted(sdxl_folder)[1].state_dict(), r"old does not fit: unet\.conv_out\.weight is \(5, 8, 3, 3\)"),
        (adapted(sdxl_folder, phase=1, rank=2)[1].state_dict(), "rank 2 and the configuration rank 3"),
        ({key: value for key, value in whole.items() if key != name}, r"1 missing \(unet\.mid_block"),
        (whole | {name: random(7, RANK)}, r"proj_in\.lora_B\.default\.weight is \(7, 3\), not \(16, 3\)"),
    ):
        with pytest.raises(WeightsError, match=sentence):
            module.begin_with(wrong, "old")
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_without_peft_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"need the package peft: install osor-video\[sdxl\]"):
        add_adapters(tiny_unet(), RANK)

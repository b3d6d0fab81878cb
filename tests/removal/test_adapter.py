"""The published layout of adapters: names, ranks, merging by hand and on a real UNet, and every wrong file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from osor_video.errors import ConfigError, WeightsError
from osor_video.removal.adapter import (
    SDXL_LAYOUT,
    adapter_rank,
    check_names,
    clean_name,
    low_rank_delta,
    merge_adapter,
    read_adapter,
    widen_output,
    write_adapter,
)
from tests.tiny_sdxl import WIDTH, tiny_unet

RANK = 3
SHARED = Path(__file__).parents[2].parent / "shared"
"""Material that is not part of the repository; tests that need it skip without it."""


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fresh_unet() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return tiny_unet()


def random_adapter(unet: Any, rank: int = RANK, rows: int = 5) -> dict[str, Tensor]:
    """An adapter of small random numbers for ``unet``."""
    tensors = {}
    for name, layer in SDXL_LAYOUT.layers(unet).items():
        out, inner, *kernel = layer.weight.shape
        tensors[f"unet.{name}.lora_A.default.weight"] = 0.1 * random(rank, inner, *kernel)
        tensors[f"unet.{name}.lora_B.default.weight"] = 0.1 * random(out, rank, *(1 for _ in kernel))
    tensors["unet.conv_out.weight"] = 0.1 * random(rows, *unet.conv_out.weight.shape[1:])
    tensors["unet.conv_out.bias"] = random(rows)
    return tensors


def test_the_layout_names_the_layers_of_the_published_list_and_no_others() -> None:
    names = set(SDXL_LAYOUT.layers(fresh_unet()))
    assert {
        "down_blocks.0.resnets.0.conv1",
        "down_blocks.0.downsamplers.0.conv",
        "down_blocks.1.resnets.0.conv_shortcut",
        "down_blocks.1.attentions.0.proj_in",
        "down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_out.0",
        "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj",
        "up_blocks.0.upsamplers.0.conv",
    } <= names
    ends = {".".join(name.split(".")[-2:]) for name in names}
    assert not any("time_emb" in name or "norm" in name for name in names)
    assert not names & {"conv_in", "conv_out", "time_embedding.linear_1"}
    assert {"to_out.0", "net.2", "0.proj"} <= ends


def test_sdxl_itself_has_771_adapted_layers() -> None:
    """Counted with PEFT's own choice of layers on the published base's configuration; 778 million at rank 256."""
    with torch.device("meta"):
        unet = tiny_unet(
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=2,
            transformer_layers_per_block=(1, 2, 10),
            attention_head_dim=(5, 10, 20),
            cross_attention_dim=2048,
            norm_num_groups=32,
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        )
    layers = SDXL_LAYOUT.layers(unet)
    assert len(layers) == 771
    shapes = [layer.weight.shape for layer in layers.values()]
    pairs = sum(256 * (shape[0] + shape[1:].numel()) for shape in shapes)
    assert pairs == pytest.approx(777.9e6, rel=1e-4)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_is_read_as_it_was_written(tmp_path: Path, suffix: str) -> None:
    adapter, path = random_adapter(fresh_unet()), tmp_path / f"deep/adapter{suffix}"
    write_adapter(path, adapter)
    found = read_adapter(path)
    assert {*found} == {*adapter}
    assert all(torch.equal(found[name], adapter[name]) for name in adapter)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_wrappers_are_taken_out_of_names(tmp_path: Path) -> None:
    assert clean_name("module.unet._orig_mod.conv_out.bias") == "unet.conv_out.bias"
    assert clean_name("unet.up_blocks.0.conv.weight") == "unet.up_blocks.0.conv.weight"
    path = tmp_path / "wrapped.pth"
    torch.save({"module.unet.conv_out.bias": torch.ones(1)}, path)
    assert list(read_adapter(path)) == ["unet.conv_out.bias"]
    torch.save({"module.unet.conv_out.bias": torch.ones(1), "unet.conv_out.bias": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match="some tensors twice"):
        read_adapter(path)


def test_files_that_are_no_adapters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pth cannot be read"):
        read_adapter(tmp_path / "none.pth")
    for name in ("broken.pth", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(WeightsError, match="cannot be read"):
            read_adapter(tmp_path / name)
    torch.save({"step": 3}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="is no adapter: expected a state dict of tensors"):
        read_adapter(tmp_path / "other.pth")
    with pytest.raises(ConfigError, match=r"\.pth or \.safetensors, not a folder"):
        write_adapter(tmp_path / "folder", {})


def test_missing_and_unexpected_keys_are_counted_and_named() -> None:
    check_names("ab", "ba", "x")
    with pytest.raises(
        WeightsError, match=r"x does not fit this base: 4 missing \(b, c, d, \.\.\.\), 1 unexp"
    ):
        check_names("az", "abcde", "x")
    with pytest.raises(WeightsError, match=r"base: 1 unexpected \(z\), of 1 keys"):
        check_names("az", "a", "x")


def test_all_pairs_have_one_rank() -> None:
    adapter = random_adapter(fresh_unet())
    assert adapter_rank(adapter, "x") == RANK
    adapter["unet.other.lora_A.default.weight"] = torch.zeros(4, 2)
    with pytest.raises(WeightsError, match=r"x has pairs of ranks \[3, 4\]"):
        adapter_rank(adapter, "x")
    with pytest.raises(WeightsError, match="ranks none"):
        adapter_rank({}, "x")


def test_a_pair_is_one_weight() -> None:
    down, up, x = random(2, 5), random(4, 2, seed=1), random(3, 5, seed=2)
    torch.testing.assert_close(F.linear(x, low_rank_delta(down, up)), F.linear(F.linear(x, down), up))
    down, up, x = random(2, 5, 3, 3), random(4, 2, 1, 1, seed=1), random(1, 5, 8, 8, seed=2)
    one = F.conv2d(x, low_rank_delta(down, up), stride=2, padding=1)
    torch.testing.assert_close(one, F.conv2d(F.conv2d(x, down, stride=2, padding=1), up))


def test_the_output_layer_gets_alpha() -> None:
    unet = fresh_unet()
    before = unet.conv_out
    widen_output(unet, "conv_out", 5, -2.0)
    assert torch.equal(unet.conv_out.weight[:4], before.weight)
    assert torch.equal(unet.conv_out.bias[:4], before.bias)
    assert not unet.conv_out.weight[4].any()
    assert unet.conv_out.bias[4].item() == -2
    assert unet.config.out_channels == 5
    with pytest.raises(WeightsError, match="5 outputs, more than 4"):
        widen_output(unet, "conv_out", 4)


def call(unet: Any) -> Tensor:
    conditions = {"text_embeds": random(1, 8, seed=3), "time_ids": torch.full((1, 6), 64.0)}
    with torch.no_grad():
        out: Tensor = unet(
            random(1, 9, 8, 8), 400, random(1, 77, WIDTH, seed=4), added_cond_kwargs=conditions
        ).sample
    return out


@pytest.mark.parametrize("rows", [4, 5])
def test_merged_is_what_the_pairs_beside_the_layers_say(rows: int) -> None:
    merged, beside = fresh_unet(), fresh_unet()
    adapter = random_adapter(merged, rows=rows)
    for name, layer in SDXL_LAYOUT.layers(beside).items():
        pair = [adapter[f"unet.{name}.lora_{side}.default.weight"] for side in "AB"]
        layer.register_forward_hook(hook_of(*pair))
    widen_output(beside, "conv_out", rows)
    for end in ("weight", "bias"):
        getattr(beside.conv_out, end).data = adapter[f"unet.conv_out.{end}"]
    before = call(fresh_unet())
    merge_adapter(merged, adapter)
    assert call(merged).shape == (1, rows, 8, 8)
    assert (call(merged)[:, :4] - before).abs().max() > 0.1
    torch.testing.assert_close(call(merged), call(beside), atol=1e-4, rtol=1e-4)


def hook_of(down: Tensor, up: Tensor) -> Any:
    def add_pair(layer: Any, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
        if isinstance(layer, nn.Linear):
            return out + F.linear(F.linear(inputs[0], down), up)
        return out + F.conv2d(F.conv2d(inputs[0], down, stride=layer.stride, padding=layer.padding), up)

    return add_pair


def test_an_adapter_that_does_not_fit_changes_nothing() -> None:
    unet = fresh_unet()
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    whole, name = random_adapter(unet), "unet.mid_block.attentions.0.proj_out.lora_A.default.weight"
    for wrong, sentence in (
        ({key: value for key, value in whole.items() if key != name}, r"1 missing \(unet\.mid_block"),
        (whole | {name: random(RANK, 7)}, r"mid_block\.attentions\.0\.proj_out is \(16, 7\), not \(16, 16\)"),
        (whole | {"unet.conv_out.weight": random(5, 7, 3, 3)}, r"conv_out is \(7, 3, 3\), not \(8, 3, 3\)"),
        (whole | {name: random(RANK + 1, 16)}, r"ranks \[3, 4\]"),
    ):
        with pytest.raises(WeightsError, match=sentence):
            merge_adapter(unet, wrong)
    after = unet.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.skipif(not (SHARED / "parity").exists(), reason="needs shared/parity beside the repository")
@pytest.mark.parametrize(("folder", "rows"), [("sdxl", 5), ("sdxl-phase1", 4)])
def test_a_published_adapter_has_exactly_these_names(folder: str, rows: int) -> None:
    from diffusers import UNet2DConditionModel  # noqa: PLC0415

    unet = UNet2DConditionModel.from_pretrained(SHARED / "parity" / folder / "base/unet")
    adapter = read_adapter(next((SHARED / "parity" / folder).glob("*.pth")))
    assert {*adapter} == SDXL_LAYOUT.names(unet)
    assert len(adapter["unet.conv_out.bias"]) == rows
    merge_adapter(unet, adapter)
    assert unet.config.out_channels == rows

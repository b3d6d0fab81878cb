"""The fixed prompt: encoded as diffusers' own SDXL pipeline does, kept in a file, given to the UNet."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxFillPipeline, StableDiffusionXLInpaintPipeline

from osor_video.errors import ConfigError, WeightsError
from osor_video.removal.prompt import PROMPT, PromptEmbeddings, encode_flux_prompt, encode_prompt
from tests.tiny_sdxl import POOLED, WIDTH


@pytest.fixture(scope="module")
def embeddings(sdxl_folder: Path) -> PromptEmbeddings:
    found: PromptEmbeddings = encode_prompt(str(sdxl_folder))
    return found


def test_the_prompt_is_encoded_as_the_base_was_trained_with_it(
    embeddings: PromptEmbeddings, sdxl_folder: Path
) -> None:
    pipeline = StableDiffusionXLInpaintPipeline.from_pretrained(sdxl_folder, add_watermarker=False)
    tokens, _, pooled, _ = pipeline.encode_prompt(PROMPT, do_classifier_free_guidance=False)
    assert torch.equal(embeddings.tokens, tokens)
    assert torch.equal(embeddings.pooled, pooled)
    other, _, _, _ = pipeline.encode_prompt("another", do_classifier_free_guidance=False)
    assert not torch.allclose(embeddings.tokens, other, atol=1e-2)
    assert embeddings.tokens.shape == (1, 77, WIDTH)
    assert not embeddings.tokens.requires_grad


def test_in_half_precision_as_published(sdxl_folder: Path, embeddings: PromptEmbeddings) -> None:
    """float16 numbers; worked out in float32 on a processor, a little nearer to the truth than the pipeline in float16."""
    pipeline = StableDiffusionXLInpaintPipeline.from_pretrained(sdxl_folder, add_watermarker=False)
    for encoder in (pipeline.text_encoder, pipeline.text_encoder_2):
        encoder.to(torch.float16)
    tokens, _, pooled, _ = pipeline.encode_prompt(PROMPT, do_classifier_free_guidance=False)
    found = encode_prompt(str(sdxl_folder), half=True)
    assert found.tokens.dtype == torch.float32
    assert torch.equal(found.tokens, embeddings.tokens.half().float())
    assert torch.equal(found.pooled, embeddings.pooled.half().float())
    torch.testing.assert_close(found.tokens, tokens.float(), atol=5e-3, rtol=5e-3)
    torch.testing.assert_close(found.pooled, pooled.float(), atol=5e-3, rtol=5e-3)


@torch.no_grad()
def test_flux_is_told_it_as_its_own_pipeline_does(flux_folder: Path) -> None:
    from transformers import AutoTokenizer, CLIPTextModel, CLIPTokenizer, T5EncoderModel  # noqa: PLC0415

    pipeline = FluxFillPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=None,
        transformer=None,
        text_encoder=CLIPTextModel.from_pretrained(flux_folder, subfolder="text_encoder"),
        text_encoder_2=T5EncoderModel.from_pretrained(flux_folder, subfolder="text_encoder_2"),
        tokenizer=CLIPTokenizer.from_pretrained(flux_folder, subfolder="tokenizer"),
        tokenizer_2=AutoTokenizer.from_pretrained(flux_folder, subfolder="tokenizer_2"),
    )
    tokens, pooled, _ = pipeline.encode_prompt(PROMPT, PROMPT, device="cpu", max_sequence_length=512)
    found = encode_flux_prompt(str(flux_folder))
    assert torch.equal(found.tokens, tokens)
    assert torch.equal(found.pooled, pooled)
    assert found.tokens.shape == (1, 512, 8)
    halved = encode_flux_prompt(str(flux_folder), half=True)
    assert torch.equal(halved.tokens, found.tokens.bfloat16().float())


def test_it_is_read_as_it_was_written(embeddings: PromptEmbeddings, tmp_path: Path) -> None:
    embeddings.write(tmp_path / "prompt.safetensors")
    published = {"prompt_embeds": embeddings.tokens, "pooled_prompt_embeds": embeddings.pooled}
    torch.save(published | {"prompt": PROMPT}, tmp_path / "prompt.pt")
    for name in ("prompt.safetensors", "prompt.pt"):
        found = PromptEmbeddings.read(tmp_path / name)
        assert torch.equal(found.tokens, embeddings.tokens)
        assert torch.equal(found.pooled, embeddings.pooled)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    torch.save({"prompt_embeds": torch.zeros(1, 77, 4)}, tmp_path / "half.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    for name in ("none.pt", "broken.safetensors"):
        with pytest.raises(WeightsError, match=rf"{name} cannot be read: "):
            PromptEmbeddings.read(tmp_path / name)
    for name in ("half.pt", "list.pt"):
        with pytest.raises(
            WeightsError, match=rf"{name} holds no prompt embeddings: expected .* prompt_embeds and pooled"
        ):
            PromptEmbeddings.read(tmp_path / name)
    torch.save(
        {"prompt_embeds": torch.zeros(77, 4), "pooled_prompt_embeds": torch.zeros(1, 4)}, tmp_path / "flat.pt"
    )
    with pytest.raises(WeightsError, match=r"are \(77, 4\) and \(1, 4\), not \[1, 77, D\]"):
        PromptEmbeddings.read(tmp_path / "flat.pt")


def test_the_unet_is_told_the_prompt_and_the_size(embeddings: PromptEmbeddings) -> None:
    told = embeddings.arguments(2, (96, 128))
    assert told["encoder_hidden_states"].shape == (2, 77, WIDTH)
    assert told["added_cond_kwargs"]["text_embeds"].shape == (2, POOLED)
    assert told["added_cond_kwargs"]["time_ids"].tolist() == [[96, 128, 0, 0, 96, 128]] * 2


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match=r"has no readable tokenizer/ and text_encoder/"):
        encode_prompt(str(tmp_path))
    with pytest.raises(WeightsError, match=r"has no readable tokenizer/ and text_encoder/"):
        encode_flux_prompt(str(tmp_path))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"transformers: install osor-video\[sdxl\], or give ready"):
        encode_prompt(str(tmp_path))

"""SDXL and FLUX with published adapters: equal to a plain reading of the method, in both phases, however they are run."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDPMScheduler
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from osor_video.errors import ConfigError, WeightsError
from osor_video.removal.adapter import FLUX_LAYOUT, SDXL_LAYOUT, read_adapter, write_adapter
from osor_video.removal.coder import LatentCoder
from osor_video.removal.flux import pack, unpack
from osor_video.removal.folder import ModelFolder
from osor_video.removal.published import PublishedModel, Running, load_published
from osor_video.removal.record import AdapterRecord
from tests.full_disk import files_of_at_most
from tests.tiny_flux import tiny_transformer
from tests.tiny_published import adapted_transformer, adapted_unet, flux_model, sdxl_model
from tests.tiny_sdxl import tiny_unet

H, W = 64, 96


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


IMAGE = random(2, 3, H, W, seed=1).sigmoid()
MASK = torch.zeros(2, 1, H, W)
MASK[:, :, 19:40, 30:61] = 1
EPS = {4: random(1, 4, H // 8, W // 8, seed=2), 16: random(1, 16, H // 8, W // 8, seed=2)}


@pytest.fixture(scope="module")
def sdxl(sdxl_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sdxl_model(tmp_path_factory.mktemp("sdxl") / "model", sdxl_folder)


@pytest.fixture(scope="module")
def phase1(sdxl_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sdxl_model(tmp_path_factory.mktemp("phase1") / "model", sdxl_folder, phase=1)


@pytest.fixture(scope="module")
def flux(flux_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flux_model(tmp_path_factory.mktemp("flux") / "model", flux_folder)


def load(folder: Path, running: Running | None = None) -> PublishedModel:
    return load_published(ModelFolder.open(folder), running or Running())


def answer(model: PublishedModel) -> tuple[Tensor, Tensor]:
    """The decoded blend and alpha of the two frames."""
    steps = model.trace(IMAGE, MASK, EPS[model.record.latent_channels])
    return model.decode(steps.blended), steps.alpha_logit.sigmoid()


def close(found: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor], within: float) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() < within


# --- a plain reading of the method, one picture at a time ---------------------------------------------------


@torch.no_grad()
def plain_sdxl(folder: Path, phase: int) -> tuple[Tensor, Tensor]:
    unet = adapted_unet(folder / "base", 3 + phase)
    vae = AutoencoderKL.from_pretrained(folder / "base/vae").eval()
    schedule = DDPMScheduler.from_pretrained(folder / "base/scheduler")
    told = torch.load(folder / "fixed_prompt_embeds.pt", weights_only=True)
    t = {1: 600, 2: 400}[phase]
    abar = schedule.alphas_cumprod[t]
    pictures, alphas = [], []
    for image, mask in zip(IMAGE.split(1), MASK.split(1), strict=True):
        z = vae.encode(2 * image - 1).latent_dist.mode() * vae.config.scaling_factor
        m = F.max_pool2d(mask, 8)
        z_t = abar.sqrt() * z + (1 - abar).sqrt() * EPS[4]
        out = unet(
            torch.cat([z_t, m, z], dim=1),
            t,
            told["prompt_embeds"],
            added_cond_kwargs={
                "text_embeds": told["pooled_prompt_embeds"],
                "time_ids": torch.tensor([[H, W, 0, 0, H, W]], dtype=torch.float32),
            },
        ).sample
        z0 = ((z_t - (1 - abar).sqrt() * out[:, :4]) / abar.sqrt()).clamp(-1, 1)
        alpha = out[:, 4:].sigmoid() if phase == 2 else m
        blended = alpha * z0 + (1 - alpha) * z
        decoded = vae.decode(blended / vae.config.scaling_factor).sample
        pictures.append((decoded / 2 + 0.5).clamp(0, 1))
        alphas.append(alpha)
    return torch.cat(pictures), torch.cat(alphas)


def two_by_two(cells: Tensor) -> Tensor:
    """FLUX's packing as its pipeline writes it."""
    b, c, h, w = cells.shape
    return cells.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, 4 * c)


def from_two_by_two(tokens: Tensor) -> Tensor:
    b, _, c = tokens.shape
    cells = tokens.view(b, H // 16, W // 16, c // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return cells.reshape(b, c // 4, H // 8, W // 8)


@torch.no_grad()
def plain_flux(folder: Path) -> tuple[Tensor, Tensor]:
    transformer = adapted_transformer(folder / "base", 68)
    vae = AutoencoderKL.from_pretrained(folder / "base/vae").eval()
    scale, shift = vae.config.scaling_factor, vae.config.shift_factor
    told = torch.load(folder / "fixed_prompt_embeds.pt", weights_only=True)
    places = [[0.0, row, column] for row in range(H // 16) for column in range(W // 16)]
    pictures, alphas = [], []
    for image, mask in zip(IMAGE.split(1), MASK.split(1), strict=True):
        z = (vae.encode(2 * image - 1).latent_dist.mode() - shift) * scale
        pixels = mask.view(1, H // 8, 8, W // 8, 8).permute(0, 2, 4, 1, 3).reshape(1, 64, H // 8, W // 8)
        clean, noise = two_by_two(z), two_by_two(EPS[16])
        z_t = 0.6 * clean + 0.4 * noise
        out = transformer(
            hidden_states=torch.cat([z_t, clean, two_by_two(pixels)], dim=2),
            timestep=torch.tensor([0.4]),
            guidance=torch.tensor([30.0]),
            encoder_hidden_states=told["prompt_embeds"],
            pooled_projections=told["pooled_prompt_embeds"],
            txt_ids=torch.zeros(told["prompt_embeds"].shape[1], 3),
            img_ids=torch.tensor(places),
        ).sample
        z0 = from_two_by_two(z_t - 0.4 * out[..., :64])
        alpha = from_two_by_two(out[..., 64:]).sigmoid()
        blended = alpha * (z0 / scale + shift) + (1 - alpha) * (z / scale + shift)
        pictures.append((vae.decode(blended).sample / 2 + 0.5).clamp(0, 1))
        alphas.append(alpha)
    return torch.cat(pictures), torch.cat(alphas)


def test_sdxl_equals_the_plain_reading(sdxl: Path, phase1: Path) -> None:
    close(answer(load(sdxl)), plain_sdxl(sdxl, 2), 1e-5)
    model = load(phase1)
    close(answer(model), plain_sdxl(phase1, 1), 1e-5)
    assert model.record.timestep == 600
    assert "phase 1" in model.record.name
    (picture, alpha), (one_picture, _) = answer(load(sdxl)), answer(model)
    assert alpha.std() > 0.01
    assert picture.std() > 0.01
    assert (picture - one_picture).abs().max() > 0.01


def test_flux_equals_the_plain_reading(flux: Path) -> None:
    found = answer(load(flux))
    close(found, plain_flux(flux), 1e-5)
    assert found[1].std() > 0.01


def test_packing_is_the_pipelines_and_has_an_inverse() -> None:
    cells = random(2, 16, H // 8, W // 8, seed=3)
    assert torch.equal(pack(cells), two_by_two(cells))
    assert torch.equal(unpack(pack(cells), (H // 8, W // 8)), cells)


# --- adapters ---------------------------------------------------------------------------------------------


def test_merged_equals_unmerged(sdxl: Path, phase1: Path, flux: Path) -> None:
    for folder in (sdxl, phase1, flux):
        close(answer(load(folder)), answer(load(folder, Running(merge=False))), 1e-4)


def test_unmerged_needs_peft(sdxl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"need the package peft: install osor-video\[sdxl\]"):
        load(sdxl, Running(merge=False))
    load(sdxl)


@pytest.mark.parametrize("kind", ["sdxl", "flux"])
def test_a_state_dict_in_the_published_layout_comes_back_key_for_key(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = shutil.copytree(request.getfixturevalue(kind), tmp_path / "model")
    path = ModelFolder.open(folder).adapter
    tensors = read_adapter(path)
    layout = {"sdxl": SDXL_LAYOUT, "flux": FLUX_LAYOUT}[kind]
    network = tiny_unet() if kind == "sdxl" else tiny_transformer()
    assert {*tensors} == layout.names(network)
    before = answer(load(folder))
    write_adapter(
        path.with_suffix(".safetensors"), {f"module._orig_mod.{key}": tensors[key] for key in tensors}
    )
    path.unlink()
    assert {*read_adapter(path.with_suffix(".safetensors"))} == {*tensors}
    close(answer(load(folder)), before, 1e-9)


def test_every_key_is_accounted_for(sdxl: Path, flux: Path, tmp_path: Path) -> None:
    for name, source in (("sdxl", sdxl), ("flux", flux)):
        folder = shutil.copytree(source, tmp_path / name)
        path = ModelFolder.open(folder).adapter
        tensors = torch.load(path, weights_only=True)
        lost = next(key for key in tensors if "lora_A" in key)
        for changed, said in (
            ({key: value for key, value in tensors.items() if key != lost}, f"1 missing ({lost})"),
            (tensors | {"unet.extra.weight": torch.zeros(1)}, "1 unexpected (unet.extra.weight)"),
        ):
            torch.save(changed, path)
            for merge in (True, False):
                with pytest.raises(WeightsError) as caught:
                    load(folder, Running(merge=merge))
                assert said in str(caught.value)


def test_the_adapter_of_another_kind_or_of_no_kind_is_refused(sdxl: Path, flux: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sdxl, tmp_path / "model")
    path = ModelFolder.open(folder).adapter
    shutil.copy(ModelFolder.open(flux).adapter, path)
    with pytest.raises(
        WeightsError, match=r"has no unet\.conv_out\.weight: it is no OSOR adapter of this kind"
    ):
        load(folder)
    tensors = read_adapter(ModelFolder.open(sdxl).adapter)
    tensors["unet.conv_out.weight"] = torch.zeros(7, 8, 3, 3)
    tensors["unet.conv_out.bias"] = torch.zeros(7)
    torch.save(tensors, path)
    with pytest.raises(
        WeightsError, match=r"has 7 rows in conv_out, expected 4 \(phase 1\) or 5 \(phase 2\)"
    ):
        load(folder)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"sdxlinpainting_phase2\.pth cannot be read"):
        load(folder)


def test_phase_1_of_flux_is_refused_with_the_reason(flux_folder: Path, tmp_path: Path) -> None:
    folder = flux_model(tmp_path / "model", flux_folder, rows=64)
    with pytest.raises(WeightsError, match=r"is of phase 1: it has no alpha, .* Take fluxfill_phase2\.pth"):
        load(folder)


def test_an_adapter_of_ours_brings_its_timestep_and_names_its_base(
    sdxl: Path, sdxl_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.pth"
    shutil.copy(ModelFolder.open(sdxl).adapter, path)
    shutil.copy(sdxl / "fixed_prompt_embeds.pt", tmp_path)
    record = AdapterRecord(
        base=str(sdxl_folder), phase=2, timestep=350, prediction_type="epsilon", rank=3, sha256=""
    )
    record.write(path.with_suffix(".json"))
    assert load(path).record.timestep == 350
    record.model_copy(update={"phase": 1}).write(path.with_suffix(".json"))
    with pytest.raises(WeightsError, match=r"is of phase 2, but its record mine\.json says 1"):
        load(path)
    record.model_copy(update={"base": "nobody/nothing"}).write(path.with_suffix(".json"))
    with pytest.raises(
        WeightsError, match=r"nobody/nothing of .* is neither a folder nor in the hub's cache"
    ):
        load(path)


# --- bases ------------------------------------------------------------------------------------------------


def test_a_base_that_is_not_whole_is_named(sdxl: Path, flux: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sdxl, tmp_path / "sdxl")
    weights = folder / "base/unet/diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    save_file({key: value for key, value in tensors.items() if key != "conv_in.bias"}, weights)
    with pytest.raises(WeightsError, match=r"is not whole: 1 missing keys in unet/ \(conv_in\.bias\)"):
        load(folder)
    save_file(tensors | {"extra": torch.zeros(1)}, weights)
    with pytest.raises(WeightsError, match=r"is not whole: 1 unexpected keys in unet/ \(extra\)"):
        load(folder)
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(
        WeightsError,
        match=r"unet/diffusion_pytorch_model\.safetensors cannot be read: it is damaged or not whole",
    ):
        load(folder)
    shutil.rmtree(folder / "base/vae")
    with pytest.raises(WeightsError, match=r"has no vae/; put unet/, vae/, scheduler/ there"):
        load(folder)
    shutil.rmtree(folder / "base/unet")
    with pytest.raises(WeightsError, match=r"has neither unet/ \(SDXL\) nor transformer/ \(FLUX\)"):
        load(folder)
    shutil.rmtree(folder / "base")
    with pytest.raises(WeightsError, match=r"has no base/\. Put the base in diffusers' layout there"):
        load(folder)
    other = shutil.copytree(flux, tmp_path / "flux")
    tiny_transformer(in_channels=64).save_pretrained(other / "base/transformer")
    with pytest.raises(
        WeightsError, match="no FLUX-Fill base: its transformer takes 64 channels and gives 64"
    ):
        load(other)


def test_a_part_of_another_kind_is_named(sdxl: Path, flux: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sdxl, tmp_path / "model")
    shutil.rmtree(folder / "base/unet")
    shutil.copytree(flux / "base/transformer", folder / "base/unet")
    with pytest.raises(
        WeightsError, match=r"unet holds a FluxTransformer2DModel, expected a UNet2DConditionModel"
    ):
        load(folder)
    shutil.rmtree(folder / "base")
    shutil.copytree(sdxl / "base", folder / "base")
    shutil.rmtree(folder / "base/vae")
    shutil.copytree(flux / "base/vae", folder / "base/vae")
    with pytest.raises(WeightsError, match="as its autoencoder has 16 latent channels"):
        load(folder)


def test_a_base_that_lies_elsewhere_is_named_by_the_user(
    sdxl: Path, sdxl_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    adapter = Path(shutil.copy(ModelFolder.open(sdxl).adapter, folder))
    shutil.copy(sdxl / "fixed_prompt_embeds.pt", folder)
    with pytest.raises(WeightsError, match=r"has no base/.* name one with --set removal\.base=NAME"):
        ModelFolder.open(adapter)
    with pytest.raises(
        WeightsError, match=r"somebody/base of .* nor in the hub's cache.* hf download somebody/base"
    ):
        ModelFolder.open(adapter, base_name="somebody/base")
    wanted = answer(load(sdxl))
    close(
        answer(load_published(ModelFolder.open(adapter, base_name=str(sdxl_folder)), Running())), wanted, 1e-9
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    repo = tmp_path / "cache/models--somebody--base"
    shutil.copytree(sdxl_folder, repo / "snapshots" / ("1" * 40))
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text("1" * 40, encoding="utf-8")
    close(
        answer(load_published(ModelFolder.open(folder, base_name="somebody/base"), Running())), wanted, 1e-9
    )


def test_weights_that_are_no_numbers_are_told(sdxl: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sdxl, tmp_path / "model")
    path = ModelFolder.open(folder).adapter
    tensors = torch.load(path, weights_only=True)
    tensors["unet.conv_out.bias"][0] = float("nan")
    torch.save(tensors, path)
    with pytest.raises(
        WeightsError, match=r"1 tensors \(unet\.conv_out\.bias\) hold values that are no numbers"
    ):
        load(folder)
    for dtype, said in (
        (torch.float32, r"its weights are damaged\. Fetch"),
        (torch.bfloat16, r"damaged, or bfloat16 is too narrow for them; take --dtype float32"),
    ):
        model = load(sdxl, Running(dtype=dtype))
        model._backbone.network.conv_in.bias[0] = float("inf")
        with pytest.raises(WeightsError, match=said):
            model.predict(IMAGE, MASK, EPS[4])


def test_several_adapters_are_named(sdxl: Path, phase1: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sdxl, tmp_path / "model")
    shutil.copy(ModelFolder.open(phase1).adapter, folder)
    assert load(folder).record.timestep == 400
    (folder / "sdxlinpainting_phase2.pth").rename(folder / "other.pth")
    with pytest.raises(WeightsError, match=r"several: other\.pth, sdxlinpainting_phase1\.pth"):
        load(folder)


def test_weights_in_half_precision_alone_are_taken(sdxl: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sdxl, tmp_path / "model")
    for part in ("unet", "vae"):
        whole = folder / "base" / part / "diffusion_pytorch_model.safetensors"
        halves = {key: value.half() for key, value in load_file(whole).items()}
        save_file(halves, whole.with_name("diffusion_pytorch_model.fp16.safetensors"))
    close(answer(load(folder)), answer(load(sdxl)), 1e-9)  # both there: the full ones count
    for part in ("unet", "vae"):
        (folder / "base" / part / "diffusion_pytorch_model.safetensors").unlink()
    model = load(folder)
    close(answer(model), answer(load(sdxl)), 0.05)
    assert {value.dtype for value in model._backbone.network.parameters()} == {torch.float32}


# --- the prompt -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sdxl", "flux"])
def test_embeddings_are_made_once_and_kept(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    base = request.getfixturevalue(f"{kind}_folder")
    make = sdxl_model if kind == "sdxl" else flux_model
    folder = make(tmp_path / "model", base, embeddings=False)
    first = answer(load(folder))
    assert (folder / "prompt.safetensors").is_file()
    for part in ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"):
        shutil.rmtree(folder / "base" / part)
    close(answer(load(folder)), first, 1e-9)
    (folder / "prompt.safetensors").unlink()
    with pytest.raises(
        WeightsError, match=r"no readable tokenizer/ and text_encoder/: .* ready prompt embed"
    ):
        load(folder)


def test_embeddings_that_cannot_be_kept_are_told(sdxl_folder: Path, tmp_path: Path) -> None:
    folder = sdxl_model(tmp_path / "model", sdxl_folder, embeddings=False)
    with (
        files_of_at_most(100),
        pytest.raises(WeightsError, match=r"cannot be kept as .*prompt\.safetensors: .*too large"),
    ):
        load(folder)
    assert not list(folder.glob("*prompt*"))


def test_embeddings_of_another_width_are_refused(sdxl: Path, flux: Path, tmp_path: Path) -> None:
    for name, source, other in (("a", sdxl, flux), ("b", flux, sdxl)):
        folder = shutil.copytree(source, tmp_path / name)
        shutil.copy(other / "fixed_prompt_embeds.pt", folder)
        with pytest.raises(WeightsError, match=r"prompt embeddings are \(\d+, 8\) wide, and this base takes"):
            load(folder)


# --- how it runs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sdxl", "flux"])
def test_other_precisions_and_offloading_say_about_the_same(
    kind: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    plain = answer(load(folder))
    for one, other in zip(answer(load(folder, Running(dtype=torch.bfloat16))), plain, strict=True):
        assert one.dtype == torch.float32
        assert 0 < (one - other).abs().mean() < 0.02
    close(answer(load(folder, Running(offload="on"))), plain, 1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", ["sdxl", "flux"])
def test_a_gpu_says_about_the_same_as_a_processor(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    make = sdxl_model if kind == "sdxl" else flux_model
    folder = make(tmp_path / "model", request.getfixturevalue(f"{kind}_folder"), embeddings=False)
    cuda = torch.device("cuda")
    half = answer(load(folder, Running(cuda, torch.bfloat16)))  # also encodes the prompt there
    plain = answer(load(folder))
    for one, other in zip(half, plain, strict=True):
        assert (one.cpu() - other).abs().mean() < 0.02
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for running in (
        Running(cuda),
        Running(cuda, offload="on"),
        Running(cuda, merge=False),
        Running(cuda, tiling="on"),
    ):
        found = answer(load(folder, running))
        close((found[0].cpu(), found[1].cpu()), plain, 0.2 if running.tiling == "on" else 1e-3)
    assert load(folder, Running(cuda)).frames_together(512) == (8 if kind == "sdxl" else 1)


def test_compiling_is_asked_for_and_changes_nothing(sdxl: Path) -> None:
    plain = answer(load(sdxl))
    # Compiling itself takes minutes on a processor; what is wrapped is run as it is.
    with torch.compiler.set_stance("force_eager"):
        model = load(sdxl, Running(compiled=True))
        assert model._backbone.network._compiled_call_impl is not None
        close(answer(model), plain, 1e-6)


def test_a_batch_equals_its_frames(sdxl: Path, flux: Path) -> None:
    for folder in (sdxl, flux):
        model = load(folder)
        together = model.predict(IMAGE, MASK, EPS[model.record.latent_channels])
        for index in range(2):
            one = slice(index, index + 1)
            alone = model.predict(IMAGE[one], MASK[one], EPS[model.record.latent_channels])
            torch.testing.assert_close(together.z0[one], alone.z0, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(together.alpha_logit[one], alone.alpha_logit, atol=1e-5, rtol=1e-5)


def test_tiles_and_half_precision_of_the_autoencoder(sdxl: Path) -> None:
    vae = AutoencoderKL.from_pretrained(sdxl / "base/vae")
    cpu = torch.device("cpu")
    assert LatentCoder(vae, cpu, torch.float16).dtype == torch.float32
    assert LatentCoder(vae, cpu, torch.bfloat16).dtype == torch.bfloat16
    whole = LatentCoder(vae, cpu, torch.float32)
    image = random(1, 3, 128, 192, seed=4).sigmoid()
    z = whole.encode(image)
    tiled = LatentCoder(vae, cpu, torch.float32, "on")
    found = tiled.decode(z)
    assert vae.use_tiling
    assert found.shape == image.shape
    # Random weights see far, so tiles of 64 px differ much; the picture is still the same one.
    assert 0 < (found - whole.decode(z)).abs().mean() < 0.2
    assert not vae.use_tiling  # the last to decode was the one without


def test_tiles_are_smaller_than_the_crops_that_need_them() -> None:
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
        sample_size=1024,
    )
    calls: list[tuple[int, ...]] = []
    vae.decoder.register_forward_pre_hook(lambda _, inputs: calls.append(tuple(inputs[0].shape[2:])))
    z = random(1, 4, 80, 96, seed=5)
    LatentCoder(vae, torch.device("cpu"), torch.float32, "on").decode(z)
    assert len(calls) == 4
    assert max(max(call) for call in calls) == 64
    calls.clear()
    LatentCoder(vae, torch.device("cpu"), torch.float32, "off").decode(z)
    assert calls == [(80, 96)]


def test_a_tiny_autoencoder_decodes_for_previews(sdxl: Path, tmp_path: Path) -> None:
    tiny = AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8), latent_channels=4
    )
    tiny.save_pretrained(tmp_path / "tiny")
    model, plain = load(sdxl, Running(tiny_vae=tmp_path / "tiny")), load(sdxl)
    assert not model.coder.decodes_in_full
    steps, wanted = model.trace(IMAGE, MASK, EPS[4]), plain.trace(IMAGE, MASK, EPS[4])
    assert torch.equal(steps.alpha_logit, wanted.alpha_logit)
    assert model.decode(steps.blended).shape == IMAGE.shape
    assert (model.decode(steps.blended) - plain.decode(steps.blended)).abs().mean() > 0.01
    AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8), latent_channels=16
    ).save_pretrained(tmp_path / "other")
    with pytest.raises(WeightsError, match="has 16 latent channels, and this model 4"):
        load(sdxl, Running(tiny_vae=tmp_path / "other"))
    with pytest.raises(WeightsError, match="cannot be read"):
        load(sdxl, Running(tiny_vae=tmp_path / "nowhere"))


def test_sides_are_checked(sdxl: Path) -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        load(sdxl).encode(torch.zeros(1, 3, 64, 72))


def test_the_schedule_says_where_z0_ends(sdxl: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sdxl, tmp_path / "model")
    path = folder / "base/scheduler/scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"clip_sample": False}))
    free, clamped = (load(place).trace(IMAGE, MASK, EPS[4]).z0 for place in (folder, sdxl))
    assert free.abs().max() > 1
    assert torch.equal(free.clamp(-1, 1), clamped)

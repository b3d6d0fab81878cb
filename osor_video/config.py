"""Every setting of a run: frozen, typed, one class per stage, a sentence under each field.

Defaults live here; the presets (``configs/*.yaml``, inside a wheel ``presets/*.yaml``) and user files hold
only what differs. Unknown keys are rejected.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from osor_video.errors import ConfigError

PRESETS = ("fast", "balanced", "best")


def _word(value: Any) -> Any:
    """The words on and off again, which YAML reads as yes and no."""
    return ("off", "on")[value] if isinstance(value, bool) else value


Switch = Annotated[Literal["auto", "on", "off"], BeforeValidator(_word)]


class _Stage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DecodeConfig(_Stage):
    """Reading frames."""

    decoder: Literal["auto", "decord", "pyav"] = "auto"
    """Who decodes the frames that are analysed; auto takes decord where the material is plain, else PyAV."""
    deinterlace: bool = False
    """Make whole pictures of an interlaced source's fields (FFmpeg's bwdif), one a frame."""
    rate: str = Field(default="24", pattern=r"^\d+(\.\d+|/[1-9]\d*)?$")
    """Frames a second of an image sequence, which states none: 24, 23.976 or 24000/1001."""


class FlowConfig(_Stage):
    """Optical flow between neighbouring frames."""

    backend: Literal["raft", "dis"] = "raft"
    """RAFT-small, polished by OpenCV's DIS; or DIS alone."""
    weights: Path | None = None
    """Another state dict of torchvision's raft_small (.safetensors or .pth) in place of the package's."""
    height_px: int = Field(default=136, ge=128, le=1080)
    """Height at which RAFT works for 16:9, others get the same area; its cost grows with the square of the area."""
    fine_px: int = Field(default=256, ge=128, le=2160)
    """Height, likewise, at which DIS takes RAFT's flow to single pixels, or finds it alone; its cost grows with the area."""
    updates: int = Field(default=2, ge=1, le=32)
    """Recurrent updates of RAFT a pair."""


class MaskConfig(_Stage):
    """Carrying the mask of the first frame through the clip."""

    tracker: Literal["auto", "propagate", "refined", "sam2"] = "auto"
    """Who follows the object: matched features, flow and GrabCut ("propagate"); matched features and flow read by a trained
    network, which finds a lost object again ("refined"); the first until its masks are to be doubted, the second from there on
    ("auto"); or SAM2 (extra sam, its weights given or fetched)."""
    seed: Literal["auto", "grabcut", "sam2"] = "auto"
    """Who draws the object's outline within a box; auto takes SAM2 where it is the tracker, else GrabCut."""
    sam2_model: str = "facebook/sam2.1-hiera-small"
    """SAM2's video weights: a folder, or a name on the hub, read from its cache where they are there."""
    object_cells: float = Field(default=10, ge=4, le=64)
    """Side, in feature cells, that the object of the first frame gets (square root of its area); cost grows
    with its square."""
    first_reach_cells: int = Field(default=14, ge=1)
    """How far from its place in the first frame a part of the object is looked for."""
    recent_reach_cells: int = Field(default=8, ge=1)
    """How far from its place in a recent frame a part of the object is looked for."""
    recent_frames: int = Field(default=4, ge=1)
    """Frames that are remembered beside the first: the last ones, for the tracker "propagate" half of them eight frames apart."""
    trusted_frames: int = Field(default=3, ge=0)
    """Later frames that the tracker "refined" was sure of and remembers for longer, five frames apart."""
    redraw: bool = True
    """Whether the tracker "refined" has GrabCut draw the object's edge where it is in doubt, before a frame is remembered."""
    adapt_steps: int = Field(default=40, ge=0, le=1000)
    """Steps that the tracker "refined" learns from the marked frames before it follows; about 10 s on two cores."""
    motion_weight: float = Field(default=1.5, ge=0, le=10)
    """Say of what moves as the object does, for the tracker "refined"; 0: none."""
    colour_weight: float = Field(default=1.5, ge=0, le=10)
    """Say of colours that only the ground has against the object, for the tracker "refined"; 0: none."""
    keep_size: bool = False
    """Whether the tracker "refined" refuses what makes the object larger at once: for things of one size, such as people who
    pass others; what comes out from behind a tree in pieces is lost by it."""
    flow_weight: float = Field(default=0.15, ge=0)
    """Say of the flow-carried mask beside the remembered looks, where the flow is trusted."""
    grow: float = Field(default=0.016, ge=0, le=0.2)
    """Widening of the hole beyond the mask, as a share of the frame's height."""
    rim: float = Field(default=0.008, ge=0, le=0.2)
    """Outer part of that widening where nothing is generated, as a share of the frame's height: background is borrowed there, or
    the frame stays as it is, and what is generated inside goes on with it."""
    smooth: float = Field(default=0, ge=0, le=0.1)
    """Smoothing of the hole's rim before it is widened, as a share of the frame's height."""
    window_frames: int = Field(default=0, ge=0, le=8)
    """Frames back and ahead in the shot whose masks join a frame's hole; more steadies a mask that flickers."""

    @property
    def core_grow(self) -> float:
        """Widening of what is generated, beyond the mask."""
        return self.grow - self.rim


class BackgroundConfig(_Stage):
    """Borrowing the hidden background from other frames."""

    reach_frames: int = Field(default=48, ge=1)
    """How many frames back and ahead may be borrowed from; memory grows with it."""
    step_frames: int = Field(default=3, ge=1)
    """Every how many frames one is kept to borrow from."""
    samples: int = Field(default=6, ge=1)
    """Samples wanted for each hidden pixel before no further frame is asked."""
    max_frames: int = Field(default=6, ge=1)
    """Frames asked at most for one frame; cost grows with it."""
    first_frames: int = Field(default=4, ge=1)
    """Frames asked for the first guess, which then guides the rest."""
    plate: Path | None = None
    """Your own clean plate: a picture of the place without the object, or a clip with a frame for every frame."""
    margin: float = Field(default=0.35, ge=0, le=2)
    """Surroundings of the hole that are recovered with it, as a share of its longer side; effects are found
    there."""


class EffectsConfig(_Stage):
    """Finding the object's shadow and reflection."""

    find: Annotated[Literal["off", "auto", "strong"], BeforeValidator(_word)] = "auto"
    """off: only what is masked goes; strong: fainter effects and some farther away go too, at the price of false ones."""
    threshold: float = Field(default=0.12, gt=0)
    """Change of log luminance against the plate from which a pixel counts as shaded or mirrored."""
    hue: float = Field(default=0.16, gt=0)
    """Change of normalised colour beyond which it is another thing, not an effect, and stays."""
    brighter: float = Field(default=0.9, gt=0)
    """Brightening in the logarithm beyond which likewise."""
    darker: float = Field(default=1.7, gt=0)
    """Darkening in the logarithm beyond which likewise: deep shadows reach about 1.3, black clothes on asphalt 2.2."""


class RemovalConfig(_Stage):
    """The one-step diffusion model."""

    model: str | Path | None = None
    """bundled, osor-sdxl, osor-flux, or a folder (removal/folder.py); not given: osor-sdxl where CUDA and its weights
    are there, else the bundled compact model."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where it runs; auto takes CUDA, then MPS, then the processor (the compact model: the processor)."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of SDXL and FLUX; auto: bfloat16 on CUDA, float16 on other GPUs, float32 on a processor."""
    merge: bool = True
    """Add the adapter to the base's weights once; else it stays beside them (needs peft), slower."""
    compile: bool = False
    """torch.compile the network; minutes at the first frame."""
    offload: Switch = "auto"
    """Whether the network stays in the computer's memory and its layers come to the GPU one after the other, which is slow;
    auto: where it does not fit into the GPU's free memory."""
    vae_tiling: Switch = "auto"
    """Whether the autoencoder works in tiles; auto where the GPU's free memory is short."""
    tiny_vae: str | Path | None = None
    """A tiny autoencoder that decodes in its place, for previews: a folder, or a hub name that is in the cache."""
    base: str | None = None
    """The base of a published adapter that lies elsewhere: a folder, or a hub name that is in the cache."""
    published_raster_px: int | None = Field(default=None, ge=64, le=2048)
    """``raster_px`` of SDXL and FLUX, 1024 at most for FLUX; not given: 512 for SDXL and 1024 for FLUX, as published."""
    raster_px: int = Field(default=256, ge=64, le=2048)
    """Longer side of the crop as the compact model sees it; larger crops are shrunk by a whole factor."""
    context: float = Field(default=0.5, ge=0, le=4)
    """Surroundings shown to the model, as a share of the hole's longer side: half of it on each side."""
    wide_context: float = Field(default=1.5, ge=0, le=4)
    """The same for the compact model where the hole stays in its place, so that only the model can find shadow and reflection."""
    batch: int | None = Field(default=None, ge=1)
    """Frames the network sees together; not given: for SDXL 4, on a GPU 8, 4, 2 or 1 by its free memory; for others 1."""
    latent_warp: float = Field(default=0.8, ge=0, le=1)
    """Share of the carried latent in the fill; the carried picture is shown where there is one. 0 makes every frame anew."""
    noise: Literal["shot", "frame"] = "shot"
    """shot: the same noise tile in every frame, which steadies what is generated; frame: a fresh one each time."""
    anchor_frames: int = Field(default=7, ge=1)
    """Frames after which the carried latent and picture start anew from the latest ones."""
    gather: bool = True
    """Whether with ``fill: diffusion`` what is carried begins with what other frames of the shot show of the hole."""


class CompositeConfig(_Stage):
    """Joining fill and frame."""

    feather: float = Field(default=0.008, ge=0, le=0.1)
    """Softness of the hole's edge, as a share of the frame's height."""
    trust: float = Field(default=0.5, gt=0, le=1)
    """Plate confidence from which its real pixels are preferred to generated ones."""
    grain: float = Field(default=1, ge=0, le=2)
    """Share of the surroundings' measured grain that the fill gets where it lacks it; 0 leaves it clean."""
    dither: float = Field(default=1, ge=0, le=4)
    """Noise in the fill of sources deeper than 8 bit, in steps of 8 bit, which is what is seen of them; 0 leaves bands."""


class EncodeConfig(_Stage):
    """Writing the result."""

    codec: Literal["auto", "h264", "h265", "av1", "prores", "prores-4444", "dnxhr", "ffv1"] = "auto"
    """auto: the source's own where the container and the encoder hold it, else H.264 or H.265."""
    quality: int | None = Field(default=None, ge=0, le=100)
    """0 to 100 on every codec's own scale; not given: as good as the source (video/match.py)."""
    crf: int | None = Field(default=None, ge=0, le=63)
    """Constant rate factor of x264, x265 and SVT-AV1; lower is better and larger; goes before quality."""
    encoder_preset: str = "medium"
    """Speed, by x264's names."""
    lossless: bool = False
    """FFV1 (needs .mkv): the file decodes to exactly the composited pixels; the same as codec ffv1."""
    check: bool = False
    """Decode what was written and measure how far it differs from the source where nothing was replaced."""
    drop_streams: bool = False
    """Leave behind the streams that the output's container cannot hold, instead of refusing."""


class Config(_Stage):
    """All settings of a removal."""

    decode: DecodeConfig = DecodeConfig()
    flow: FlowConfig = FlowConfig()
    mask: MaskConfig = MaskConfig()
    background: BackgroundConfig = BackgroundConfig()
    effects: EffectsConfig = EffectsConfig()
    removal: RemovalConfig = RemovalConfig()
    composite: CompositeConfig = CompositeConfig()
    encode: EncodeConfig = EncodeConfig()
    fill: Literal["auto", "diffusion", "plate"] = "auto"
    """auto: real pixels of the shot where it has them, generated ones elsewhere; diffusion: generated ones only, but for what
    ``removal.latent_warp`` carries along the shot and ``removal.gather`` begins it with; plate: real ones only, the rest
    interpolated."""
    window_frames: int = Field(default=16, ge=1)
    """Frames in work at a time; changes memory, never the result."""
    checkpoint_s: float = Field(default=10, ge=0)
    """Seconds after which what is finished is written down, so that a run that is cut off goes on from there."""
    seed: int = Field(default=0, ge=0)
    """Seed of the noise tile; the same seed gives the same bytes."""

    @classmethod
    def load(
        cls, preset: str = "balanced", file: Path | None = None, overrides: Mapping[str, Any] | None = None
    ) -> Self:
        """The defaults, then ``preset``, then the YAML ``file``, then ``overrides`` by dotted key.

        Raises ConfigError for a preset or file that does not exist, and for a key or value that does not fit.
        """
        values = preset_values(preset)
        if file is not None:
            values = _merged(values, _read_yaml(file))
        for key, value in (overrides or {}).items():
            values = _merged(values, _nested(key, value))
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(_sentence(error)) from error


def preset_values(preset: str) -> dict[str, Any]:
    """What ``preset`` sets otherwise than the defaults; ConfigError for an unknown one."""
    if preset not in PRESETS:
        raise ConfigError(f"The preset is {preset!r}, expected one of: {', '.join(PRESETS)}.")
    return _read_yaml(preset_folder() / f"{preset}.yaml")


def preset_folder() -> Path:
    """Where the presets lie: inside an installed package, or in ``configs/`` of a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "presets"
    return inside if inside.is_dir() else package.parent / "configs"


def parse_override(text: str) -> tuple[str, Any]:
    """``"flow.height_px=200"`` -> the dotted key and its value, read as YAML; else ConfigError."""
    key, equals, value = text.partition("=")
    if not key.strip() or not equals:
        raise ConfigError(f"--set got {text!r}, expected key=value, for example flow.height_px=200.")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"--set {key.strip()} got {value!r}, which is not a value that YAML can read."
        ) from error


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"The configuration file {path} does not exist. Give a YAML file of settings.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"The configuration file {path} cannot be read as YAML: {reason}") from error
    if not isinstance(values or {}, dict):
        raise ConfigError(f"The configuration file {path} holds no settings. Expected lines such as seed: 1.")
    return values or {}


def _nested(key: str, value: Any) -> dict[str, Any]:
    """("flow.height_px", 200) -> {"flow": {"height_px": 200}}."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes`` laid over it, section by section."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def _sentence(error: ValidationError) -> str:
    """The first complaint: the key with its dots, the value and what is expected."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        section, known = _known_keys(tuple(str(part) for part in first["loc"][:-1]))
        return f"Unknown setting {key} (value {first['input']!r}). {section} has: {', '.join(known)}."
    reason = first["msg"].removeprefix("Input should be ").replace("Input", "the value")
    return f"{key} is {first['input']!r}, expected {reason}."


def _known_keys(sections: tuple[str, ...]) -> tuple[str, list[str]]:
    kind: Any = Config
    for name in sections:
        kind = kind.model_fields[name].annotation
    return ".".join(sections) or "The configuration", sorted(kind.model_fields)

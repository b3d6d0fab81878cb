"""Settings of the training runs, read from ``configs/train/*.yaml``; folders come from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from osor_video.errors import ConfigError
from osor_video.removal.record import Architecture, FirstGuess, PredictionType
from osor_video.training.bad_masks import BAD_MASKS, SHARES

T = TypeVar("T", bound=BaseModel)
Kind = Literal["autoencoder", "alpha", "remover", "sdxl_lora", "flow", "refiner"]
KINDS: tuple[Kind, ...] = ("autoencoder", "alpha", "remover", "sdxl_lora", "flow", "refiner")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LoopConfig(_Section):
    """What every optimisation shares."""

    steps: int = Field(default=2000, ge=1)
    """Length of the learning-rate schedule; training ends here."""
    minutes: float = Field(default=600.0, gt=0)
    """Wall time of one call; when it is over a checkpoint is saved and the call ends."""
    batch: int = Field(default=4, ge=1)
    """Samples a step."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak of the schedule: linear warm-up, then a cosine down to a twentieth."""
    warmup_steps: int = Field(default=100, ge=0)
    """Steps of the linear warm-up."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the averaged weights, which are the ones exported."""
    checkpoint_steps: int = Field(default=200, ge=1)
    """Steps between checkpoints."""
    seed: int = Field(default=0, ge=0)
    """Seed of the first weights and, together with the step number, of every sample."""
    threads: int = Field(default=1, ge=1)
    """CPU threads of the tensor library."""
    device: str = "cpu"
    """Where the networks are trained, as torch names it."""
    precision: Literal["no", "bf16"] = "no"
    """Arithmetic of the forward pass: full, or bfloat16 where torch holds it safe; weights stay in float32."""
    gradient_checkpointing: bool = False
    """Work out inner values again on the way back instead of keeping them: half the memory, a third more time."""


class AutoencoderConfig(_Section):
    """Training of the autoencoder."""

    kind: Literal["autoencoder"] = "autoencoder"
    """What is trained; ``osor-video train`` goes by it."""
    architecture: Architecture = Architecture()
    loop: LoopConfig = LoopConfig()
    crop_px: int = Field(default=128, ge=32, multiple_of=8)
    """Side of the square crops."""
    widest_crop_px: int = Field(default=384, ge=32)
    """Largest region of a photograph that is shrunk into one crop."""
    gradient_weight: float = Field(default=1.0, ge=0)
    """Weight of the loss on picture gradients."""
    train_encoder: bool = False
    """Train the encoder too; otherwise it stays the linear map on principal components it starts as, so that
    latents may be made before the decoder is ready."""
    patches: int = Field(default=60000, ge=256)
    """8x8 patches from which the principal components are taken."""


class SequenceConfig(_Section):
    """Sequences made on the fly from photographs and cut-outs."""

    frames: int = Field(default=2, ge=2)
    """Length."""
    height_px: int = Field(default=144, ge=32)
    """Height of the frames."""
    width_px: int = Field(default=192, ge=32)
    """Width of the frames."""
    speed_px: float = Field(default=16.0, ge=0)
    """Fastest shift of the camera, and of an object beside it, a frame; most are much slower."""
    objects: int = Field(default=3, ge=0)
    """Most objects in one sequence; at least one where this is not 0."""
    blur_share: float = Field(default=0.25, ge=0, le=1)
    """How often the shutter stays open long enough to blur what moves."""
    jitter: float = Field(default=0.04, ge=0)
    """Standard deviation of log exposure and log gamma from frame to frame."""
    grain: float = Field(default=0.02, ge=0)
    """Largest standard deviation of the grain, of a picture in [0, 1]."""


class PairsConfig(_Section):
    """What every training on pairs made on the fly shares."""

    loop: LoopConfig = LoopConfig()
    crop_px: int = Field(default=192, ge=64, multiple_of=64)
    """Side of the square crops."""
    widest_crop_px: int = Field(default=448, ge=64)
    """Largest region of a photograph that is shrunk into one crop."""
    crops_px: tuple[Annotated[int, Field(ge=64, multiple_of=64)], ...] = ()
    """Sides among which each step chooses in place of ``crop_px``. Its batch has about as many pixels as one of ``crop_px``, and
    its photographs' regions grow or shrink with the side."""
    highest_foot: float = Field(default=0.5, ge=0, lt=1)
    """Least height of the picture, from above, at which an object stands, as a share of its side."""
    bad_mask_share: float = Field(default=0.5, ge=0, le=1)
    """How often a batch has incomplete masks (one kind a batch)."""
    bad_masks: dict[str, Annotated[float, Field(ge=0)]] = SHARES
    """How often each kind of incomplete mask is drawn; the sum is 1."""
    repainted_share: float = Field(default=0.0, ge=0, le=1)
    """How often a part of the object gets other colours: what belongs to it is then to be told by its shape."""
    printed_share: float = Field(default=0.0, ge=0, le=1)
    """How many of those parts are printed with a piece of a photograph, as clothes are."""
    freer_share: float = Field(default=0.0, ge=0, le=1)
    """How often an object's effects follow less closely from what is seen of it: it is above the ground, has another's outline as
    shadow, or the camera is near the ground."""
    crisp_share: float = Field(default=0.0, ge=0, le=1)
    """How often a pair has the hard, dark shadows of a clear day, and the outlines of a camera that sharpens."""
    plates_share: float = Field(default=0.5, ge=0, le=1)
    """How often a pair comes from the plates, where a folder of them is given (``--plates``)."""
    bce_weight: float = Field(default=1.0, ge=0)
    """Weight of alpha's cross entropy."""
    effect_emphasis: float = Field(default=3.0, ge=1)
    """How much more a cell of an effect outside the user's mask counts in that cross entropy."""
    dice_weight: float = Field(default=2.0, ge=0)
    """Weight of alpha's Dice loss."""
    workers: int = Field(default=1, ge=0)
    """Processes that make pairs; 0 makes them in the training process."""

    @field_validator("bad_masks")
    @classmethod
    def _known_kinds(cls, shares: dict[str, float]) -> dict[str, float]:
        if not shares or shares.keys() - set(BAD_MASKS) or abs(sum(shares.values()) - 1) > 1e-6:
            raise ValueError(f"expected shares of {', '.join(BAD_MASKS)} whose sum is 1; got {shares}")
        return shares


class RemovalTrainingConfig(PairsConfig):
    """What the trainings of one-step removers share, whatever network it is."""

    timestep: int = Field(default=400, ge=0, lt=1000)
    """The one timestep."""
    prediction_type: PredictionType = "epsilon"
    """What the first C output channels are."""
    first_guess: FirstGuess = "interpolated"
    """What stands in the hole of the picture that a residual is added to: its surroundings interpolated, or patches of them."""
    phase: Literal[1, 2] = 2
    """1: the mask decides where z0 counts, and alpha is not trained; 2: alpha decides, and is."""
    fill_weight: float = Field(default=4.0, ge=0)
    """Weight of the L1 between z0 and the clean latent."""
    outside_weight: float = Field(default=0.1, ge=0)
    """Weight of a cell outside object and effects in that L1; inside it is 1."""
    pixel_weight: float = Field(default=0.0, ge=0)
    """Weight of the L1 between the decoded fill and the decoded clean picture."""
    perceptual_weight: float = Field(default=0.0, ge=0)
    """Weight of the feature distance between the decoded fill and the decoded clean picture."""
    adversarial_weight: float = Field(default=0.0, ge=0)
    """Weight of the loss of being told from an untouched picture; above 0 a discriminator is trained too."""
    r1_weight: float = Field(default=0.0, ge=0)
    """Weight of the discriminator's slope penalty."""
    discriminator_rate: float = Field(default=2e-4, gt=0)
    """Peak learning rate of the discriminator, on the schedule of the loop."""
    backbone: str = "efficientnet-lite0"
    """Feature network of these losses: the packaged one, or a name of timm's with ``backbone_weights``."""
    backbone_weights: Path | None = None
    """File of the weights of timm's network."""

    @property
    def judges_pictures(self) -> bool:
        """Whether any loss looks at decoded pictures; otherwise all of them look at latents."""
        return max(self.pixel_weight, self.perceptual_weight, self.adversarial_weight) > 0

    @model_validator(mode="after")
    def _penalty_has_its_discriminator(self) -> Self:
        if self.r1_weight > 0 and self.adversarial_weight == 0:
            raise ValueError(
                "r1_weight is the discriminator's; set adversarial_weight above 0 or leave it out."
            )
        return self


class AlphaConfig(PairsConfig):
    """Training of the head that finds object and effects (``removal/alpha.py``)."""

    kind: Literal["alpha"] = "alpha"
    """What is trained; ``osor-video train`` goes by it."""
    architecture: Architecture = Architecture()


class RemoverConfig(RemovalTrainingConfig):
    """Training of the compact model's one-step UNet from scratch."""

    kind: Literal["remover"] = "remover"
    """What is trained; ``osor-video train`` goes by it."""
    architecture: Architecture = Architecture()
    timestep: int = Field(default=100, ge=0, lt=1000)
    """The one timestep. OSOR's 400 hides the frame from a network that knows how pictures look; a small one trained
    from scratch needs what noise leaves (sqrt(abar) is .95 at 100)."""
    prediction_type: PredictionType = "residual"
    """What the first C output channels are. A small network fills much sooner when it says what to add to the
    surroundings' interpolation: otherwise it must first learn to cancel noise and to carry colours into the hole."""


class SdxlLoraConfig(RemovalTrainingConfig):
    """Fine-tuning of SDXL-inpainting: low-rank adapters beside its layers, its output layer in full."""

    kind: Literal["sdxl_lora"] = "sdxl_lora"
    """What is trained; ``osor-video train`` goes by it."""
    crop_px: int = Field(default=512, ge=64, multiple_of=64)
    """Side of the square crops."""
    widest_crop_px: int = Field(default=1024, ge=64)
    """Largest region of a photograph that is shrunk into one crop."""
    rank: int = Field(default=256, ge=1)
    """Rank of the adapters, and their alpha: 778 million parameters at 256."""


class FlowTrainingConfig(_Section):
    """Training of RAFT-small on sequences made on the fly."""

    kind: Literal["flow"] = "flow"
    """What is trained; ``osor-video train`` goes by it."""
    loop: LoopConfig = LoopConfig()
    sequence: SequenceConfig = SequenceConfig()
    """What it learns from, at the size that flow is estimated at; sides in multiples of 8, at least 128."""
    updates: int = Field(default=4, ge=1, le=32)
    """Recurrent updates of a pair; at least as many as a run will take."""
    gamma: float = Field(default=0.8, gt=0, le=1)
    """Weight of an update's error, relative to that of the next update."""
    limit_px: float = Field(default=64.0, gt=0)
    """Pixels that move farther do not count."""
    first_speed_px: float = Field(default=4.0, ge=0)
    """Fastest shift at the first step; it grows to the sequences' ``speed_px``."""
    growing_steps: int = Field(default=0, ge=0)
    """Steps until the sequences have their full speed."""
    workers: int = Field(default=1, ge=0)
    """Processes that make sequences; 0 makes them in the training process."""

    @model_validator(mode="after")
    def _frames_suit_the_network(self) -> Self:
        sides = self.sequence.height_px, self.sequence.width_px
        if any(side < 128 or side % 8 for side in sides):
            raise ValueError(f"RAFT takes frames with sides of 128, 136, 144 ... pixels, not {sides}.")
        return self


class RefinerConfig(_Section):
    """Training of the tracker's refiner (``masks/refiner.py``) on tracks made on the fly."""

    kind: Literal["refiner"] = "refiner"
    """What is trained; ``osor-video train`` goes by it."""
    loop: LoopConfig = LoopConfig()
    crop_px: int = Field(default=256, ge=128, multiple_of=32)
    """Side of the square looks."""
    spoilt_share: float = Field(default=0.25, ge=0, le=1)
    """How often the look a moment ago is remembered with a spoilt mask, as after an error."""
    workers: int = Field(default=1, ge=0)
    """Processes that make tracks; 0 makes them in the training process."""


def read_kind(path: Path) -> Kind:
    """What a configuration trains; ConfigError where the file cannot be read or does not say."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"Cannot read the training configuration {path}: {error}") from error
    kind = str(values.get("kind")) if isinstance(values, dict) else "nothing"
    for known in KINDS:
        if kind == known:
            return known
    raise ConfigError(f"{path} says kind: {kind}, expected kind: {' or kind: '.join(KINDS)}.")


def load_config(path: Path, kind: type[T]) -> T:
    """Read a YAML file of differences from the defaults; ConfigError names the file and the wrong key."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return kind.model_validate(values)
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"Cannot use the training configuration {path}: {error}") from error

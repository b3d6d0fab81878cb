"""Training of RAFT-small on sequences made on the fly (Teed and Deng, ECCV 2020), the way that a run uses it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from osor_video.flow.estimate import encode_frames, enlarge_flow, match_frames
from osor_video.report import Progress, silent
from osor_video.tensors import FloatMap
from osor_video.training.batches import stream_batches
from osor_video.training.config import FlowTrainingConfig, SequenceConfig
from osor_video.training.cutouts import Cutout, load_cutouts
from osor_video.training.loop import TrainingRun
from osor_video.training.photos import list_photos, split_photos
from osor_video.training.sequences import make_sequence

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""First and second frames [B, 3, H, W] in [0, 1]; flow from the first to the second and back [B, 2, H, W]."""


class FlowBatches(Dataset[Batch]):
    """The batch of each step: a function of the seed and the step number alone."""

    def __init__(
        self, photos: list[Path], cutouts: list[Cutout], config: FlowTrainingConfig, steps: range
    ) -> None:
        self.photos, self.cutouts, self.config, self.steps = photos, cutouts, config, steps

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> Batch:
        """All neighbouring frames of ``batch`` sequences: B = batch (frames - 1)."""
        step = self.steps[index]
        look = sequence_at(self.config, step)
        random = np.random.default_rng([self.config.loop.seed, step])
        made = [make_sequence(self.photos, self.cutouts, look, random) for _ in range(self.config.loop.batch)]
        return (
            frames_to_batch([sequence.shots[:-1] for sequence in made]),
            frames_to_batch([sequence.shots[1:] for sequence in made]),
            flows_to_batch([sequence.flow_fw for sequence in made]),
            flows_to_batch([sequence.flow_bw for sequence in made]),
        )


def frames_to_batch(frames: list[npt.NDArray[np.uint8]]) -> Tensor:
    """uint8 [T, H, W, 3] each -> float32 [B, 3, H, W] in [0, 1], B their sum."""
    return torch.from_numpy(np.concatenate(frames)).permute(0, 3, 1, 2).contiguous().float() / 255.0


def flows_to_batch(flows: list[FloatMap]) -> Tensor:
    """[T, H, W, 2] each -> [B, 2, H, W], B their sum."""
    return torch.from_numpy(np.concatenate(flows)).permute(0, 3, 1, 2).contiguous()


def sequence_at(config: FlowTrainingConfig, step: int) -> SequenceConfig:
    """The sequences of a step: slow ones first, then up to full speed."""
    if step >= config.growing_steps:
        return config.sequence
    grown = config.sequence.speed_px - config.first_speed_px
    speed_px = config.first_speed_px + grown * step / config.growing_steps
    return config.sequence.model_copy(update={"speed_px": speed_px})


def sequence_loss(estimates: list[Tensor], truth: Tensor, gamma: float, limit_px: float) -> Tensor:
    """``sum_i gamma^(N - i) mean |truth - estimate_i|_1`` (Teed and Deng 2020, eq. 7), all [B, 2, H, W].

    The mean is over the pixels that move by less than ``limit_px``; with none of them the loss is 0.
    """
    counted = (truth.square().sum(1) < limit_px**2).to(truth.dtype)
    total = counted.sum().clamp(min=1)
    last = len(estimates) - 1
    errors = [((estimate - truth).abs().sum(1) * counted).sum() / total for estimate in estimates]
    return torch.stack([gamma ** (last - i) * error for i, error in enumerate(errors)]).sum()


def end_point_error(estimate: Tensor, truth: Tensor) -> Tensor:
    """Length [B, H, W] of what is between two flows [B, 2, H, W], in pixels."""
    return (estimate - truth).square().sum(1).sqrt()


def flow_loss(net: nn.Module, batch: Batch, config: FlowTrainingConfig) -> tuple[Tensor, dict[str, float]]:
    """The sequence loss of both directions, and the mean end-point error of the last update."""
    first, second, forward, backward = batch
    a, b = encode_frames(net, first), encode_frames(net, second)
    estimates = [enlarge_flow(cells) for cells in match_frames(net, a, b, config.updates)]
    truth = torch.cat([forward, backward])
    loss = sequence_loss(estimates, truth, config.gamma, config.limit_px)
    with torch.no_grad():
        error = end_point_error(estimates[-1], truth)
    return loss, {"epe_px": float(error.mean()), "speed_px": float(truth.square().sum(1).sqrt().mean())}


def first_network(config: FlowTrainingConfig) -> nn.Module:
    """torchvision's RAFT-small with fresh weights."""
    from torchvision.models.optical_flow import raft_small  # noqa: PLC0415  (takes seconds to import)

    torch.manual_seed(config.loop.seed)
    network: nn.Module = raft_small()
    return network.to(config.loop.device, memory_format=torch.channels_last)


def train_flow(
    config: FlowTrainingConfig,
    photos_folder: Path,
    cutouts_folder: Path,
    out: Path,
    progress: Progress = silent,
) -> nn.Module:
    """Train (or go on training) in ``out``; returns the averaged network."""
    torch.set_num_threads(config.loop.threads)
    photos, _ = split_photos(list_photos(photos_folder))
    cutouts, _ = load_cutouts(cutouts_folder)
    run = TrainingRun(first_network(config), config.loop, out)
    run.resume()
    steps = range(run.step, config.loop.steps)
    batches: Iterator[Batch] = stream_batches(FlowBatches(photos, cutouts, config, steps), config.workers)

    def step_loss(module: nn.Module, _: int) -> tuple[Tensor, dict[str, float]]:
        first, second, forward, backward = (part.to(config.loop.device) for part in next(batches))
        return flow_loss(module, (first, second, forward, backward), config)

    run.run(step_loss, progress)
    return run.averaged

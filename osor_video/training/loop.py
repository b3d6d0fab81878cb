"""One optimisation loop for all trainers: schedule, averaged weights, log, checkpoint and exact resume.

A sample depends on the seed and the step number only, so a resumed run takes the same steps as an
uninterrupted one.
"""

from __future__ import annotations

import copy
import csv
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from osor_video.errors import ConfigError
from osor_video.report import Progress, silent
from osor_video.training.config import LoopConfig

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
LOG = "log.csv"
LOG_EVERY_STEPS = 20
FINAL_RATE = 0.05
BETAS = (0.9, 0.99)
DISCRIMINATOR_BETAS = (0.0, 0.99)
"""No momentum: what it has to tell apart moves with every step (StyleGAN2's choice)."""

StepLoss = Callable[[nn.Module, int], tuple[Tensor, dict[str, float]]]
"""(module, step) -> (loss to descend, figures to log); a discriminator's own loss is a summand of it."""


def rate_factor(step: int, loop: LoopConfig) -> float:
    """Linear warm-up to 1, then a cosine down to ``FINAL_RATE`` at the last step."""
    if step < loop.warmup_steps:
        return (step + 1) / loop.warmup_steps
    progress = (step - loop.warmup_steps) / max(1, loop.steps - loop.warmup_steps)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def read_averaged(folder: Path) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The averaged weights of a run by name, and the steps and hours they took; ConfigError where there is none."""
    path = folder / CHECKPOINT
    if not path.exists():
        raise ConfigError(
            f"{folder} holds no training run (no {CHECKPOINT}); train first, or give another folder."
        )
    state = torch.load(path, map_location="cpu", weights_only=True)
    facts = {"steps": int(state["step"]), "hours": round(float(state["seconds"]) / 3600, 2)}
    return state["averaged"], facts


def load_averaged(network: nn.Module, folder: Path) -> dict[str, float]:
    """Fill ``network`` with the averaged weights of a run; returns the steps and hours they took."""
    weights, facts = read_averaged(folder)
    network.load_state_dict(weights)
    return facts


@dataclass(frozen=True)
class Trained:
    """A module with its optimiser and its peak learning rate."""

    module: nn.Module
    optimiser: torch.optim.Optimizer
    rate: float

    @classmethod
    def start(cls, module: nn.Module, rate: float, betas: tuple[float, float]) -> Self:
        """AdamW over the parameters that take a gradient."""
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        return cls(module, torch.optim.AdamW(trained, lr=rate, betas=betas, weight_decay=1e-4), rate)

    def descend(self, factor: float) -> None:
        """One step along the gradients, clipped to length 1, at ``factor`` times the peak rate."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * factor
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimiser.step()

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to hold."""
        return {"module": self.module.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from ``state()`` of a checkpoint."""
        self.module.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])


class TrainingRun:
    """A module under optimisation, and perhaps its discriminator, with everything that a checkpoint has to hold."""

    def __init__(
        self,
        module: nn.Module,
        loop: LoopConfig,
        folder: Path,
        *,
        discriminator: nn.Module | None = None,
        discriminator_rate: float = 0.0,
    ) -> None:
        self.module, self.loop, self.folder = module, loop, folder
        if loop.gradient_checkpointing:
            _save_memory(module)
        self._accelerator = _accelerator(loop)
        self.averaged = copy.deepcopy(module).requires_grad_(False)
        self._main = Trained.start(module, loop.learning_rate, BETAS)
        self._discriminator: Trained | None = None
        if discriminator is not None:
            self._discriminator = Trained.start(discriminator, discriminator_rate, DISCRIMINATOR_BETAS)
        self.step = 0
        self.seconds = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def resume(self) -> None:
        """Continue from the folder's checkpoint, if there is one."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        self._main.load(state)
        self.averaged.load_state_dict(state["averaged"])
        # A run may get its discriminator late: a checkpoint from before holds none, and a fresh one starts.
        if self._discriminator is not None and "discriminator" in state:
            self._discriminator.load(state["discriminator"])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self._forget_rows_after(self.step)
        log.info("resumed %s at step %d", self.folder, self.step)

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
        state = {
            **self._main.state(),
            "averaged": self.averaged.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        if self._discriminator is not None:
            state["discriminator"] = self._discriminator.state()
        part = self.folder / (CHECKPOINT + ".part")
        torch.save(state, part)
        part.replace(self.folder / CHECKPOINT)

    def run(
        self,
        step_loss: StepLoss,
        progress: Progress = silent,
        on_checkpoint: Callable[[int], None] | None = None,
    ) -> None:
        """Take steps until the schedule or the wall time is over; always ends with a checkpoint.

        ``on_checkpoint`` is told the step of each.
        """
        start, seconds_before = time.monotonic(), self.seconds
        while self.step < self.loop.steps and self.seconds - seconds_before < 60 * self.loop.minutes:
            figures = self._take_step(step_loss)
            progress("train", self.step, self.loop.steps)
            self.seconds = seconds_before + time.monotonic() - start
            if self.step % LOG_EVERY_STEPS == 0 or self.step == self.loop.steps:
                self._write_row(figures)
            if self.step % self.loop.checkpoint_steps == 0:
                self._checkpoint(on_checkpoint)
        self._checkpoint(on_checkpoint)

    def _checkpoint(self, told: Callable[[int], None] | None) -> None:
        self.save()
        if told is not None:
            told(self.step)

    def _take_step(self, step_loss: StepLoss) -> dict[str, float]:
        with self._accelerator.autocast():
            loss, figures = step_loss(self.module, self.step)
        sides = [side for side in (self._main, self._discriminator) if side is not None]
        for side in sides:
            side.optimiser.zero_grad(set_to_none=True)
        self._accelerator.backward(loss)
        for side in sides:
            side.descend(rate_factor(self.step, self.loop))
        self.step += 1
        self._average()
        return {"loss": float(loss.detach()), **figures}

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.loop.ema_decay, (1 + self.step) / (10 + self.step))
        averaged, current = list(self.averaged.parameters()), list(self.module.parameters())
        torch._foreach_lerp_(averaged, current, 1 - decay)

    def _write_row(self, figures: dict[str, float]) -> None:
        row = {
            "step": self.step,
            "seconds": round(self.seconds, 1),
            **{k: round(v, 5) for k, v in figures.items()},
        }
        path = self.folder / LOG
        columns = _open_log(path, list(row))
        with path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, columns).writerow(row)
        log.info("%s", row)

    def _forget_rows_after(self, step: int) -> None:
        path = self.folder / LOG
        if not path.exists():
            return
        header, *rows = path.read_text(encoding="utf-8").splitlines()
        kept = [row for row in rows if int(row.split(",", 1)[0]) <= step]
        path.write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")


def _save_memory(module: nn.Module) -> None:
    if not hasattr(module, "enable_gradient_checkpointing"):
        raise ConfigError(
            f"gradient_checkpointing is true, but {type(module).__name__} does not know how; leave it out."
        )
    module.enable_gradient_checkpointing()


def _accelerator(loop: LoopConfig) -> Accelerator:
    # Accelerate keeps one state a process and refuses another precision; here every run brings its own.
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(mixed_precision=loop.precision, cpu=loop.device == "cpu")


def _open_log(path: Path, names: list[str]) -> list[str]:
    """The columns of a log, ``names`` among them: a run that goes on with another loss gets new ones."""
    known, rows = [], []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows, known = list(reader), list(reader.fieldnames or [])
    columns = list(dict.fromkeys([*known, *names]))
    if columns != known:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
    return columns

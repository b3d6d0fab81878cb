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
from pathlib import Path

import torch
from torch import Tensor, nn

from osor_video.errors import ConfigError
from osor_video.training.config import LoopConfig

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
LOG = "log.csv"
LOG_EVERY_STEPS = 20
FINAL_RATE = 0.05

StepLoss = Callable[[nn.Module, int], tuple[Tensor, dict[str, float]]]
"""(module, step) -> (loss to descend, figures to log)."""


def rate_factor(step: int, loop: LoopConfig) -> float:
    """Linear warm-up to 1, then a cosine down to ``FINAL_RATE`` at the last step."""
    if step < loop.warmup_steps:
        return (step + 1) / loop.warmup_steps
    progress = (step - loop.warmup_steps) / max(1, loop.steps - loop.warmup_steps)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def load_averaged(network: nn.Module, folder: Path) -> dict[str, float]:
    """Fill ``network`` with the averaged weights of a run; returns the steps and hours they took."""
    path = folder / CHECKPOINT
    if not path.exists():
        raise ConfigError(
            f"{folder} holds no training run (no {CHECKPOINT}); train first, or give another folder."
        )
    state = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(state["averaged"])
    return {"steps": int(state["step"]), "hours": round(float(state["seconds"]) / 3600, 2)}


class TrainingRun:
    """A module under optimisation with everything that a checkpoint has to hold."""

    def __init__(self, module: nn.Module, loop: LoopConfig, folder: Path) -> None:
        self.module, self.loop, self.folder = module, loop, folder
        self.averaged = copy.deepcopy(module).requires_grad_(False)
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(
            trained, lr=loop.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4
        )
        self.step = 0
        self.seconds = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def resume(self) -> None:
        """Continue from the folder's checkpoint, if there is one."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.module.load_state_dict(state["module"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self._forget_rows_after(self.step)
        log.info("resumed %s at step %d", self.folder, self.step)

    def save(self) -> None:
        """Write the checkpoint whole or not at all."""
        state = {
            "module": self.module.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        part = self.folder / (CHECKPOINT + ".part")
        torch.save(state, part)
        part.replace(self.folder / CHECKPOINT)

    def run(self, step_loss: StepLoss) -> None:
        """Take steps until the schedule or the wall time is over; always ends with a checkpoint."""
        start, seconds_before = time.monotonic(), self.seconds
        while self.step < self.loop.steps and self.seconds - seconds_before < 60 * self.loop.minutes:
            figures = self._take_step(step_loss)
            self.seconds = seconds_before + time.monotonic() - start
            if self.step % LOG_EVERY_STEPS == 0 or self.step == self.loop.steps:
                self._write_row(figures)
            if self.step % self.loop.checkpoint_steps == 0:
                self.save()
        self.save()

    def _take_step(self, step_loss: StepLoss) -> dict[str, float]:
        for group in self.optimiser.param_groups:
            group["lr"] = self.loop.learning_rate * rate_factor(self.step, self.loop)
        loss, figures = step_loss(self.module, self.step)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimiser.step()
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
        is_new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if is_new:
                writer.writeheader()
            writer.writerow(row)
        log.info("%s", row)

    def _forget_rows_after(self, step: int) -> None:
        path = self.folder / LOG
        if not path.exists():
            return
        header, *rows = path.read_text(encoding="utf-8").splitlines()
        kept = [row for row in rows if int(row.split(",", 1)[0]) <= step]
        path.write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")

"""What comes through: each generated source goes through the product's own path, and FFmpeg's programs say what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from osor_video.benchmark.judge import differences, facts, pixels
from osor_video.benchmark.sources import RECIPES, Recipe, object_mask
from osor_video.benchmark.variants import changed
from osor_video.config import Config
from osor_video.masks.marks import Marks
from osor_video.pipeline import VideoRemover
from osor_video.report import Progress, silent
from osor_video.shapes import dilate
from osor_video.video.probe import probe

QUICK = {
    "fill": "plate",
    "effects.find": "off",
    "flow.backend": "dis",
    "flow.fine_px": 128,
    "background.reach_frames": 4,
}
"""Settings under which a source takes about a second; what is judged does not depend on them."""
REACH_PX = 12
"""Beyond this distance from the object nothing is replaced."""
CHANGING = frozenset(("profile",))
"""Facts that are judged only where a source is about them."""


@dataclass(frozen=True)
class Fidelity:
    """One source: the property it is about, before and after; what else is not the same; differences in codes where nothing

    was replaced, as measured before encoding and, of lossless results, by ``ffmpeg`` after decoding.
    """

    source: str
    about: str
    before: str
    after: str
    others: tuple[str, ...]
    outside: float
    decoded: int | None

    @property
    def equal(self) -> bool:
        """Whether all came through."""
        return self.before == self.after and not self.others and not self.outside and not self.decoded


def quick_config() -> Config:
    """The settings of these runs."""
    return Config.load("fast", overrides=QUICK)


def measure_fidelity(
    remover: VideoRemover, recipes: Sequence[Recipe] = RECIPES, progress: Progress = silent
) -> list[Fidelity]:
    """Every source, made, run and judged."""
    found = []
    with TemporaryDirectory() as folder:
        for done, recipe in enumerate(recipes, start=1):
            found.append(_measure(remover, recipe, Path(folder)))
            progress("sources", done, len(recipes))
    return found


def _measure(remover: VideoRemover, recipe: Recipe, folder: Path) -> Fidelity:
    clip, masks = recipe.write(folder)
    output = folder / f"out_{recipe.name}"
    run = changed(remover, {"encode": {"encoder_preset": "veryfast"}})
    report = run.remove(clip, Marks(paths=(masks,)), output)
    before, after = facts(clip), facts(output)
    wrong = [name for name in differences(before, after) if name not in (*recipe.facts, *CHANGING)]
    about, was, came = (
        "; ".join(text)
        for text in (recipe.facts, *([told[name] for name in recipe.facts] for told in (before, after)))
    )
    decoded = _decoded(clip, output, recipe) if recipe.lossless else None
    return Fidelity(recipe.name, about, was, came, tuple(wrong), report.outside_max_difference, decoded)


def _decoded(clip: Path, output: Path, recipe: Recipe) -> int:
    """Largest difference, away from the object, between both files as ``ffmpeg`` decodes them."""
    sizes = probe(clip).color.plane_sizes(recipe.size_hw)
    most = 0
    for index, (old, new) in enumerate(zip(pixels(clip), pixels(output), strict=True)):
        near = dilate(object_mask(index, recipe.size_hw), REACH_PX)
        start = 0
        for height, width in sizes:
            part = slice(start, start + height * width)
            start += height * width
            rows = np.minimum(np.arange(height) * recipe.size_hw[0] // height, recipe.size_hw[0] - 1)
            columns = np.minimum(np.arange(width) * recipe.size_hw[1] // width, recipe.size_hw[1] - 1)
            far = ~near[np.ix_(rows, columns)].ravel()
            gap = np.abs(old[part][far].astype(np.int64) - new[part][far])
            most = max(most, int(gap.max(initial=0)))
    return most

"""The masks that are in doubt, shown: a line of blocks for the terminal, a sheet of the worst frames as PNG."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from osor_video.apps.pictures import GAP_PX, MaskFiles, side_by_side, write_png
from osor_video.config import DecodeConfig
from osor_video.report import DOUBTFUL, doubtful_runs

BLOCKS, PLAIN_BLOCKS = "▁▂▃▄▅▆▇█", ".:-=+*#@"
PLOT_COLUMNS = 64
SHOWN_RUNS = 6
SHEET_FRAMES, SHEET_COLUMNS, SHEET_WIDTH_PX = 12, 4, 320
TINT = np.array([255, 40, 60], np.float32)


def sparkline(scores: Sequence[float], columns: int = PLOT_COLUMNS, blocks: str | None = None) -> str:
    """``scores`` in [0, 1] over time as blocks, low = in doubt; where frames share a column, the worst of them."""
    blocks = blocks or (BLOCKS if (sys.stdout.encoding or "").lower().startswith("utf") else PLAIN_BLOCKS)
    parts = np.array_split(np.asarray(scores), min(columns, len(scores)))
    return "".join(blocks[min(int(part.min() * len(blocks)), len(blocks) - 1)] for part in parts)


def doubts(scores: Sequence[float]) -> list[str]:
    """Lines that name the doubtful frames in runs, each with the frame where a mask helps most; none where all is well."""
    runs = doubtful_runs(scores)
    if not runs:
        return []
    lines = [f"{sparkline(scores)} frames 0 to {len(scores) - 1}, low = in doubt"]
    for run in runs[:SHOWN_RUNS]:
        span = f"frame {run.first}" if run.first == run.last else f"frames {run.first} to {run.last}"
        lines.append(
            f"{span}: {scores[run.worst]:.2f} at frame {run.worst}; if it is wrong there, add --mask {run.worst}=FILE.png"
        )
    if len(runs) > SHOWN_RUNS:
        lines.append(f"and {len(runs) - SHOWN_RUNS} more places (--report lists them)")
    return lines


def worst_frames(scores: Sequence[float], count: int = SHEET_FRAMES) -> list[int]:
    """The worst frame of each doubtful run first, then the lowest scores; ``count`` at most, in order of time."""
    by_score = sorted(range(len(scores)), key=lambda index: (scores[index], index))
    peaks = sorted((run.worst for run in doubtful_runs(scores)), key=lambda index: scores[index])
    return sorted(list(dict.fromkeys([*peaks, *by_score]))[:count])


def write_contact_sheet(path: Path, clip: Path, masks: MaskFiles, scores: Sequence[float]) -> None:
    """Write the worst frames of ``clip`` with their masks over them, number and score above each, as PNG."""
    wanted = set(worst_frames(scores))
    cells = [
        _cell(picture, masks.mask(index), f"{index}: {scores[index]:.2f}", scores[index] < DOUBTFUL)
        for index, picture in _pictures(clip, wanted)
    ]
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (-len(cells) % min(SHEET_COLUMNS, len(cells)))
    columns = min(SHEET_COLUMNS, len(cells))
    rows = [side_by_side(*cells[start : start + columns]) for start in range(0, len(cells), columns)]
    gap = np.full((GAP_PX, rows[0].shape[1], 3), 255, np.uint8)
    write_png(path, np.concatenate([part for row in rows for part in (gap, row)][1:]))


def _pictures(clip: Path, wanted: set[int]) -> list[tuple[int, npt.NDArray[np.uint8]]]:
    """The wanted frames of ``clip`` as shown, small, with their numbers."""
    from osor_video.video.orient import to_shown  # noqa: PLC0415  (loads av)
    from osor_video.video.planes import planes_to_rgb  # noqa: PLC0415
    from osor_video.video.reader import read_planes  # noqa: PLC0415
    from osor_video.video.source import open_source  # noqa: PLC0415

    source, found = open_source(clip, DecodeConfig()), []
    with closing(read_planes(source)) as frames:
        for frame in frames:
            if frame.index in wanted:
                shown = to_shown(planes_to_rgb(frame.planes, source.color), source.rotation)
                found.append((frame.index, _small(shown)))
            if len(found) == len(wanted):
                break
    return found


def _small(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height_px = max(1, round(picture.shape[0] * SHEET_WIDTH_PX / picture.shape[1]))
    shrinking = picture.shape[1] > SHEET_WIDTH_PX
    how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (SHEET_WIDTH_PX, height_px), interpolation=how), np.uint8)


def _cell(
    picture: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], caption: str, doubtful: bool
) -> npt.NDArray[np.uint8]:
    """A small picture with its mask in half-clear red, its rim drawn, and a caption."""
    size = picture.shape[1], picture.shape[0]
    covered = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    mixed = picture.astype(np.float32)
    mixed[covered > 0] = mixed[covered > 0] * 0.6 + TINT * 0.4
    drawn = np.ascontiguousarray(np.rint(mixed).astype(np.uint8))
    outlines, _ = cv2.findContours(covered, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, outlines, -1, (255, 230, 0), 1)
    cv2.rectangle(drawn, (0, 0), (11 * len(caption) + 6, 22), (0, 0, 0), -1)
    colour = (255, 90, 90) if doubtful else (255, 255, 255)
    cv2.putText(drawn, caption, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.55, colour, 1, cv2.LINE_AA)
    return drawn

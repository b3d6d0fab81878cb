"""Flow estimators side by side: on sequences whose flow is known, on real frames, and in the tracking of a mask."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from osor_video.config import FlowConfig, MaskConfig
from osor_video.errors import ConfigError
from osor_video.flow.estimate import DisFlow, FlowEstimator, FlowPair, RaftFlow, working_size
from osor_video.flow.warp import inside, warp
from osor_video.flow.weights import build_flow
from osor_video.follow import follow
from osor_video.masks.features import RecognitionFeatures, build_features
from osor_video.masks.track import MaskTracker
from osor_video.report import Stopwatch
from osor_video.tensors import Mask, Picture, picture_to_tensor
from osor_video.training.closeness import iou
from osor_video.training.config import SequenceConfig
from osor_video.training.cutouts import load_cutouts
from osor_video.training.flow import end_point_error, flows_to_batch
from osor_video.training.loop import load_averaged
from osor_video.training.photos import list_photos, read_picture, split_photos
from osor_video.training.sequences import Sequence, make_sequence

HELD_OUT = SequenceConfig(height_px=144, width_px=256)
"""A wide frame at the height that flow is estimated at, at full speed."""
DIS, RUN = "DIS", "run"
Figures = dict[str, dict[str, float]]
"""A row of figures for each estimator."""


def held_out_sequences(photos_folder: Path, cutouts_folder: Path, count: int) -> list[Sequence]:
    """Sequences of held-out photographs and held-out objects."""
    _, photos = split_photos(list_photos(photos_folder))
    _, cutouts = load_cutouts(cutouts_folder)
    return [
        make_sequence(photos, cutouts, HELD_OUT, np.random.default_rng([9, index])) for index in range(count)
    ]


def candidates(run: Path | None, weights: list[Path]) -> dict[str, FlowEstimator]:
    """DIS, each file of RAFT weights by its name, and a training run; all at the heights and updates of a removal."""
    defaults = FlowConfig()
    found: dict[str, FlowEstimator] = {DIS: DisFlow(defaults.fine_px)}
    for path in weights:
        found[path.stem] = build_flow(FlowConfig(weights=path))
    if run is not None:
        network = trained_network(run)
        found[RUN] = RaftFlow(
            network, defaults.height_px, defaults.fine_px, defaults.updates, RUN, torch.device("cpu")
        )
    return found


def trained_network(run: Path) -> nn.Module:
    """torchvision's RAFT-small with the averaged weights of a run; ConfigError where there is none."""
    from torchvision.models.optical_flow import raft_small  # noqa: PLC0415  (takes seconds to import)

    network: nn.Module = raft_small()
    load_averaged(network, run)
    return network


def _estimate(estimator: FlowEstimator, first: Picture, second: Picture) -> FlowPair:
    """Flow of both directions at the pictures' own size."""
    pair = estimator.match(estimator.encode(first), estimator.encode(second))
    return pair.resized((first.shape[0], first.shape[1]))


def flow_errors(estimator: FlowEstimator, sequences: list[Sequence]) -> dict[str, float]:
    """Mean end-point error in pixels of all pixels, of those that stay in sight, and of objects, over both directions."""
    everywhere, seen, objects = [], [], []
    for sequence in sequences:
        for t in range(len(sequence.flow_fw)):
            pair = _estimate(estimator, sequence.shots[t], sequence.shots[t + 1])
            sides = (
                (pair.forward, sequence.flow_fw[t], sequence.occluded_fw[t], sequence.masks[t]),
                (pair.backward, sequence.flow_bw[t], sequence.occluded_bw[t], sequence.masks[t + 1]),
            )
            for found, truth, occluded, mask in sides:
                error = end_point_error(found, flows_to_batch([truth[None]]))[0].numpy()
                everywhere.append(error.ravel())
                seen.append(error[~occluded])
                objects.append(error[mask])
    names = ("epe_px", "epe_seen_px", "epe_objects_px")
    rows = (everywhere, seen, objects)
    return {name: float(np.concatenate(row).mean()) for name, row in zip(names, rows, strict=True)}


def photometric_error(estimator: FlowEstimator, frames: list[Picture]) -> float:
    """Mean |frame t + 1 - frame t carried there|, in levels of 8 bits, over what stays in frame, at the finer working size."""
    size_hw = working_size(frames[0].shape[:2], FlowConfig().fine_px)
    small = [
        picture_to_tensor(cv2.resize(frame, size_hw[::-1], interpolation=cv2.INTER_AREA)) for frame in frames
    ]
    encoded = [estimator.encode(frame) for frame in frames]
    error, count = 0.0, 0.0
    for t in range(len(frames) - 1):
        flow = estimator.match(encoded[t], encoded[t + 1]).resized(size_hw).backward
        kept = inside(flow)
        error += float(((warp(small[t], flow) - small[t + 1]).abs().mean(1, keepdim=True) * kept).sum())
        count += float(kept.sum())
    return 255.0 * error / max(count, 1.0)


def tracking_j(
    estimator: FlowEstimator, features: RecognitionFeatures, frames: list[Picture], masks: list[Mask]
) -> float:
    """Mean intersection over union of the masks tracked from the first one, over all frames but the first."""
    tracker = MaskTracker(features, MaskConfig())
    tracker.start(frames[0], masks[0])
    with ThreadPoolExecutor(1) as pool:
        moving = islice(follow(frames, estimator, pool, lambda: True, Stopwatch()), 1, None)
        found = [tracker.step(frame.picture, frame.flow).mask for frame in moving]
    return float(np.mean([iou(mask, true) for mask, true in zip(found, masks[1:], strict=True)]))


def read_davis(folder: Path, name: str, limit: int | None) -> tuple[list[Picture], list[Mask]]:
    """Frames and masks of a DAVIS sequence, the first ``limit`` of them; ConfigError where there are fewer than two."""
    pictures = sorted((folder / "JPEGImages/480p" / name).glob("*.jpg"))[:limit]
    if len(pictures) < 2:
        raise ConfigError(
            f"{folder} holds {len(pictures)} frames of {name}; expected JPEGImages/480p/{name}/*.jpg, at least two."
        )
    labels = [folder / "Annotations/480p" / name / f"{path.stem}.png" for path in pictures]
    return [read_picture(path) for path in pictures], [
        np.asarray(read_picture(path)[..., 0] > 127) for path in labels
    ]


def compare_on_sequences(estimators: dict[str, FlowEstimator], sequences: list[Sequence]) -> Figures:
    """End-point errors of each estimator."""
    return {name: flow_errors(estimator, sequences) for name, estimator in estimators.items()}


def compare_on_davis(
    estimators: dict[str, FlowEstimator], folder: Path, names: list[str], limit: int | None, *, track: bool
) -> Figures:
    """Photometric error of each estimator, and with ``track`` the mean J; means over the sequences ``names`` (or all)."""
    features = build_features() if track else None
    rows: dict[str, dict[str, list[float]]] = {name: {} for name in estimators}
    for sequence in names or davis_names(folder):
        frames, masks = read_davis(folder, sequence, limit)
        for name, estimator in estimators.items():
            figures = {"photometric": photometric_error(estimator, frames)}
            if features is not None:
                figures["j"] = tracking_j(estimator, features, frames, masks)
            for figure, value in figures.items():
                rows[name].setdefault(figure, []).append(value)
                rows[name][f"{figure}_{sequence}"] = [value]
    return {
        name: {figure: float(np.mean(values)) for figure, values in row.items()} for name, row in rows.items()
    }


def davis_names(folder: Path) -> list[str]:
    """All sequences of a folder of DAVIS; ConfigError where there is none."""
    names = sorted(path.name for path in (folder / "JPEGImages/480p").glob("*") if path.is_dir())
    if not names:
        raise ConfigError(f"{folder} holds no sequence; expected JPEGImages/480p/NAME/ (--davis).")
    return names


def beats_dis(figures: Figures) -> bool:
    """Whether the run is nearer to the true flow than DIS, and explains real frames as well."""
    run, dis = figures[RUN], figures[DIS]
    return run["epe_px"] < dis["epe_px"] and run["photometric"] <= dis["photometric"]


def validate_flow(
    estimators: dict[str, FlowEstimator], sequences: list[Sequence], real: Figures, out: Path
) -> Figures:
    """All figures, also as ``out``/figures.json, and a picture of flows, ``out``/flows.png."""
    figures = {
        name: {figure: round(value, 4) for figure, value in (row | real.get(name, {})).items()}
        for name, row in compare_on_sequences(estimators, sequences).items()
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    grid = flow_grid(estimators, sequences[:8])
    cv2.imwrite(str(out / "flows.png"), cv2.cvtColor(grid, cv2.COLOR_RGB2BGR))
    return figures


def flow_grid(estimators: dict[str, FlowEstimator], sequences: list[Sequence]) -> Picture:
    """A row a sequence: first frame, second frame, true flow, each estimator's; one scale of colours a row."""
    rows = []
    for sequence in sequences:
        first, second = sequence.shots[:2]
        truth = flows_to_batch([sequence.flow_fw[:1]])
        flows = [_estimate(estimator, first, second).forward for estimator in estimators.values()]
        longest = float(truth.square().sum(1).sqrt().max().clamp(min=1))
        rows.append(np.hstack([first, second, *(_coloured(flow, longest) for flow in (truth, *flows))]))
    return np.vstack(rows)


def _coloured(flow: Tensor, longest_px: float) -> Picture:
    """Flow [1, 2, H, W] in the colours of Baker et al. (IJCV 2011); longer vectors than ``longest_px`` are cut."""
    from torchvision.utils import flow_to_image  # noqa: PLC0415  (takes seconds to import)

    length = flow.square().sum(1, keepdim=True).sqrt()
    cut = flow[0] * (longest_px / length.clamp(min=longest_px))[0]
    # The colours are scaled by the longest vector: one of that length stands in the corner.
    cut[:, 0, 0] = torch.tensor([longest_px, 0.0])
    return np.asarray(flow_to_image(cut).permute(1, 2, 0).numpy(), np.uint8)

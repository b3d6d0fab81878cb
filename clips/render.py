"""Render the clips of this folder: a shot, its true clean plate, the true object masks, and a sound.

Commands, and seconds a frame (shot, plate and mask together) on two CPU cores shared with other work:
    python clips/render.py walk --spp 25 --crf 17        # 40 frames, 16 s a frame, 8 s at best
    python clips/render.py mirror --spp 36 --crf 17      # 38 frames, 24 s a frame, 15 s at best

Each NAME gives `NAME.mp4` (H.264 and AAC), `NAME_clean.mp4` (the plate: the same frames without the figure),
`NAME_mask.mkv` (FFV1, white = object, no shadow) and `NAME_first.png` (the mask of frame 0). Shot and plate
share light samples and grain, so they differ where the figure, its shadow or its reflection is, and nowhere
else but for the coding. Needs `pip install "osor-video[render]"` and, on a CPU, LLVM.

Convention: rendered frames are float32 `[H, W, 3]`, linear; coded frames uint8 `[H, W, 3]`, sRGB.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import logging
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from time import perf_counter

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray
from scene import RenderError, build_scene, mitsuba
from spec import CLIPS, SceneSpec, random_spec
from walker import heel_strikes

Array = NDArray[np.float32]
Picture = NDArray[np.uint8]
SOUND_HZ = 48000
TIME_BASE = Fraction(1, 12288)
log = logging.getLogger("clips")


@dataclass(frozen=True)
class Job:
    """How to render: samples per pixel, H.264 quality, where to, and where linear frames are kept."""

    spp: int
    crf: int
    out: Path
    keep: Path | None = None


def start(variant: str, workers: int) -> None:
    """Choose Mitsuba's `variant`, prove that it computes, and use `workers` threads (0 for all)."""
    mi = mitsuba()
    drjit = importlib.import_module("drjit")
    try:
        mi.set_variant(variant)
        drjit.eval(mi.Float(1.0) + mi.Float(1.0))
    except (RuntimeError, ImportError, AttributeError) as error:
        raise RenderError(
            f"the variant {variant} does not start ({error}). Install LLVM (for example libllvm19) and let "
            "DRJIT_LIBLLVM_PATH name its library, or pass --variant scalar_rgb (slow)."
        ) from error
    if workers:
        drjit.set_thread_count(workers)


def render_frame(spec: SceneSpec, index: int, with_figure: bool, spp: int) -> Array:
    """One frame, linear. The seed depends on the frame alone: shot and plate share their noise."""
    mi = mitsuba()
    scene = mi.load_dict(build_scene(spec, index / spec.rate, with_figure, spp=spp))
    picture = mi.render(scene, spp=spp, seed=spec.seed * 1000 + index)
    return np.ascontiguousarray(np.array(picture)[..., :3], np.float32)


def object_mask(spec: SceneSpec, index: int, finer: int = 4) -> Picture:
    """Where the figure covers at least half of a pixel, 255: there the depth differs from the plate's."""
    mi = mitsuba()
    height, width = spec.size_hw
    fine = replace(spec, size_hw=(height * finer, width * finer))
    depths = []
    for with_figure in (True, False):
        parts = build_scene(fine, index / spec.rate, with_figure, spp=1)
        parts["integrator"] = {"type": "aov", "aovs": "depth:depth"}
        parts["sensor"]["film"]["rfilter"] = {"type": "box"}
        parts["sensor"]["sampler"] = {"type": "independent", "sample_count": 1}
        depths.append(np.array(mi.render(mi.load_dict(parts), spp=1, seed=index))[..., -1])
    covered = np.abs(depths[0] - depths[1]) > 1e-4
    share = covered.reshape(height, finer, width, finer).mean((1, 3))
    return np.asarray(np.where(share >= 0.5, 255, 0), np.uint8)


def expose(frame: Array, spec: SceneSpec) -> Array:
    """A linear frame exposed, its highlights rolled off: sRGB in [0, 1]."""
    film = 1.0 - np.exp(-1.3 * spec.exposure * frame)
    coded = np.where(film < 0.0031308, 12.92 * film, 1.055 * np.maximum(film, 1e-6) ** (1 / 2.4) - 0.055)
    return np.asarray(coded, np.float32)


def develop(frame: Array, spec: SceneSpec, index: int) -> Picture:
    """Expose a linear frame and add the sensor's grain (seeded by the frame)."""
    rng = np.random.default_rng([spec.seed, index, 5])
    grain = rng.normal(0.0, 1.0, (*spec.size_hw, 1)) + 0.4 * rng.normal(0.0, 1.0, (*spec.size_hw, 3))
    return np.asarray(np.clip(np.rint(255.0 * expose(frame, spec) + 0.9 * grain), 0, 255), np.uint8)


def footsteps(spec: SceneSpec) -> Array:
    """Mono sound `[1, N]`: a soft step at each heel strike over the air of the place."""
    rng = np.random.default_rng([spec.seed, 13])
    total = round(spec.frames / spec.rate * SOUND_HZ)
    air = np.convolve(rng.normal(0.0, 1.0, total), np.hanning(96) / 48.0, "same")
    sound = 0.02 * air
    hard = 0.35 if spec.gloss > 0 else 0.18
    for strike in heel_strikes(spec):
        start = int(strike * SOUND_HZ)
        t = np.arange(min(SOUND_HZ // 5, total - start)) / SOUND_HZ
        thud = np.sin(2 * np.pi * rng.uniform(85, 110) * t) * np.exp(-t * 38)
        scuff = np.convolve(rng.normal(0.0, 1.0, len(t)), np.hanning(12) / 6.0, "same") * np.exp(-t * 70)
        sound[start : start + len(t)] += 0.45 * thud + hard * scuff
    return np.asarray(np.clip(sound, -1.0, 1.0)[None], np.float32)


def bt709(picture: Picture, index: int, rate: int) -> av.VideoFrame:
    """A yuv420p frame in limited range that says so itself."""
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
    frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.MPEG
    frame.color_primaries, frame.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    frame.pts, frame.time_base = int(index / rate / TIME_BASE), TIME_BASE
    return frame


def write_video(path: Path, pictures: list[Picture], rate: int, crf: int, sound: Array | None) -> None:
    """H.264 tagged BT.709, with AAC if there is a sound."""
    with av.open(str(path), "w", options={"video_track_timescale": str(TIME_BASE.denominator)}) as container:
        video = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": "veryslow"})
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = "yuv420p"
        context = video.codec_context
        context.time_base = TIME_BASE
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        audio = container.add_stream("aac", rate=SOUND_HZ, layout="mono") if sound is not None else None
        frames = (bt709(picture, index, rate) for index, picture in enumerate(pictures))
        container.mux(chain.from_iterable(video.encode(frame) for frame in chain(frames, [None])))
        if audio is not None and sound is not None:
            audio.bit_rate = 64000
            block = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = SOUND_HZ, 0, Fraction(1, SOUND_HZ)
            container.mux(chain.from_iterable(audio.encode(frame) for frame in (block, None)))


def write_masks(path: Path, masks: list[Picture], rate: int) -> None:
    """FFV1, grey: not a bit is lost."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=rate, options={"level": "3", "context": "1", "g": "1000"})
        video.height, video.width = masks[0].shape
        video.pix_fmt = "gray"
        for mask in masks:
            container.mux(video.encode(av.VideoFrame.from_ndarray(mask, format="gray")))
        container.mux(video.encode(None))


def rendered(spec: SceneSpec, index: int, job: Job) -> tuple[Array, Array, Picture]:
    """(shot, plate, mask) of a frame, from `job.keep` if an earlier run of this spec left it there."""
    # The exposure and the number of frames change no ray; an edit of the code is not noticed.
    key = hashlib.sha256(repr((replace(spec, exposure=1.0, frames=0), job.spp)).encode()).hexdigest()[:12]
    path = job.keep / f"{spec.name}-{key}-{index:04d}.npz" if job.keep else None
    if path and path.exists():
        with np.load(path) as stored:
            return stored["shot"].astype(np.float32), stored["plate"].astype(np.float32), stored["mask"]
    shot, plate = (render_frame(spec, index, figure, job.spp) for figure in (True, False))
    mask = object_mask(spec, index)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, shot=shot.astype(np.float16), plate=plate.astype(np.float16), mask=mask)
    return shot, plate, mask


def make_clip(spec: SceneSpec, job: Job) -> None:
    """Render a clip and write its four files."""
    shots, plates, masks = [], [], []
    for index in range(spec.frames):
        begun = perf_counter()
        shot, plate, mask = rendered(spec, index, job)
        shots.append(develop(shot, spec, index))
        plates.append(develop(plate, spec, index))
        masks.append(mask)
        log.info("%s frame %d of %d: %.1f s", spec.name, index + 1, spec.frames, perf_counter() - begun)
    job.out.mkdir(parents=True, exist_ok=True)
    write_video(job.out / f"{spec.name}.mp4", shots, spec.rate, job.crf, footsteps(spec))
    write_video(job.out / f"{spec.name}_clean.mp4", plates, spec.rate, job.crf, None)
    write_masks(job.out / f"{spec.name}_mask.mkv", masks, spec.rate)
    cv2.imwrite(str(job.out / f"{spec.name}_first.png"), masks[0])


def chosen(name: str, frames: int | None) -> SceneSpec:
    """The spec called `name`; a number is the seed of a random one."""
    if not name.isdigit() and name not in CLIPS:
        raise SystemExit(f"no clip is called {name!r}: choose from {', '.join(CLIPS)}, or give a seed")
    spec: SceneSpec = random_spec(int(name)) if name.isdigit() else CLIPS[name]
    return replace(spec, frames=min(frames, spec.frames)) if frames else spec


def add_mitsuba_options(parser: argparse.ArgumentParser) -> None:
    """The options that every rendering command has."""
    parser.add_argument("--workers", type=int, default=0, help="threads, 0 for all cores")
    parser.add_argument("--variant", default="llvm_ad_rgb", help="Mitsuba variant")


def begin(options: argparse.Namespace) -> None:
    """Log to the terminal and start Mitsuba; the command ends with one sentence where it cannot."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        start(options.variant, options.workers)
    except RenderError as error:
        raise SystemExit(str(error)) from error


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Render clips with their clean plates and masks.")
    parser.add_argument(
        "names", nargs="*", default=["walk", "mirror"], help="clip names, or seeds of random scenes"
    )
    parser.add_argument("--out", type=Path, default=Path("clips"), help="folder of the results")
    parser.add_argument("--frames", type=int, help="render only the first so many frames")
    parser.add_argument("--spp", type=int, default=36, help="light samples per pixel")
    parser.add_argument("--crf", type=int, default=17, help="H.264 quality, lower is better")
    add_mitsuba_options(parser)
    parser.add_argument("--keep", type=Path, help="folder that keeps linear frames, so that a run can go on")
    options = parser.parse_args()
    specs = [chosen(name, options.frames) for name in options.names]
    begin(options)
    for spec in specs:
        make_clip(spec, Job(options.spp, options.crf, options.out, options.keep))


if __name__ == "__main__":
    main()

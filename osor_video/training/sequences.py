"""Short sequences made on the fly: a camera over a photograph, objects with their shadows on their own paths, and the truth of it.

Everything moves along paths that are functions of time (``motion.py``), so masks and flow are exact, the background's behind the
objects too. The ground keeps its motion where a shadow passes over it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import pi
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from osor_video.tensors import FloatMap, Picture, to_uint8
from osor_video.training.config import SequenceConfig
from osor_video.training.cutouts import Cutout, choose_cutout, sized
from osor_video.training.lighting import Lighting
from osor_video.training.motion import Actor, Camera, Drift, frame_points
from osor_video.training.pairs import NO_EFFECT_SHARE, relit, visible_difference
from osor_video.training.photos import read_photo

TRIPOD_SHARE = 0.12
"""How often the camera stands still."""
SHAKES = 3
LEAST_SEEN_PX = 64

Labels = npt.NDArray[np.uint8]
"""uint8 [H, W]: 0 where the background is seen, k where the k-th object is."""


@dataclass(frozen=True)
class Sequence:
    """T frames and T - 1 steps of truth.

    ``shots`` and ``cleans`` uint8 [T, H, W, 3]; ``labels`` uint8 [T, H, W], 0 = background, k = k-th object; ``effect_masks``
    bool [T, H, W], objects and what they do to their surroundings. Flows are float32 [T-1, H, W, 2] in pixels: ``..._fw[t]``
    lives on frame t and points to t + 1, ``..._bw[t]`` lives on t + 1 and points to t. ``flow`` is the visible surface's,
    ``background`` the ground's everywhere. ``occluded`` bool [T-1, H, W]: what is seen here is hidden, or out of frame, there.
    """

    shots: npt.NDArray[np.uint8]
    cleans: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    effect_masks: npt.NDArray[np.bool_]
    flow_fw: FloatMap
    flow_bw: FloatMap
    background_fw: FloatMap
    background_bw: FloatMap
    occluded_fw: npt.NDArray[np.bool_]
    occluded_bw: npt.NDArray[np.bool_]

    @property
    def masks(self) -> npt.NDArray[np.bool_]:
        """bool [T, H, W]: all objects."""
        return np.asarray(self.labels > 0)


def make_sequence(
    photos: list[Path], cutouts: list[Cutout], config: SequenceConfig, random: np.random.Generator
) -> Sequence:
    """One sequence; everything about it comes from ``random``."""
    scene = make_scene(photos, cutouts, config, random)
    return film(scene, config, random)


@dataclass(frozen=True)
class Scene:
    """A photograph, a camera, actors from the farthest to the nearest, and the light that they keep from the ground, if any."""

    photo: FloatMap
    camera: Camera
    actors: tuple[Actor, ...]
    lighting: Lighting | None

    def picture(self, t: float) -> tuple[FloatMap, FloatMap, Labels]:
        """(shot, clean [H, W, 3], who is seen at each pixel) at one instant."""
        clean = self.camera.view(self.photo, t)
        shot, labels = clean, np.zeros(self.camera.size_hw, np.uint8)
        if self.lighting is not None:
            shot = self.lighting.shaded(clean, self.actors, self.camera, t)
        for number, actor in enumerate(self.actors, 1):
            colour, matte = actor.drawn(self.camera, t)
            shot = shot + matte[..., None] * (colour - shot)
            labels[matte > 0.5] = number
        return shot, clean, labels

    def flow(self, labels: Labels, t: float, s: float) -> FloatMap:
        """Flow [H, W, 2] from ``t`` to ``s`` of the surface that ``labels`` says is seen at ``t``."""
        flow = self.camera.flow(t, s)
        for number, actor in enumerate(self.actors, 1):
            flow[labels == number] = actor.flow(self.camera, t, s)[labels == number]
        return flow


def occlusion(flow: FloatMap, here: Labels, there: Labels) -> npt.NDArray[np.bool_]:
    """bool [H, W]: the surface seen in ``here`` is out of frame, or behind another one, where ``flow`` takes it."""
    height, width = here.shape
    target = frame_points((height, width)) + flow
    x, y = np.rint(target[..., 0]).astype(int), np.rint(target[..., 1]).astype(int)
    outside = (target < 0).any(axis=2) | (target[..., 0] > width - 1) | (target[..., 1] > height - 1)
    met = there[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return np.asarray(outside | (met != here))


def film(scene: Scene, config: SequenceConfig, random: np.random.Generator) -> Sequence:
    """Render a scene at t = 0, 1, ...; ``random`` decides on blur, exposure and grain."""
    times = range(config.frames)
    shutter = float(random.uniform(0.2, 0.7)) if random.random() < config.blur_share else 0.0
    exposed = [_exposed(scene, t, shutter) for t in times]
    effects = [visible_difference(shot, clean, seen > 0) for shot, clean, seen in exposed]
    shots, cleans = zip(*(_developed(shot, clean, config, random) for shot, clean, _ in exposed), strict=True)
    labels = [seen for _, _, seen in exposed]
    forward = [scene.flow(labels[t], t, t + 1) for t in times[:-1]]
    backward = [scene.flow(labels[t + 1], t + 1, t) for t in times[:-1]]
    return Sequence(
        shots=np.stack(shots),
        cleans=np.stack(cleans),
        labels=np.stack(labels),
        effect_masks=np.stack(effects),
        flow_fw=np.stack(forward),
        flow_bw=np.stack(backward),
        background_fw=np.stack([scene.camera.flow(t, t + 1) for t in times[:-1]]),
        background_bw=np.stack([scene.camera.flow(t + 1, t) for t in times[:-1]]),
        occluded_fw=np.stack([occlusion(forward[t], labels[t], labels[t + 1]) for t in times[:-1]]),
        occluded_bw=np.stack([occlusion(backward[t], labels[t + 1], labels[t]) for t in times[:-1]]),
    )


def _exposed(scene: Scene, t: float, shutter: float) -> tuple[FloatMap, FloatMap, Labels]:
    """(shot, clean, labels) with the shutter open for a share of a frame about ``t``; labels are those of ``t``."""
    shot, clean, labels = scene.picture(t)
    if shutter == 0:
        return shot, clean, labels
    sides = [scene.picture(t + shift)[:2] for shift in (-shutter / 2, shutter / 2)]
    shots, cleans = zip((shot, clean), *sides, strict=True)
    return np.mean(shots, axis=0, dtype=np.float32), np.mean(cleans, axis=0, dtype=np.float32), labels


def _developed(
    shot: FloatMap, clean: FloatMap, config: SequenceConfig, random: np.random.Generator
) -> tuple[Picture, Picture]:
    """Exposure, white balance and grain of one frame, the same on both sides."""
    gain = np.exp(config.jitter * (random.normal() + 0.3 * random.normal(size=3))).astype(np.float32)
    gamma = float(np.exp(config.jitter * random.normal()))
    grain = random.normal(0, float(random.uniform(0, config.grain)), shot.shape).astype(np.float32)
    developed = [to_uint8(np.clip(gain * side, 0, 1) ** gamma + grain) for side in (shot, clean)]
    return developed[0], developed[1]


def make_scene(
    photos: list[Path], cutouts: list[Cutout], config: SequenceConfig, random: np.random.Generator
) -> Scene:
    """A photograph with one to ``config.objects`` actors on it, at least one of them in sight in the first frame."""
    photo = _ground(photos[int(random.integers(len(photos)))], config, random)
    camera = _camera((photo.shape[0], photo.shape[1]), config, random)
    view = camera.view(photo, 0)
    count = int(random.integers(1, config.objects + 1)) if config.objects else 0
    bare = random.random() < NO_EFFECT_SHARE
    lighting = None if bare else Lighting.draw(max(camera.size_hw), random)
    actors = [_seen_actor(cutouts, camera, view, lighting, config, random) for _ in range(count)]
    actors.sort(key=lambda actor: float(actor.drift.start[1]))
    return Scene(photo, camera, tuple(actors), lighting)


def _ground(path: Path, config: SequenceConfig, random: np.random.Generator) -> FloatMap:
    """A photograph at a random size that is large enough for the frame, so that the camera sees it about 1:1."""
    photo = read_photo(path)
    low = 1.15 * max(config.height_px / photo.shape[0], config.width_px / photo.shape[1])
    scale = float(random.uniform(low, max(low, 1.0)))
    size_wh = round(photo.shape[1] * scale), round(photo.shape[0] * scale)
    small = cv2.resize(photo, size_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if random.random() < 0.5:
        small = np.ascontiguousarray(small[:, ::-1])
    return np.asarray(small / 255.0, np.float32)


def _velocity(config: SequenceConfig, random: np.random.Generator) -> tuple[float, float]:
    """(x, y) in pixels a frame: any direction, slow more often than fast."""
    speed = config.speed_px * float(random.random()) ** 2
    angle = float(random.uniform(0, 2 * pi))
    return speed * float(np.cos(angle)), speed * float(np.sin(angle))


def _drift(
    start: list[float], velocity: list[float], shake: list[float], random: np.random.Generator
) -> Drift:
    """A path at about this speed, with shakes of about these amplitudes."""
    count = len(start)
    return Drift(
        np.array(start),
        np.array(velocity),
        np.array(velocity) * random.normal(0, 0.1, count),
        random.normal(0, 1, (SHAKES, count)) * np.array(shake) / SHAKES,
        random.uniform(0.4, 2.0, SHAKES),
        random.uniform(0, 2 * pi, (SHAKES, count)),
    )


def _camera(photo_hw: tuple[int, int], config: SequenceConfig, random: np.random.Generator) -> Camera:
    size_hw = config.height_px, config.width_px
    start = [
        float(random.uniform(frame / 2, max(frame / 2, photo - frame / 2)))
        for photo, frame in zip(photo_hw[::-1], size_hw[::-1], strict=True)
    ]
    start += random.normal(0, [0.05, 0.05, 2e-4, 2e-4]).tolist()
    if random.random() < TRIPOD_SHARE:
        return Camera(Drift.steady(start, [0.0] * 6), size_hw)
    pace = config.speed_px / max(size_hw)
    turns = (random.normal(0, [0.15, 0.15, 3e-3, 3e-3]) * pace).tolist()
    hand = float(random.random()) ** 2 * 0.15 * config.speed_px
    shake = [hand, hand, 0.003 * hand, 0.006 * hand, 0.0, 0.0]
    return Camera(_drift(start, [*_velocity(config, random), *turns], shake, random), size_hw)


def _seen_actor(
    cutouts: list[Cutout],
    camera: Camera,
    view: FloatMap,
    lighting: Lighting | None,
    config: SequenceConfig,
    random: np.random.Generator,
) -> Actor:
    while True:
        actor = _actor(choose_cutout(cutouts, random), camera, view, lighting, config, random)
        if (actor.drawn(camera, 0)[1] > 0.5).sum() >= LEAST_SEEN_PX:
            return actor


def _actor(
    cutout: Cutout,
    camera: Camera,
    view: FloatMap,
    lighting: Lighting | None,
    config: SequenceConfig,
    random: np.random.Generator,
) -> Actor:
    height, width = camera.size_hw
    height_px = min(height, width) * float(random.uniform(0.12, 0.85))
    foot_y = height * float(random.uniform(0.25, 1.1))
    if cutout.cut_off:
        height_px, foot_y = 1.3 * height_px, height * float(random.uniform(1.0, 1.15))
    flip = bool(random.random() < 0.5)
    sway_px = height_px * float(random.uniform(0, 0.05))
    ready, enlarged = _prepared(cutout, height_px, 2 * sway_px)
    ready = relit(ready, view, () if lighting is None else (lighting.seen_by(flip=flip),), random)
    in_frame = np.array([width * random.normal(0.5, 0.28), foot_y, 1.0])
    ground = camera.to_photo(0) @ in_frame
    zoom = float(camera.drift.at(0)[2])
    start = [*(ground[:2] / ground[2]).tolist(), float(np.log(enlarged)) + zoom, random.normal(0, 0.05), 0.0]
    pace = config.speed_px / height_px
    velocity = [
        *_velocity(config, random),
        *(random.normal(0, [0.1, 0.1]) * min(pace, 0.3)).tolist(),
        random.normal(0, 0.15) * sway_px,
    ]
    drift = _drift(start, velocity, [0.5, 0.5, 0.0, 0.01, sway_px], random)
    foot = ready.matte.shape[1] / 2, float(ready.matte.shape[0])
    return Actor(ready, foot, pi / height_px * random.uniform(0.5, 2.5), flip, drift)


def _prepared(cutout: Cutout, height_px: float, margin_px: float) -> tuple[Cutout, float]:
    """The cut-out at about the size it is shown at, with room at its sides to sway into, and what is left to enlarge."""
    # Any width will do: the frame need not hold all of a thing that moves.
    small = sized(cutout, min(height_px, cutout.matte.shape[0]), 10**6, mirrored=False)
    room = int(np.ceil(margin_px)) + 2
    colour = cv2.copyMakeBorder(small.colour, 0, 0, room, room, cv2.BORDER_REPLICATE)
    matte = cv2.copyMakeBorder(small.matte, 0, 0, room, room, cv2.BORDER_CONSTANT, value=0.0)
    return replace(small, colour=colour, matte=matte), height_px / matte.shape[0]

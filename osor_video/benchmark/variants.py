"""Runs that leave one part out: what each part is worth, measured beside the whole."""

from __future__ import annotations

from typing import Any

from osor_video.config import Config
from osor_video.pipeline import VideoRemover
from osor_video.removal.remover import OneStepRemover

PURE: dict[str, Any] = {"fill": "diffusion"}
PEER = "OSOR per frame"
"""What everybody has who runs the image method on a clip: nothing borrowed, nothing carried."""
WITHOUT_WARPING: dict[str, Any] = PURE | {"removal": {"latent_warp": 0.0}}
PEER_CHANGES: dict[str, Any] = WITHOUT_WARPING | {"composite": {"grain": 0.0}}
ABLATIONS: dict[str, dict[str, Any]] = {
    "no grain": {"composite": {"grain": 0.0}},
    "no effects": {"effects": {"find": "off"}},
    "no recovery": PURE,
    "no recovery, no latent warping": WITHOUT_WARPING,
    "no recovery, no gathering": PURE | {"removal": {"gather": False}},
    "no recovery, fresh noise": PURE | {"removal": {"noise": "frame"}},
}
"""Latent warping and noise matter where something is generated, so they are left out of the run without recovery."""


def variants(peers: bool, ablations: bool) -> dict[str, dict[str, Any]]:
    """Changes of the configuration by the name of the run."""
    return ({PEER: PEER_CHANGES} if peers else {}) | (ABLATIONS if ablations else {})


def changed(remover: VideoRemover, changes: dict[str, Any]) -> VideoRemover:
    """The same networks under a configuration that differs by ``changes``, section by section."""
    values = remover.config.model_dump()
    for key, value in changes.items():
        values[key] = values[key] | value if isinstance(value, dict) else value
    config = Config.model_validate(values)
    own = OneStepRemover(remover.remover.model, config.removal, config.seed)
    return VideoRemover(remover.flow, remover.features, own, config)

"""From the options of ``remove`` as typed to a job: settings by their keys, marks, regions, what is written beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from osor_video.apps.inputs import SeedOptions, Wanted, unfinished_runs
from osor_video.apps.papers import check_papers, log_refused
from osor_video.apps.project import make_job
from osor_video.apps.removal import Extras, Job
from osor_video.errors import OsorError
from osor_video.project import SUFFIX, Project
from osor_video.provenance.papers import Papers

SETTINGS = {
    **{"flow": "flow.backend", "flow_weights": "flow.weights", "tracker": "mask.tracker"},
    **{"model": "removal.model", "device": "removal.device", "dtype": "removal.dtype"},
    **{"fill": "fill", "effects": "effects.find", "plate": "background.plate", "seed": "seed"},
    **{"codec": "encode.codec", "quality": "encode.quality", "crf": "encode.crf", "rate": "decode.rate"},
}
"""Key in ``Config`` of each option that gives a value."""
SWITCHES = {
    **{
        "lossless": "encode.lossless",
        "lossless_check": "encode.check",
        "drop_streams": "encode.drop_streams",
    },
    "deinterlace": "decode.deinterlace",
}
"""The same of those that turn something on."""


def settings_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted key; None = not given."""
    values = {key: given[name] for name, key in SETTINGS.items()}
    return values | {key: given[name] or None for name, key in SWITCHES.items()}


def audited_job(given: Mapping[str, Any]) -> Job:
    """See ``removal_job``; a job that is refused leaves a line in the log of all jobs too, where one is kept."""
    try:
        return removal_job(given)
    except OsorError as error:
        log_refused(given, error)
        raise


def removal_job(given: Mapping[str, Any]) -> Job:
    """What is to be removed from which clip, and how.

    Raises ConfigError, MaskError and VideoError for what can be refused before anything is decoded.
    """
    forms = ("box", "polygon", "points", "not_points", "labels", "fit_mask", "boxes", "boxes_label")
    marked = SeedOptions(tuple(given["mask"] or ()), *(given[name] for name in forms))
    sides = ("masks_out", "effects_out", "report", "contact_sheet", "alpha_out", "matte")
    extras = Extras(*(given[name] for name in sides))
    wanted = Wanted(given["preset"], given["config"], tuple(given["settings"] or ()), settings_of(given))
    regions = tuple(given["effect_mask"] or ()), tuple(given["keep"] or ())
    unfinished = unfinished_runs(given["resume"], given["restart"])
    job = make_job(given["source"], given["output"], marked, wanted, regions, extras)
    papers = papers_of(given)
    check_papers(papers, job.source, job.output)
    return replace(job, threads=given["threads"], quiet=given["quiet"], unfinished=unfinished, papers=papers)


def papers_of(given: Mapping[str, Any]) -> Papers:
    """The record and what else is to go with the result; the settings are held against the preset, or a project's own."""
    preset, source = given["preset"], given["source"]
    if preset is None and source.suffix.lower() == SUFFIX and source.is_file():
        preset = Project.read(source).preset
    asked = {name: given.get(name) for name in ("record", "sign", "audit_log", "operator", "reason")}
    return Papers(**asked, embed=given.get("embed_record", False), preset=preset or "balanced")

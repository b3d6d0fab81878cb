"""``osor-video remove project.json``: the clip, masks and settings of a project, its several objects followed each by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from osor_video.apps.inputs import SeedOptions, Wanted, check_source, painted_regions
from osor_video.apps.removal import Extras, Job
from osor_video.config import Config, parse_override
from osor_video.errors import ConfigError, VideoError
from osor_video.project import SUFFIX, Project

if TYPE_CHECKING:
    from osor_video.masks.marks import Marks
    from osor_video.pipeline import VideoRemover
    from osor_video.report import Progress


def make_job(
    source: Path,
    output: Path,
    marked: SeedOptions,
    wanted: Wanted,
    regions: tuple[tuple[str, ...], tuple[str, ...]],
    extras: Extras,
) -> Job:
    """The job that was typed: of a clip with its marks and ``regions`` (--effect-mask, --keep), or of a project.

    Raises ConfigError, MaskError and VideoError for what cannot be used, before any network is loaded.
    """
    if source.suffix.lower() == SUFFIX:
        if marked != SeedOptions() or any(regions):
            raise ConfigError(
                f"{source} is a project, which has its own masks, and others are given beside it. Leave them out, or give the clip."
            )
        project, clip = read_project(source, output)
        extras.check()
        first = project if apart(project) is None else _first_alone(project)
        return Job(
            clip,
            first.marks(),
            output,
            project_config(project, wanted),
            extras=extras,
            regions=project.regions(),
            follow=apart(project),
        )
    marked.check()
    check_source(source, output)
    extras.check()
    painted = painted_regions(*regions, marked.fit)
    return Job(source, marked.marks(), output, wanted.config(), extras=extras, regions=painted)


def read_project(source: Path, output: Path | None) -> tuple[Project, Path]:
    """The project in the file ``source`` and its clip; ConfigError, MaskError and VideoError where one cannot be used."""
    check_source(source, output)
    project = Project.read(source)
    clip = project.clip_path(source.parent)
    if not clip.exists():
        raise VideoError(
            f"The clip of {source} is {project.clip}, which is not there. Put it beside the project, or correct its path in it."
        )
    check_source(clip, output)
    return project, clip


def project_config(project: Project, wanted: Wanted) -> Config:
    """The project's settings, what was typed over them; ConfigError as ``Config.load``."""
    typed = dict(parse_override(text) for text in wanted.settings)
    typed |= {key: value for key, value in wanted.named.items() if value is not None}
    return Config.load(wanted.preset or project.preset, wanted.file, {**project.settings, **typed})


def apart(project: Project) -> Callable[[Path, VideoRemover, Progress], Marks] | None:
    """How the masks of several objects that were not followed yet are found; None where the run does it by itself."""
    if project.whole or len(project.marked) < 2:
        return None

    def follow(clip: Path, remover: VideoRemover, progress: Progress) -> Marks:
        from osor_video.api import follow_project  # noqa: PLC0415  (loads torch)

        return follow_project(remover, clip, project, progress).marks()

    return follow


def _first_alone(project: Project) -> Project:
    """What can be checked against the clip beforehand."""
    return project.model_copy(update={"objects": project.marked[:1]})

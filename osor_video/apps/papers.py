"""The papers of ``remove`` at the command line: what was typed is checked before the run, every job leaves a line in the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osor_video.apps.exits import Terminated
from osor_video.apps.inputs import check_file_target, check_folder_target
from osor_video.errors import ConfigError, OsorError
from osor_video.provenance.papers import Papers
from osor_video.video.sequence import is_pattern

if TYPE_CHECKING:
    from osor_video.provenance.record import Record

LONGEST = 500
"""Characters that --operator and --reason may have."""


def check_papers(papers: Papers, source: Path, output: Path) -> None:
    """ConfigError for what cannot be done with ``output``, and for a place that cannot be written to."""
    check_file_target(papers.record, "--record", (".json",))
    if papers.record is not None and papers.record.absolute() == source.absolute():
        raise ConfigError(f"--record is {papers.record}, the project itself. Choose another name.")
    for option, text in (("--operator", papers.operator), ("--reason", papers.reason)):
        if text is not None and not papers.wanted:
            raise ConfigError(
                f"{option} goes into a record, and none is asked for. Add --record, --embed-record, --sign or --audit-log."
            )
        if text is not None and not 0 < len(text.strip()) <= LONGEST:
            raise ConfigError(
                f"{option} has {len(text)} characters, expected 1 to {LONGEST} that say something."
            )
    if papers.embed:
        _check_container(output, "--embed-record")
    if papers.sign is not None:
        from osor_video.provenance.content import read_credentials  # noqa: PLC0415  (loads torch)

        _check_container(output, "--sign")
        read_credentials(*papers.sign)
    if papers.audit_log is not None:
        from osor_video.provenance.audit import check_log  # noqa: PLC0415  (asked for by few)

        check_folder_target(papers.audit_log.parent, "--audit-log")
        check_log(papers.audit_log)


def _check_container(output: Path, option: str) -> None:
    from osor_video.video.streams import CONTAINERS  # noqa: PLC0415  (loads av)

    if is_pattern(output) or output.suffix.lower() not in CONTAINERS:
        raise ConfigError(
            f"{option} needs a video file to put something into, and -o is {output}. Name it with one of "
            f"{', '.join(CONTAINERS)}."
        )


@dataclass
class Outcome:
    """What a job came to, filled in while it runs."""

    record: Record | None = None


@contextmanager
def audited(papers: Papers, source: Path, output: Path) -> Iterator[Outcome]:
    """Add a line to the log of all jobs, where one is kept, however the block ends."""
    outcome = Outcome()
    try:
        yield outcome
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | Terminated)
        said = "stopped" if stopped else str(error) if isinstance(error, OsorError) else repr(error)
        try:
            _log(papers, source, output, {"status": "stopped" if stopped else "failed", "error": said})
        except ConfigError as also:
            error.add_note(str(also))
        raise
    record = outcome.record
    _log(papers, source, output, {"status": "done", "record": None if record is None else record.plain()})


def log_refused(given: Mapping[str, Any], error: OsorError) -> None:
    """Add a line about a job that was refused before it began, unless it is the log that does not do."""
    papers = Papers(audit_log=given["audit_log"], operator=given["operator"], reason=given["reason"])
    try:
        _log(papers, given["source"], given["output"], {"status": "failed", "error": str(error)})
    except ConfigError as also:
        if str(also) != str(error):
            error.add_note(str(also))


def _log(papers: Papers, source: Path, output: Path, told: dict[str, Any]) -> None:
    if papers.audit_log is None:
        return
    from osor_video.provenance.audit import append  # noqa: PLC0415  (asked for by few)
    from osor_video.provenance.record import utc_now  # noqa: PLC0415

    who = {"operator": papers.operator, "reason": papers.reason}
    append(papers.audit_log, {"time": utc_now(), "source": str(source), "output": str(output)} | who | told)

"""What was asked to go with a result: a record within it and beside it, a signature, a line in the log of all jobs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Papers:
    """The request; nothing of it is the default."""

    record: Path | None = None
    """JSON file for the record."""
    embed: bool = False
    """The record among the container's tags."""
    sign: tuple[Path, Path] | None = None
    """PEM files of the certificates and of the key."""
    audit_log: Path | None = None
    operator: str | None = None
    reason: str | None = None
    preset: str = "balanced"
    """What the settings are held against."""

    @property
    def wanted(self) -> bool:
        """Whether there is to be a record at all."""
        return bool(self.record or self.embed or self.sign or self.audit_log)


NO_PAPERS = Papers()

"""Reading back what goes with a clip: what it says was changed, and whether the clip is still what it speaks of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from osor_video.errors import ConfigError, VideoError
from osor_video.provenance import room
from osor_video.provenance.content import Signed, check_installed, has_traces, read_signed, sidecar
from osor_video.provenance.record import Record, material
from osor_video.video.packets import stream_hashes
from osor_video.video.sequence import is_pattern


@dataclass(frozen=True)
class Check:
    """One thing that was held against another: ``ok`` None where it could not be."""

    what: str
    ok: bool | None
    told: str


@dataclass(frozen=True)
class Findings:
    """What was found of a clip. ``record`` is from the signature, else from beside the clip, else from within it."""

    path: str
    record: Record | None
    checks: tuple[Check, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing was found wrong."""
        return all(check.ok is not False for check in self.checks)

    def plain(self) -> dict[str, Any]:
        """JSON's own types."""
        return {
            "file": self.path,
            "intact": self.intact,
            "checks": [asdict(check) for check in self.checks],
            "record": None if self.record is None else self.record.plain(),
        }


def verify_clip(
    path: Path, record: Path | None = None, trust: Path | None = None, source: Path | None = None
) -> Findings:
    """Hold the clip at ``path`` against its signature, its record within, the ``record`` beside, and its ``source``.

    ``trust``: PEM file of the certificates whose signatures are trusted. Raises ConfigError where there is nothing to hold it
    against, VideoError where the clip is not there.
    """
    beside = None if record is None else Record.read(record)
    if not is_pattern(path) and not path.is_file():
        raise VideoError(f"{path} does not exist or is no file. Give the path of a clip.")
    signed, checks = _signature(path, trust) if path.is_file() else (None, [])
    if signed is not None and signed.state != "invalid" and signed.record and signed.record.output.streams:
        checks.append(_streams(path, "record signed", signed.record))
    within, more = _within(path, bool(signed)) if path.is_file() else (None, [])
    checks += more
    if beside is not None:
        checks.append(_beside(path, beside))
    known = (signed.record if signed else None) or beside or within
    if not checks:
        raise ConfigError(
            f"{path} has no content credentials and no record within, so there is nothing to verify. Give its record with "
            "--record out.json."
        )
    if known is not None and known.signed and signed is None:
        lost = "the record says that the file was signed, and there is no signature"
        checks.append(Check("signature", False, lost))
    if source is not None:
        checks.append(_source(source, known))
    return Findings(str(path), known, tuple(checks))


def _signature(path: Path, trust: Path | None) -> tuple[Signed | None, list[Check]]:
    if trust is not None:
        check_installed("--trust")
    elif not (has_traces(path) or sidecar(path).is_file()):
        return None, []
    check_installed(f"{path} has content credentials; reading them")
    signed = read_signed(path, trust)
    if signed is None:
        return None, []
    where = f" in {signed.beside.name}" if signed.beside else ""
    if signed.state == "invalid":
        told = (
            f"the content credentials{where} do not fit the file: {', '.join(signed.faults) or 'not valid'}"
        )
        return signed, [Check("signature", False, told)]
    vouched = (
        "whom a trusted certificate vouches for"
        if signed.state == "trusted"
        else "whom no certificate that is trusted here vouches for (see --trust)"
    )
    told = (
        f"signed{where} by {signed.signer or 'somebody without a name'}, {vouched}; not a byte changed since"
    )
    return signed, [Check("signature", True, told)]


def _within(path: Path, signed: bool) -> tuple[Record | None, list[Check]]:
    """The record inside the file, and whether the rest of the file is as it says."""
    what = "record within"
    try:
        record = room.take(path)
    except room.DamagedRecordError:
        return None, [Check(what, False, "the record within the file is damaged or was changed")]
    if record is None:
        return None, []
    whole = record.output.sha256_without_record
    if whole is not None and not signed:
        same = room.sha256_without(path) == whole
        told = "nothing but the record was put into the file" if same else "the file was changed since"
        return record, [Check(what, same, told)]
    return record, [_streams(path, what, record)]


def _beside(path: Path, record: Record) -> Check:
    what = "record"
    if record.output.sha256 is None:
        return Check(what, None, "the record has no hash of the output, which went into a pipe")
    same = material(path).sha256 == record.output.sha256
    told = "the file is the one that the record speaks of" if same else "the file is not as the record has it"
    if not same and record.output.streams and path.is_file() and _streams(path, what, record).ok:
        told += "; its pictures, sound and other streams are, so that only what is around them was changed"
    return Check(what, same, told)


def _streams(path: Path, what: str, record: Record) -> Check:
    try:
        same = stream_hashes(path) == record.output.streams
    except VideoError:
        return Check(what, False, "the file can no longer be read as a clip")
    told = "pictures, sound and other streams are" + ("" if same else " not") + " as the record has them"
    return Check(what, same, told)


def _source(path: Path, record: Record | None) -> Check:
    what = "source"
    if record is None or record.source.sha256 is None:
        return Check(what, None, "no record says what the source was")
    same = material(path).sha256 == record.source.sha256
    told = f"{path.name} is {'' if same else 'not '}the clip that this was made of"
    return Check(what, same, told)

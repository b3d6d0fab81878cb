"""Content credentials (C2PA 2.x, c2pa.org) through c2pa-python: signing a finished file, and reading a signature back.

Nothing of it touches the network: no time is fetched from an authority, no manifest and no answer about a certificate either. A key
is read, handed to the library and forgotten; it stands in no message, record or log.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import struct
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from osor_video import __version__
from osor_video.errors import ConfigError, VideoError
from osor_video.provenance.record import Record

MIME = {".mp4": "video/mp4", ".m4v": "video/x-m4v", ".mov": "video/quicktime", ".avi": "video/avi"}
"""Containers that hold a manifest; beside others it lies in a file of its own."""
UNKNOWN_MIME = "application/octet-stream"
SIDECAR = ".c2pa"
ASSERTION = "com.osor.removal"
"""Label of the assertion that is the record."""
SOURCE_TYPE = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"  # IPTC's vocabulary
)
TRACES = (b"c2pa.claim", b"c2pa.signature")
"""Labels within every manifest."""
BOX_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""Of the box that holds a manifest in MP4 and its kin (C2PA 2.1, A.5)."""
BOX_HEAD = bytes(4) + b"manifest\0" + bytes(8)
BOX_KIND = bytes.fromhex("00110010800000aa00389b71") + b"\x03"
"""How the type of every box within a manifest ends (ISO 19566-5), and that it has a label."""
STORE = b"c2pa" + BOX_KIND + b"c2pa"
HOLDERS = tuple(
    kind + BOX_KIND + label
    for kind, label in (
        (b"c2as", b"c2pa.assertions"),
        (b"c2cl", b"c2pa.claim.v2"),
        (b"c2cs", b"c2pa.signature"),
    )
)
"""What a manifest of ours consists of (C2PA 2.1, 11.1)."""
COPY_MIB = 32
UNTRUSTED = "signingCredential.untrusted"
ALGORITHMS = {
    bytes.fromhex("06082a8648ce3d030107"): "es256",
    bytes.fromhex("06052b81040022"): "es384",
    bytes.fromhex("06052b81040023"): "es512",
    bytes.fromhex("06092a864886f70d010101"): "ps256",
    bytes.fromhex("06032b6570"): "ed25519",
}
"""By the object identifier of the public key's kind within a certificate (RFC 5480, 8017, 8410)."""
State = Literal["trusted", "valid", "invalid"]


@dataclass(frozen=True)
class Credentials:
    """Certificates in PEM, the signer's first, and the signer's key, likewise; the key shows in no ``repr``."""

    chain: bytes
    key: bytes = field(repr=False)
    algorithm: str


@dataclass(frozen=True)
class Signed:
    """What a file's manifest says.

    ``faults`` are C2PA's own codes where ``state`` is invalid; ``signer`` is the name in the certificate, ``record`` the record
    that was signed, where it is one of ours.
    """

    state: State
    faults: tuple[str, ...]
    signer: str
    record: Record | None
    beside: Path | None = None


def check_installed(option: str) -> None:
    """ConfigError where the package is not there."""
    try:
        import_module("c2pa")
    except ImportError as error:
        raise ConfigError(
            f"{option} needs the package c2pa-python. Run: pip install 'osor-video[c2pa]'"
        ) from error


def read_credentials(certificates: Path, key: Path) -> Credentials:
    """Read both files and sign a few bytes to see that they do; ConfigError says what is wrong with which."""
    check_installed("--sign")
    chain, secret = _pem(certificates, "certificate"), _pem(key, "key")
    if b"-----BEGIN CERTIFICATE-----" not in chain:
        raise ConfigError(f"{certificates} holds no certificate. Give --sign CERT.pem KEY.pem in this order.")
    if b"ENCRYPTED" in secret:
        raise ConfigError(
            f"The key {key} is encrypted. Give an open one that only you can read: openssl pkcs8 -topk8 -nocrypt."
        )
    if b"PRIVATE KEY-----" not in secret:
        raise ConfigError(f"{key} holds no private key. Give --sign CERT.pem KEY.pem in this order.")
    if b"-----BEGIN PRIVATE KEY-----" not in secret:
        raise ConfigError(
            f"The key {key} is in an older form than PKCS#8. Convert it: openssl pkcs8 -topk8 -nocrypt -in {key.name} -out new.pem."
        )
    credentials = Credentials(chain, secret, _algorithm(chain, certificates))
    _try_out(credentials, certificates, key)
    return credentials


def sidecar(path: Path) -> Path:
    """Where the manifest of the file at ``path`` lies if it cannot lie within."""
    return path.with_suffix(SIDECAR)


def sign(path: Path, title: str, source: Path, record: Record, credentials: Credentials) -> bytes | None:
    """Sign the whole file at ``path`` in place, by way of a neighbour; of a container that holds no manifest it is returned.

    ``title`` is the name the file will have, ``source`` what it was made of. Raises VideoError where the library does not sign it.
    """
    mime = MIME.get(path.suffix.lower())
    neighbour = path.with_name(f"{path.name}.signed")
    try:
        with path.open("rb") as file, _builder(title, mime or UNKNOWN_MIME, record) as builder:
            _add_source(builder, source)
            if mime is None:
                builder.set_no_embed()
                return bytes(builder.sign(_signer(credentials), UNKNOWN_MIME, file, BytesIO()))
            with neighbour.open("w+b") as signed:
                builder.sign(_signer(credentials), mime, file, signed)
                signed.flush()
                os.fsync(signed.fileno())
        neighbour.replace(path)
    except _library().C2paError as error:
        raise VideoError(f"{title} could not be signed ({error}). Nothing was kept.") from error
    finally:
        neighbour.unlink(missing_ok=True)
    return None


def read_signed(path: Path, trust: Path | None = None) -> Signed | None:
    """The manifest within or beside the file at ``path``, checked against its bytes; None where there is none.

    ``trust``: PEM file of the certificates that are trusted. Raises ConfigError where that is none.
    """
    beside = sidecar(path) if path.suffix.lower() not in MIME and sidecar(path).is_file() else None
    data = None if beside is None else beside.read_bytes()
    mime = UNKNOWN_MIME if beside else MIME.get(path.suffix.lower(), UNKNOWN_MIME)
    context = _context(None if trust is None else _pem(trust, "certificate").decode("ascii", "replace"))
    try:
        with (
            path.open("rb") as file,
            _library().Reader(mime, file, manifest_data=data, context=context) as reader,
        ):
            signed = _told(json.loads(reader.json()), beside)
        ours = signed.state != "invalid" and signed.record is not None
        if ours and not _as_written(_manifest_bytes(path, beside)):
            return replace(signed, state="invalid", faults=("the boxes of the manifest were changed",))
        return signed
    except _library().C2paError as error:
        if beside is None and not has_traces(path):
            return None
        return Signed("invalid", (f"the manifest cannot be read: {error}",), "", None, beside)


def _manifest_bytes(path: Path, beside: Path | None) -> bytes:
    """The manifest as it lies in the file at ``path`` or beside it; empty where it does not lie as it should."""
    if beside is not None:
        return beside.read_bytes()
    with path.open("rb") as file:
        while len(head := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", head)
            begin = file.tell() - 8
            if size == 1:
                size = struct.unpack(">Q", file.read(8))[0]
            if kind == b"uuid" and file.read(16) == BOX_UUID:
                inside = file.read(size - 24)
                return inside.removeprefix(BOX_HEAD) if inside.startswith(BOX_HEAD) else b""
            if size < 8:
                break
            file.seek(begin + size)
    return b""


def _as_written(manifest: bytes) -> bool:
    """Whether what no signature covers is in a manifest of ours as it always is.

    That is how the boxes lie in one another, the types and labels of those that hold others, and the zeros that fill up what was
    kept for the signature.
    """
    try:
        boxes = list(_boxes(manifest))
    except (ValueError, struct.error):
        return False
    ours = boxes[max((i for i, box in enumerate(boxes) if box[:4] == b"c2ma"), default=0) :]
    counted = {box: count for box, count in Counter(ours).items() if box[:4] in (b"c2as", b"c2cl", b"c2cs")}
    fill = re.search(
        rb"\xa1cpad(?:[\x40-\x57]|\x58(.)|\x59(..))", manifest[manifest.rfind(b"jumdc2cs") :], re.DOTALL
    )
    begun = boxes[:1] == [STORE] and ours[0].startswith(b"c2ma" + BOX_KIND)
    if not begun or counted != dict.fromkeys(HOLDERS, 1) or fill is None:
        return False
    rest = fill.string[fill.end() :]
    return not any(rest[: int.from_bytes(fill[1] or fill[2] or b"", "big")])


def _boxes(data: bytes) -> Iterator[bytes]:
    """Type, toggles and label of every box that holds others (ISO 19566-5), outer ones first; ValueError where one does not fit."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        if size < 8 or at + size > len(data):
            raise ValueError
        body = data[at + 8 : at + size]
        if kind == b"jumb":
            yield from _boxes(body)
        elif kind == b"jumd":
            yield body[: body.index(b"\0", 17)]
        at += size


def _asserted(record: Record) -> dict[str, str]:
    """The record as it is signed, in one text: read back, the library takes lists of small numbers for bytes."""
    values = record.compact().plain()
    kept = {key: value for key, value in values.items() if key not in ("room", "own_sha256")}
    return {"form": record.kind, "record": json.dumps(kept, ensure_ascii=False)}


def has_traces(path: Path) -> bool:
    """Whether the file has what only a manifest has, legible or not; tells without the library."""
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(trace) >= 0 for trace in TRACES)


def _library() -> Any:
    import c2pa  # noqa: PLC0415  (an option)

    return c2pa


def _context(trusted: str | None = None) -> Any:
    settings: dict[str, Any] = {
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
        # Copies it makes on the way are files from here on: memory does not grow with the clip.
        "core": {"backing_store_memory_threshold_in_mb": COPY_MIB},
    }
    if trusted is not None:
        settings["trust"] = {"user_anchors": trusted}
    library = _library()
    try:
        return library.Context(settings=library.Settings.from_dict(settings))
    except library.C2paError as error:
        raise ConfigError(
            f"The certificates of --trust cannot be used ({error}). Give the CA's in PEM."
        ) from error


def _signer(credentials: Credentials) -> Any:
    library, algorithm = _library(), credentials.algorithm.encode()
    info = library.C2paSignerInfo(algorithm, credentials.chain, credentials.key, None)
    return library.Signer.from_info(info)


def _builder(title: str, mime: str, record: Record | None) -> Any:
    agent = {"name": "osor-video", "version": __version__}
    edited: dict[str, Any] = {
        "action": "c2pa.edited",
        "digitalSourceType": SOURCE_TYPE,
        "softwareAgent": agent,
    }
    actions: list[dict[str, Any]] = [edited]
    assertions = []
    if record is None:
        actions = [{"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE}]
    else:
        edited |= {"when": record.started, "parameters": {"com.osor.seed": record.seed}}
        actions.insert(0, {"action": "c2pa.opened", "parameters": {"ingredientIds": ["source"]}})
        assertions.append({"label": ASSERTION, "data": _asserted(record)})
    manifest = {
        "claim_generator_info": [agent],
        "title": title,
        "format": mime,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}, *assertions],
    }
    return _library().Builder(manifest, context=_context())


def _add_source(builder: Any, source: Path) -> None:
    """The source as what this was made of, with the credentials it has; of a form that the library does not know, its name."""
    told = {"title": source.name, "relationship": "parentOf", "label": "source"}
    mime = MIME.get(source.suffix.lower())
    if mime is not None:
        with suppress(_library().C2paError), source.open("rb") as file:
            builder.add_ingredient_from_stream(told, mime, file)
            return
    builder.add_ingredient_from_stream(told, UNKNOWN_MIME, BytesIO(source.name.encode()))


def _pem(path: Path, what: str) -> bytes:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"The {what} {path} cannot be read ({error.strerror}). Give a PEM file.") from error
    if b"-----BEGIN " not in text:
        raise ConfigError(
            f"The {what} {path} is not in PEM, text that begins with -----BEGIN. Convert it with openssl."
        )
    return text


def _algorithm(chain: bytes, path: Path) -> str:
    """C2PA's name of the algorithm that goes with the first certificate's key."""
    body = chain.split(b"-----BEGIN CERTIFICATE-----", 1)[1].split(b"-----END")[0]
    with suppress(ValueError):
        certificate = b64decode(body)
        for identifier, name in ALGORITHMS.items():
            if identifier in certificate:
                return name
    raise ConfigError(
        f"The certificate {path} has no key of a kind that C2PA knows. Expected P-256, P-384, P-521, RSA or Ed25519."
    )


def _try_out(credentials: Credentials, certificates: Path, key: Path) -> None:
    """Sign a few bytes and read them back."""
    library, sample = _library(), b"osor-video"
    try:
        with _builder("trial", UNKNOWN_MIME, None) as builder:
            builder.set_no_embed()
            manifest = builder.sign(_signer(credentials), UNKNOWN_MIME, BytesIO(sample), BytesIO())
        with library.Reader(
            UNKNOWN_MIME, BytesIO(sample), manifest_data=manifest, context=_context()
        ) as reader:
            told = _told(json.loads(reader.json()), None)
            fault = ", ".join(told.faults) if told.state == "invalid" else ""
    except library.C2paError as error:
        fault = " ".join(str(error).split())
    if "claimSignature" in fault or "does not match the provided data" in fault:
        raise ConfigError(f"The key {key} does not belong to the certificate {certificates}. Give its own.")
    if fault:
        raise ConfigError(
            f"{certificates} and {key} cannot sign: {fault}. Give a certificate for signing that is in force (with extended key "
            "usage, such as emailProtection), those that vouch for it behind it, and its key."
        )


def _told(store: dict[str, Any], beside: Path | None) -> Signed:
    state = str(store.get("validation_state", "Invalid")).lower()
    codes = [item["code"] for item in store.get("validation_status") or ()]
    manifest = store.get("manifests", {}).get(store.get("active_manifest"))
    if manifest is None:
        return Signed("invalid", tuple(codes) or ("the active manifest is missing",), "", None, beside)
    signature = manifest.get("signature_info") or {}
    names = [signature[key] for key in ("common_name", "issuer") if signature.get(key)]
    records = [item["data"] for item in manifest.get("assertions", ()) if item["label"] == ASSERTION]
    record = None
    with suppress(ValidationError, KeyError):
        record = Record.model_validate_json(records[0]["record"]) if records else None
    known: State = "trusted" if state == "trusted" else "valid" if state == "valid" else "invalid"
    return Signed(known, tuple(c for c in codes if c != UNTRUSTED), ", ".join(names), record, beside)

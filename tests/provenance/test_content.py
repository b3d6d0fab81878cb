"""Signing with content credentials, and what the library's own reader says of the result."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner, Result

from osor_video.apps.cli import app
from osor_video.errors import ConfigError, VideoError
from osor_video.provenance import keep
from osor_video.provenance.content import ASSERTION, SOURCE_TYPE, read_credentials, read_signed
from osor_video.provenance.record import Record
from osor_video.provenance.verify import verify_clip
from osor_video.video.packets import stream_hashes
from tests.provenance.conftest import Remove

c2pa = pytest.importorskip("c2pa", reason="the extra c2pa is not installed")
from tests.provenance.certificates import Papers, make_papers, pem_key, private_key  # noqa: E402


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return make_papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def signed(remove: Remove, papers: Papers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``out.mp4``, signed and with its record within, ``out.json`` beside it."""
    out = tmp_path_factory.mktemp("signed") / "out.mp4"
    sign = ("--sign", papers.certificates, papers.key, "--operator", "Zoë", "--reason", "a face")
    done = remove("-o", out, "--record", out.with_suffix(".json"), *sign)
    assert done.exit_code == 0, done.output
    return out


def verify(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


def boxes(data: bytes) -> dict[bytes, tuple[int, int]]:
    """Begin and end of each box of an MP4."""
    found, at = {}, 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        found[kind] = (at, at + size)
        at += size
    return found


def test_the_librarys_own_reader_finds_it_valid(signed: Path, papers: Papers, clip: Path) -> None:
    anchors = {"trust": {"user_anchors": papers.ca.read_text()}}
    trusting = c2pa.Context(settings=c2pa.Settings.from_dict(anchors))
    with c2pa.Reader(str(signed), context=trusting) as reader:
        store = json.loads(reader.json())
    assert store["validation_state"] == "Trusted"
    manifest = store["manifests"][store["active_manifest"]]
    (source,) = manifest["ingredients"]
    assert (source["title"], source["relationship"]) == (clip.name, "parentOf")
    assertions = {item["label"]: item["data"] for item in manifest["assertions"]}
    opened, edited = assertions["c2pa.actions.v2"]["actions"]
    assert (opened["action"], edited["action"]) == ("c2pa.opened", "c2pa.edited")
    assert edited["digitalSourceType"] == SOURCE_TYPE
    assert edited["softwareAgent"]["name"] == "osor-video"
    record = Record.model_validate_json(assertions[ASSERTION]["record"])
    beside = Record.read(signed.with_suffix(".json"))
    assert (record.operator, record.touched, record.signed) == ("Zoë", beside.touched, True)
    assert record.source == beside.source
    assert "private" not in json.dumps(store).lower()


def test_signing_changes_no_stream(remove: Remove, signed: Path, tmp_path: Path) -> None:
    assert remove("-o", tmp_path / "plain.mp4").exit_code == 0
    assert stream_hashes(tmp_path / "plain.mp4") == stream_hashes(signed)


def test_verify_says_what_was_changed(signed: Path, papers: Papers, clip: Path) -> None:
    done = verify(signed, "--trust", papers.ca, "--record", signed.with_suffix(".json"), "--source", clip)
    assert done.exit_code == 0, done.output
    for line in (
        f"{signed}: intact",
        "signed by Zoë, Moderation, whom a trusted certificate vouches for",
        "the file is the one that the record speaks of",
        "square.mp4 is the clip that this was made of",
        "in 6 of 6 frames at 128x96: 0-5",
        "by        Zoë",
        "why       a face",
    ):
        assert line in done.output
    assert "no certificate that is trusted here" in verify(signed).output


@pytest.mark.parametrize("box", [b"ftyp", b"uuid", b"moov", b"mdat"])
def test_a_flipped_byte_is_found(signed: Path, tmp_path: Path, box: bytes) -> None:
    data, random = signed.read_bytes(), Random(box)
    begin, end = boxes(data)[box]
    where = {begin + 4, begin + 8, end - 1, *(random.randrange(begin, end) for _ in range(12))}
    for place in where:
        changed = bytearray(data)
        changed[place] ^= 1 << random.randrange(8)
        (tmp_path / "out.mp4").write_bytes(changed)
        assert not verify_clip(tmp_path / "out.mp4").intact, place
    done = verify(tmp_path / "out.mp4", "--json")
    assert done.exit_code == 1
    assert json.loads(done.output)["intact"] is False


def test_another_signature_or_none_is_told(
    signed: Path, papers: Papers, tmp_path: Path, remove: Remove
) -> None:
    others = make_papers(tmp_path / "others")
    found = read_signed(signed, others.ca)
    assert found is not None
    assert found.state == "valid"  # whole, but nobody trusted vouches for it
    out = tmp_path / "again.mp4"
    assert remove("-o", out, "--embed-record", "--sign", papers.certificates, papers.key).exit_code == 0
    data = bytearray(out.read_bytes())
    begin, _ = boxes(bytes(data))[b"uuid"]
    # As another muxer would leave it: the manifest's box free for other use.
    data[begin + 4 : begin + 24] = b"free" + bytes(16)
    out.write_bytes(data.replace(b"c2pa.", b"gone."))
    done = verify(out)
    assert done.exit_code == 1
    assert "the record says that the file was signed, and there is no signature" in done.output


def test_matroska_gets_its_manifest_beside_it(remove: Remove, papers: Papers, tmp_path: Path) -> None:
    out, beside = tmp_path / "out.mkv", tmp_path / "out.c2pa"
    done = remove("-o", out, "--sign", papers.certificates, papers.key)
    assert done.exit_code == 0, done.output
    found = read_signed(out, papers.ca)
    assert found is not None
    assert (found.state, found.beside) == ("trusted", beside)
    assert verify(out).exit_code == 0
    manifest, data = beside.read_bytes(), out.read_bytes()
    for file, whole in ((out, data), (beside, manifest)):
        for place in (3, len(whole) // 3, len(whole) - 1):
            changed = bytearray(whole)
            changed[place] ^= 1
            file.write_bytes(changed)
            assert not verify_clip(out).intact
        file.write_bytes(whole)
    assert verify(out).exit_code == 0
    beside.unlink()
    none = verify(out)
    assert none.exit_code == 2
    assert "nothing to verify" in none.stderr


def test_the_record_within_and_the_signature_get_on(remove: Remove, papers: Papers, tmp_path: Path) -> None:
    out = tmp_path / "out.mov"
    done = remove("-o", out, "--embed-record", "--sign", papers.certificates, papers.key)
    assert done.exit_code == 0, done.output
    checks = verify_clip(out).checks
    assert [(check.what, check.ok) for check in checks] == [
        *[("signature", True), ("record signed", True), ("record within", True)]
    ]


def test_a_signed_source_becomes_an_ingredient_with_its_history(
    remove: Remove, signed: Path, papers: Papers, tmp_path: Path
) -> None:
    out = tmp_path / "second.mp4"
    assert remove("-o", out, "--sign", papers.certificates, papers.key, source=signed).exit_code == 0
    with c2pa.Reader(str(out)) as reader:
        store = json.loads(reader.json())
    assert len(store["manifests"]) == 2
    assert store["validation_state"] == "Valid"
    assert verify_clip(out).intact


@pytest.mark.parametrize("kind", ["RSA", "Ed25519"])
def test_other_kinds_of_keys(kind: str, remove: Remove, tmp_path: Path) -> None:
    files, out = make_papers(tmp_path, kind), tmp_path / "out.mp4"
    done = remove("-o", out, "--sign", files.certificates, files.key)
    assert done.exit_code == 0, done.output
    assert verify(out).exit_code == 0


def test_what_cannot_sign_is_said_before_the_run(papers: Papers, tmp_path: Path) -> None:
    key, other = tmp_path / "k.pem", private_key()

    def said(content: bytes, certificates: Path = papers.certificates) -> str:
        key.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            read_credentials(certificates, key)
        secret = content.split(b"\n")[1:-2] if content.count(b"\n") > 2 else []
        assert not any(line.decode() in str(caught.value) for line in secret)
        return str(caught.value)

    assert "does not belong to the certificate" in said(pem_key(other))
    assert "is encrypted" in said(pem_key(other, b"secret"))
    assert "older form than PKCS#8" in said(pem_key(other, form="TraditionalOpenSSL"))
    assert "is not in PEM" in said(b"\x00\x01")
    assert "holds no private key" in said(papers.certificates.read_bytes())
    own = papers.key.read_bytes()
    assert "holds no certificate" in said(own, papers.key)
    assert "cannot be read" in said(own, tmp_path / "none.pem")
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert "has no key of a kind that C2PA knows" in said(own, broken)
    assert "self-signed" in said(own, papers.ca)
    expired = make_papers(tmp_path / "expired", days=-1)
    assert "cannot sign" in said(expired.key.read_bytes(), expired.certificates)
    assert "BEGIN" not in repr(read_credentials(papers.certificates, papers.key)).split("algorithm")[1]


@pytest.mark.parametrize("name", ["-", "out.%04d.png"])
def test_what_holds_no_signature(remove: Remove, papers: Papers, tmp_path: Path, name: str) -> None:
    target = name if name == "-" else tmp_path / name
    done = remove("-o", target, "--sign", papers.certificates, papers.key)
    assert done.exit_code == 2
    assert "--sign needs a video file" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_where_signing_fails(
    remove: Remove, papers: Papers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"older")

    def refuse(*_: object) -> None:
        raise VideoError("could not be signed")

    monkeypatch.setattr(keep, "sign", refuse)
    done = remove("-o", out, "--sign", papers.certificates, papers.key, "--record", tmp_path / "r.json")
    assert done.exit_code == 2
    assert "could not be signed" in done.stderr
    assert out.read_bytes() == b"older"
    assert not (tmp_path / "r.json").exists()
    assert not list(tmp_path.glob(".out*"))


def test_no_key_is_written_anywhere(remove: Remove, papers: Papers, tmp_path: Path) -> None:
    log, out = tmp_path / "log.jsonl", tmp_path / "out.mp4"
    report = ("--report", tmp_path / "report.json", "--record", tmp_path / "r.json", "--audit-log", log)
    assert remove("-o", out, "--sign", papers.certificates, papers.key, *report).exit_code == 0
    secret = papers.key.read_bytes().splitlines()[1]
    assert all(secret not in path.read_bytes() for path in tmp_path.iterdir())
    assert verify(log).exit_code == 0


def test_a_run_that_goes_on_is_signed_at_its_end(
    remove: Remove, papers: Papers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, sign = tmp_path / "out.mp4", ("--sign", papers.certificates, papers.key, "--set", "checkpoint_s=0")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(keep, "sign", stop)
        assert remove("-o", out, *sign).exit_code == 130
    assert not out.exists()
    done = remove("-o", out, *sign, "--resume", "--record", tmp_path / "r.json")
    assert done.exit_code == 0, done.output
    assert remove("-o", tmp_path / "whole.mp4").exit_code == 0
    assert stream_hashes(out) == stream_hashes(tmp_path / "whole.mp4")
    found = read_signed(out, papers.ca)
    assert found is not None
    assert found.state == "trusted"
    # The masks of frames that an earlier run followed count too.
    assert remove("-o", tmp_path / "w.mp4", "--record", tmp_path / "w.json").exit_code == 0
    both = Record.read(tmp_path / "r.json"), Record.read(tmp_path / "w.json")
    assert both[0].masks_sha256 == both[1].masks_sha256

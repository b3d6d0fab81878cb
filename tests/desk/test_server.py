"""The desk over HTTP, without a browser: who is let in, which files can be reached, and how projects change."""

from __future__ import annotations

import base64
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from osor_video.apps.cli import app
from osor_video.desk.desk import checked_name
from osor_video.desk.guard import is_loopback, known_hosts
from osor_video.errors import ConfigError
from osor_video.project import Project, decode_mask, encode_mask
from tests.apps.clips import FRAMES, SIZE_HW, square_clip, square_mask
from tests.desk.conftest import Served

Serve = Callable[..., Served]


class Client:
    """A browser's stand-in that can be made to lie."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.cookie = f"osor_desk_{served.port}={served.token}"

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; a header set to '' is left out."""
        own = {"Host": f"127.0.0.1:{self.served.port}", "Cookie": self.cookie, **(headers or {})}
        link = http.client.HTTPConnection("127.0.0.1", self.served.port, timeout=30)
        link.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        if body is not None and "Content-Length" not in own:
            own["Content-Length"] = str(len(body))
        for name, value in own.items():
            if value:
                link.putheader(name, value)
        link.endheaders(body)
        answer = link.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        link.close()
        return found

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        status, _, text = self.send(method, f"/api/{path}", data, {"Content-Type": "application/json"})
        return status, json.loads(text)


@pytest.fixture
def client(serve: Serve) -> Client:
    return Client(serve())


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return square_clip(tmp_path_factory.mktemp("square"))[0]


@pytest.fixture
def opened(client: Client, clip: Path) -> dict[str, Any]:
    status, state = client.ask("POST", "open", {"path": str(clip)})
    assert status == 200
    return dict(state)


def mask_op(frame: int, target: int | str = 1, mask: Any = None) -> dict[str, Any]:
    png = encode_mask(square_mask(frame) if mask is None else mask)
    return {"op": "mask", "target": target, "frame": frame, "png": png}


# --- who is let in ----------------------------------------------------------------------------------------


def test_the_token_opens_the_page_and_becomes_a_strict_cookie(client: Client) -> None:
    status, headers, body = client.send("GET", f"/?token={client.served.token}", headers={"Cookie": ""})
    assert status == 200
    assert b"osor_video desk" in body
    cookie = headers["set-cookie"]
    for part in (client.cookie, "HttpOnly", "SameSite=Strict"):
        assert part in cookie
    assert headers["content-security-policy"].startswith("default-src 'self'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/", "/static/app.js", "/api/desk", "/?token=wrong", "/api/desk?token=wrong"]
)
def test_without_the_token_nothing_is_told(client: Client, path: str) -> None:
    status, _, body = client.send("GET", path, headers={"Cookie": ""})
    assert status == 403
    assert b"token is missing" in body


def test_the_token_in_the_address_is_for_the_page_alone(client: Client) -> None:
    path = f"/api/desk?token={client.served.token}"
    assert client.send("GET", path, headers={"Cookie": ""})[0] == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", "", "127.0.0.1.evil:{port}"]
)
def test_a_name_that_was_rebound_here_is_refused(client: Client, host: str) -> None:
    named = host.format(port=client.served.port) or " "
    status, _, body = client.send("GET", "/api/desk", headers={"Host": named})
    assert status == 421
    assert b"error" in body


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_origins_are_refused(client: Client, clip: Path, headers: dict[str, str]) -> None:
    body = json.dumps({"path": str(clip)}).encode()
    sent = {"Content-Type": "application/json", **headers}
    assert client.send("POST", "/api/open", body, sent)[0] == 403
    assert client.served.desk.sessions == {}
    own = {
        "Content-Type": "application/json",
        "Origin": client.served.address,
        "Sec-Fetch-Site": "same-origin",
    }
    assert client.send("POST", "/api/open", body, own)[0] == 200


def test_which_hosts_are_ours() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")
    assert "*" not in known_hosts("127.0.0.1")
    assert "*" in known_hosts("0.0.0.0")


def test_there_are_no_pages_of_the_framework(client: Client) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.send("GET", path)[0] == 404


# --- which files can be reached ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static//etc/passwd",
        "/api/sessions/..%2f..%2fetc/frames/0.jpg",
    ],
)
def test_paths_lead_nowhere_else(client: Client, path: str) -> None:
    status, _, body = client.send("GET", path)
    assert status == 404
    assert b"import" not in body
    assert b"root:" not in body


@pytest.mark.parametrize(
    ("path", "said"),
    [("/etc/passwd", "by its name"), ("/nowhere/clip.mp4", "does not exist"), ("", "by its name")],
)
def test_only_films_are_opened_by_path(client: Client, path: str, said: str) -> None:
    status, answer = client.ask("POST", "open", {"path": path})
    assert status == 422
    assert said in answer["error"]


def test_a_film_of_the_wrong_kind_inside_is_refused(client: Client, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("secret words", encoding="utf-8")
    status, answer = client.ask("POST", "open", {"path": str(tmp_path / "a.mp4")})
    assert status == 422
    assert "not a readable video" in answer["error"]
    assert "secret" not in answer["error"]


@pytest.mark.parametrize(
    "words",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}/a.ts\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {url}/a.mp4\n",
    ],
)
def test_a_playlist_in_a_films_clothes_calls_nobody(client: Client, words: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.5)
        text = words.format(url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        status, _, body = client.send("POST", "/api/upload?name=walk.ts", text.encode())
        assert status == 422
        assert b"not a readable video" in body
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_desk_for_others_opens_no_paths(serve: Serve, clip: Path) -> None:
    client = Client(serve(paths=False))
    assert client.ask("POST", "open", {"path": str(clip)})[0] == 403
    name = "/api/upload?name=walk.mp4"
    assert client.send("POST", name, clip.read_bytes())[0] == 200


def test_uploads_are_bounded_checked_and_not_named_by_the_client(serve: Serve, clip: Path) -> None:
    served = serve(upload_mb=1)
    client = Client(served)
    status, _, body = client.send("POST", "/api/upload?name=walk.mp4", clip.read_bytes())
    assert status == 200
    session = served.desk.sessions[json.loads(body)["id"]]
    assert session.clip.parent == served.desk.folder.resolve()
    assert session.name == "walk.mp4"
    large = {"Content-Length": str(2 << 20)}
    status, _, body = client.send("POST", "/api/upload?name=walk.mp4", None, large)
    assert status == 413
    assert b"--max-upload-mb" in body
    chunked = b"%x\r\n" % (2 << 20) + b"0" * (2 << 20) + b"\r\n0\r\n\r\n"
    sent = {"Transfer-Encoding": "chunked", "Content-Length": ""}
    assert client.send("POST", "/api/upload?name=walk.mp4", chunked, sent)[0] == 413
    for name in ("..%2fwalk.mp4", "a%5cb.mp4", ".mp4", "walk.sh", "%2fetc%2fwalk.mp4"):
        assert client.send("POST", f"/api/upload?name={name}", b"x")[0] == 422
    assert len(list(served.desk.folder.glob("upload-*"))) == 1


@pytest.mark.parametrize(
    "name", ["../a.mp4", "a/b.mp4", "", ".a.mp4", "a\x00.mp4", " a.mp4", "C:a.mp4", "a\\b.mp4"]
)
def test_names_that_are_more_than_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="expected that of a file without a folder"):
        checked_name(name)


def test_a_project_is_saved_beside_the_clip_and_nowhere_else(
    client: Client, opened: dict[str, Any], clip: Path
) -> None:
    key = opened["id"]
    client.ask("POST", f"sessions/{key}/edit", {"version": 1, "ops": [mask_op(0)]})
    for name in ("../p.json", "p.mp4", clip.name):
        assert client.ask("POST", f"sessions/{key}/project/save", {"name": name})[0] == 422
    status, answer = client.ask("POST", f"sessions/{key}/project/save", {"name": "p.json"})
    assert status == 200
    assert Path(answer["path"]) == clip.parent.resolve() / "p.json"
    project = Project.read(clip.parent / "p.json")
    assert project.clip == clip.name
    np.testing.assert_array_equal(decode_mask(project.objects[0].masks[0], SIZE_HW, "it"), square_mask(0))
    assert client.ask("POST", f"sessions/{key}/project/save", {"name": "p.json"})[0] == 412
    assert client.ask("POST", f"sessions/{key}/project/save", {"name": "p.json", "overwrite": True})[0] == 200
    # And it can be opened again, by its path or onto its clip.
    status, again = client.ask("POST", "open", {"path": str(clip.parent / "p.json")})
    assert status == 200
    assert again["objects"][0]["keys"] == [0]
    text = (clip.parent / "p.json").read_text(encoding="utf-8")
    status, taken = client.ask("POST", f"sessions/{key}/project", {"text": text})
    assert status == 200
    assert taken["version"] == 3


def test_an_uploaded_clip_has_no_place_beside(client: Client, clip: Path) -> None:
    _, _, body = client.send("POST", "/api/upload?name=walk.mp4", clip.read_bytes())
    key = json.loads(body)["id"]
    status, answer = client.ask("POST", f"sessions/{key}/project/save", {"name": "p.json"})
    assert status == 422
    assert "Download" in answer["error"]
    status, headers, text = client.send("GET", f"/api/sessions/{key}/project")
    assert "walk.json" in headers["content-disposition"]
    assert json.loads(text)["clip"] == "walk.mp4"


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"flow.weights": "/etc/passwd"}},
        {"settings": {"removal.model": "/etc"}},
        {"settings": {"no.such": 1}},
        {"frames": 7},
        {"width": 9},
        {"objects": [{"masks": {"0": base64.b64encode(b"no picture").decode()}}]},
    ],
)
def test_a_project_that_does_not_fit_or_names_files_is_refused(
    client: Client, opened: dict[str, Any], changes: dict[str, Any]
) -> None:
    project = Project(clip="x.mp4", frames=FRAMES, width=SIZE_HW[1], height=SIZE_HW[0])
    text = json.dumps({**json.loads(project.to_json()), **changes})
    status, answer = client.ask("POST", f"sessions/{opened['id']}/project", {"text": text})
    assert status == 422
    assert answer["error"].count(".") >= 1
    assert client.ask("GET", f"sessions/{opened['id']}")[1]["version"] == 1


# --- frames, masks, versions ------------------------------------------------------------------------------


def test_frames_come_in_any_order(client: Client, opened: dict[str, Any]) -> None:
    key = opened["id"]
    for frame in (3, 0, 5, 1):
        status, headers, data = client.send("GET", f"/api/sessions/{key}/frames/{frame}.jpg")
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        picture = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))[..., ::-1]
        red = (picture[..., 0] > 180) & (picture[..., 1] < 90)
        assert (red & square_mask(frame)).sum() > 0.9 * square_mask(frame).sum()
    assert client.send("GET", f"/api/sessions/{key}/thumbs/2.jpg")[0] == 200
    status, answer = client.ask("GET", f"sessions/{key}/frames/{FRAMES}.jpg")
    assert status == 422
    assert "There is no frame 6" in answer["error"]
    assert client.send("GET", "/api/sessions/none/frames/0.jpg")[0] == 404


def test_the_later_of_two_writers_is_told(client: Client, opened: dict[str, Any]) -> None:
    edit = f"sessions/{opened['id']}/edit"
    assert client.ask("POST", edit, {"version": 1, "ops": [mask_op(0)]})[1]["version"] == 2
    status, answer = client.ask("POST", edit, {"version": 1, "ops": [mask_op(2)]})
    assert status == 409
    assert "Another window changed this project" in answer["error"]
    assert client.ask("GET", f"sessions/{opened['id']}")[1]["objects"][0]["keys"] == [0]


def test_changes_are_taken_together_or_not_at_all(client: Client, opened: dict[str, Any]) -> None:
    edit = f"sessions/{opened['id']}/edit"
    small = np.zeros((4, 4), dtype=bool)
    for bad in (
        mask_op(0, mask=small),
        mask_op(FRAMES - 1) | {"frame": 99},
        mask_op(0, target=7),
        {"op": "x"},
    ):
        assert client.ask("POST", edit, {"version": 1, "ops": [mask_op(1), bad]})[0] == 422
    assert client.ask("GET", f"sessions/{opened['id']}")[1]["objects"][0]["keys"] == []
    status, answer = client.ask(
        "POST", edit, {"version": 1, "ops": [{"op": "settings", "settings": {"seed": "x"}}]}
    )
    assert status == 422
    assert "seed is 'x'" in answer["error"]


def test_objects_regions_and_settings(client: Client, opened: dict[str, Any]) -> None:
    key = opened["id"]
    ops = [
        {"op": "add", "name": "Dog"},
        mask_op(0),
        mask_op(2, target="keep"),
        {"op": "settings", "preset": "fast", "settings": {"encode.crf": 20}, "container": ".mkv"},
    ]
    status, state = client.ask("POST", f"sessions/{key}/edit", {"version": 1, "ops": ops})
    assert status == 200
    assert [item["name"] for item in state["objects"]] == ["Object 1", "Dog"]
    assert state["effective"]["encode.crf"] == 20
    status, seen = client.ask("GET", f"sessions/{key}/masks/4")
    assert seen["keep"]["kind"] == "held"
    assert seen["objects"] == {}
    # Wiped clean later on, the region ends there; wiped clean where it begins, it is gone.
    empty = np.zeros(SIZE_HW, dtype=bool)
    ops = [mask_op(3, target="keep", mask=empty), mask_op(0, mask=empty)]
    _, state = client.ask("POST", f"sessions/{key}/edit", {"version": 2, "ops": ops})
    assert state["keep"] == [2, 3]
    assert state["objects"][0]["keys"] == []
    ops = [mask_op(2, target="keep", mask=empty), {"op": "rename", "target": 2, "name": "Cat"}]
    _, state = client.ask("POST", f"sessions/{key}/edit", {"version": 3, "ops": ops})
    assert state["keep"] == [3]
    assert state["objects"][1]["name"] == "Cat"
    ops = [{"op": "delete", "target": 2}]
    _, state = client.ask("POST", f"sessions/{key}/edit", {"version": 4, "ops": ops})
    assert len(state["objects"]) == 1


def test_what_a_correction_makes_stale_is_followed_anew_and_nothing_else(
    client: Client, opened: dict[str, Any]
) -> None:
    key = opened["id"]
    session = client.served.desk.sessions[key]
    client.ask("POST", f"sessions/{key}/edit", {"version": 1, "ops": [mask_op(0), mask_op(4)]})
    (thing,) = session.things
    assert thing.spans(FRAMES) == [(0, 5), (4, 6)]
    for frame in range(FRAMES):
        session.hear(1, frame, encode_mask(square_mask(frame)), 0.9 if frame != 3 else 0.3, version=2)
    state = session.state()
    assert state["to_follow"] == 0
    assert state["doubts"] == [{"first": 3, "last": 3, "worst": 3, "score": 0.3}]
    assert session.project().whole
    client.ask("POST", f"sessions/{key}/edit", {"version": 2, "ops": [mask_op(2)]})
    assert thing.spans(FRAMES) == [(0, 3), (2, 5)]
    assert [score is None for score in session.scores()] == [False, True, False, True, False, False]
    # What a job found that began before the correction is out of date there, and not elsewhere.
    session.hear(1, 3, encode_mask(square_mask(3)), 0.8, version=2)
    session.hear(1, 5, encode_mask(square_mask(5)), 0.7, version=2)
    assert [score is None for score in session.scores()] == [False, True, False, True, False, False]
    assert session.scores()[5] == 0.7
    # Another way of following makes all stale; another quality of encoding nothing.
    for frame in (1, 3):
        session.hear(1, frame, encode_mask(square_mask(frame)), 0.8, version=3)
    ops = [{"op": "settings", "settings": {"encode.crf": 30}}]
    assert client.ask("POST", f"sessions/{key}/edit", {"version": 3, "ops": ops})[1]["to_follow"] == 0
    ops = [{"op": "settings", "settings": {"mask.tracker": "refined"}}]
    assert client.ask("POST", f"sessions/{key}/edit", {"version": 4, "ops": ops})[1]["to_follow"] > 0


def test_work_that_makes_no_sense_is_refused(client: Client, opened: dict[str, Any]) -> None:
    key = opened["id"]
    status, answer = client.ask("POST", f"sessions/{key}/jobs", {"kind": "run"})
    assert status == 422
    assert "Nothing is marked yet" in answer["error"]
    client.ask("POST", f"sessions/{key}/edit", {"version": 1, "ops": [mask_op(0)]})
    assert client.ask("POST", f"sessions/{key}/jobs", {"kind": "preview", "frame": 77})[0] == 422
    assert client.ask("POST", f"sessions/{key}/jobs", {"kind": "dance"})[0] == 422
    assert client.ask("DELETE", f"sessions/{key}/jobs/none")[0] == 404


def test_a_worker_that_dies_is_told_of_and_replaced(client: Client, opened: dict[str, Any]) -> None:
    key = opened["id"]
    client.ask("POST", f"sessions/{key}/edit", {"version": 1, "ops": [mask_op(0)]})
    _, job = client.ask("POST", f"sessions/{key}/jobs", {"kind": "propagate"})
    queue = client.served.desk.queue
    while queue._process is None or queue._process.pid is None:
        time.sleep(0.05)
    queue._process.kill()
    for _ in range(200):
        (seen,) = client.ask("GET", f"sessions/{key}/pulse?revision=0")[1]["jobs"]
        if seen["state"] == "failed":
            break
        time.sleep(0.05)
    assert seen["id"] == job["id"]
    assert "memory runs out" in seen["error"]
    _, first = client.ask("POST", f"sessions/{key}/jobs", {"kind": "propagate"})
    _, second = client.ask("POST", f"sessions/{key}/jobs", {"kind": "propagate"})
    for waiting in (second, first):
        assert client.ask("DELETE", f"sessions/{key}/jobs/{waiting['id']}")[0] == 200
    jobs = client.ask("GET", f"sessions/{key}/pulse?revision=0")[1]["jobs"]
    assert jobs[-1]["state"] == "cancelled"


# --- the command ------------------------------------------------------------------------------------------


def test_the_command_refuses_what_it_cannot_serve(tmp_path: Path, served_port: int) -> None:
    run = CliRunner().invoke
    done = run(app, ["ui", str(tmp_path / "none.mp4"), "--no-browser"])
    assert done.exit_code == 2
    assert "does not exist" in done.stderr
    done = run(app, ["ui", "--no-browser", "--port", str(served_port)])
    assert done.exit_code == 2
    assert "cannot be had" in done.stderr


def test_the_command_serves_a_clip_until_it_is_closed(clip: Path) -> None:
    command = [sys.executable, "-m", "osor_video", "ui", str(clip), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        told = running.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=([\w-]+)#(\w+)", told)
        assert found, told
        port, token, session = int(found[1]), found[2], found[3]
        for _ in range(100):
            try:
                link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                cookie = {"Cookie": f"osor_desk_{port}={token}"}
                link.request("GET", f"/api/sessions/{session}", headers=cookie)
                state = json.loads(link.getresponse().read())
                break
            except ConnectionError:
                time.sleep(0.1)
            finally:
                link.close()
        running.send_signal(signal.SIGINT)
        _, complaints = running.communicate(timeout=60)
    assert state["name"] == clip.name
    assert running.returncode == 0, complaints
    assert complaints == ""


@pytest.fixture
def served_port(serve: Serve) -> int:
    return serve().port

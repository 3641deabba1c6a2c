"""Pulling a model, from a hub of our own on this machine: the real client, no network."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from audiocraft_files import export

from generation.checkpoints import RECORD, held_in, weight_digest
from generation.musicgen import MusicGen

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PULL = """
import json, sys
from generation.downloads import pull_model
from generation.errors import GenerationError
steps = []
try:
    path = pull_model(sys.argv[1], progress=lambda done, total: steps.append((done, total)))
except GenerationError as error:
    print(json.dumps({"error": str(error)}))
else:
    print(json.dumps({"path": str(path), "steps": steps}))
"""


@dataclass
class Hub:
    """The two routes of the hub's interface that a download uses."""

    url: str
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            path = self.path.split("?")[0]
            for repository, files in hub.repositories.items():
                if f"{path}/".startswith(f"/api/models/{repository}/"):
                    listed = [
                        {"type": "file", "path": name, "rfilename": name, "size": len(data), "oid": "0" * 40}
                        for name, data in files.items()
                    ]
                    content: Any = listed
                    if "/tree/" not in path:
                        content = {"id": repository, "sha": COMMIT, "siblings": listed, "private": False}
                    self.send(json.dumps(content).encode(), body, {"Content-Type": "application/json"})
                    return
                name = path.removeprefix(f"/{repository}/resolve/{COMMIT}/")
                if name in files:
                    if body:
                        hub.asked.append(name)
                    etag = hashlib.sha256(files[name]).hexdigest()
                    self.send(files[name], body, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
                    return
            self.send(b"{}", body, {"X-Error-Code": "RepoNotFound"}, status=404)

        def send(self, data: bytes, body: bool, headers: dict[str, str], status: int = 200) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Keep the tests' output clean."""

    return Handler


@pytest.fixture
def hub() -> Iterator[Hub]:
    state = Hub("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(state))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def pull(name: str, hub: Hub, tmp_path: Path, **environment: str) -> dict[str, Any]:
    variables = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "AUDIOLIB_MODELS": str(tmp_path / "models"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-c", PULL, name], capture_output=True, text=True, env={**os.environ, **variables}
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_pickles_alone_are_converted_and_go(
    hub: Hub, reference: Any, reference_folder: Path, tmp_path: Path
) -> None:
    import io

    import torch

    stream = io.BytesIO()
    torch.save(reference.state_dict(), stream)
    others = {name: data for name, data in files_of(reference_folder).items() if ".safetensors" not in name}
    hub.repositories["facebook/musicgen-old"] = {**others, "pytorch_model.bin": stream.getvalue()}
    result = pull("musicgen-old", hub, tmp_path)
    path = Path(result["path"])
    assert {entry.name for entry in path.iterdir() if entry.is_file()} == {
        *others,
        "model.safetensors",
        RECORD,
    }
    expected = MusicGen.from_pretrained(reference_folder).generate("calm", max_steps=6, seed=1)
    assert (MusicGen.from_pretrained(path).generate("calm", max_steps=6, seed=1) == expected).all()


def test_audiocrafts_own_files_are_converted_and_go(
    hub: Hub, reference: Any, reference_folder: Path, tmp_path: Path
) -> None:
    """T5 is missing at first: what has arrived stays, and the same command goes on once it is there."""
    export(reference, tmp_path / "export")
    hub.repositories["someone/musicgen-own"] = {
        **files_of(tmp_path / "export"),
        "README.md": b"---\nlicense: mit\n",
    }
    assert "models pull google-t5/t5-base" in pull("someone/musicgen-own", hub, tmp_path)["error"]
    folder = tmp_path / "models" / "musicgen-own"
    assert (folder / "state_dict.bin").is_file()
    reference.text_encoder.save_pretrained(tmp_path / "t5")
    shutil.copy(reference_folder / "spiece.model", tmp_path / "t5")
    hub.repositories["google-t5/t5-base"] = files_of(tmp_path / "t5")
    assert "path" in pull("google-t5/t5-base", hub, tmp_path)
    assert pull("someone/musicgen-own", hub, tmp_path)["path"] == str(folder)
    assert {entry.name for entry in folder.iterdir() if entry.is_file()} == {
        RECORD,
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "spiece.model",
    }
    options: dict[str, Any] = {"max_steps": 6, "seed": 1, "guidance": 3.0}
    expected = MusicGen.from_pretrained(reference_folder).generate("calm", **options)
    assert (MusicGen.from_pretrained(folder).generate("calm", **options) == expected).all()


def test_what_cannot_be_used_is_not_downloaded(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["facebook/musicgen-style"] = {"state_dict.bin": b"pickle"}
    assert "facebook/musicgen-melody" in pull("musicgen-style", hub, tmp_path)["error"]
    assert not hub.asked


def test_a_pulled_model_can_be_used(hub: Hub, tiny_folder: Path, tmp_path: Path) -> None:
    files = files_of(tiny_folder)
    extra = {
        "pytorch_model.bin": b"pickle",
        "state_dict.bin": b"pickle",
        "README.md": b"---\nlicense: mit\n---\n",
    }
    hub.repositories["facebook/musicgen-tiny"] = {**files, **extra}
    result = pull("musicgen-tiny", hub, tmp_path)
    path = tmp_path / "models" / "musicgen-tiny"
    assert result["path"] == str(path)
    assert {entry.name for entry in path.iterdir() if entry.is_file()} == {*files, "README.md", RECORD}
    assert not [name for name in hub.asked if name.endswith(".bin")]
    assert weight_digest(path) == weight_digest(tiny_folder)
    model = MusicGen.from_pretrained(path)
    assert model.license == "mit"
    assert model.generate("calm piano", max_steps=5).shape == (2 * 640,)
    done = [step for step, _ in result["steps"]]
    total = sum(len(data) for name, data in files.items()) + len(extra["README.md"])
    assert done == sorted(done)
    assert result["steps"][-1] == [total, total]


def test_pulling_again_fetches_nothing(hub: Hub, tiny_folder: Path, tmp_path: Path) -> None:
    hub.repositories["me/model"] = files_of(tiny_folder)
    first = pull("me/model", hub, tmp_path)
    hub.asked.clear()
    assert pull("me/model", hub, tmp_path)["path"] == first["path"]
    assert not hub.asked


@pytest.mark.parametrize("recorded", [True, False])
def test_two_repositories_do_not_share_a_folder(
    hub: Hub, tiny_folder: Path, tmp_path: Path, recorded: bool
) -> None:
    files = files_of(tiny_folder)
    # What a repository says of itself does not count.
    hub.repositories["facebook/musicgen-small"] = {
        **files,
        RECORD: b'{"repository": "someone/musicgen-small"}',
    }
    hub.repositories["someone/musicgen-small"] = {**files, "config.json": b"{}"}
    folder = tmp_path / "models" / "musicgen-small"
    assert pull("musicgen-small", hub, tmp_path)["path"] == str(folder)
    assert held_in(folder) == "facebook/musicgen-small"
    if not recorded:  # as an older version left it
        (folder / RECORD).unlink()
    error = pull("someone/musicgen-small", hub, tmp_path)["error"]
    assert f"{folder} holds facebook/musicgen-small" in error
    assert "AUDIOLIB_MODELS" in error
    assert (folder / "config.json").read_bytes() == files["config.json"]
    assert "path" in pull("facebook/musicgen-small", hub, tmp_path)


def test_a_folder_of_unknown_origin_is_taken_over(hub: Hub, tiny_folder: Path, tmp_path: Path) -> None:
    hub.repositories["me/model"] = files_of(tiny_folder)
    folder = tmp_path / "models" / "model"
    shutil.copytree(tiny_folder, folder)
    assert held_in(folder) is None
    assert pull("me/model", hub, tmp_path)["path"] == str(folder)
    assert held_in(folder) == "me/model"
    assert "holds me/model" in pull("you/model", hub, tmp_path)["error"]


@pytest.mark.parametrize("name", ["starter", "a/b/c", ""])
def test_names_that_are_no_repository(hub: Hub, tmp_path: Path, name: str) -> None:
    assert "owner/name" in pull(name, hub, tmp_path)["error"]


@pytest.mark.parametrize("name", ["me/nothing", "me/no such name", "me/--"])
def test_repositories_that_do_not_exist(hub: Hub, tmp_path: Path, name: str) -> None:
    result = pull(name, hub, tmp_path)
    assert "no public repository" in result["error"]
    assert not (tmp_path / "models").exists() or not any((tmp_path / "models").rglob("*.json"))


def test_a_repository_of_broken_pickles_or_without_weights(hub: Hub, tmp_path: Path) -> None:
    hub.repositories["me/model"] = {"config.json": b"{}", "pytorch_model.bin": b"pickle"}
    assert "no zip archive of torch.save" in pull("me/model", hub, tmp_path)["error"]
    hub.repositories["me/empty"] = {"config.json": b"{}", "notes.bin": b"pickle"}
    assert "no weights that can be used" in pull("me/empty", hub, tmp_path)["error"]


@pytest.mark.parametrize("there_already", [False, True])
@pytest.mark.parametrize("offline", [True, False], ids=["offline", "unreachable"])
def test_without_a_hub(
    hub: Hub, tiny_folder: Path, tmp_path: Path, there_already: bool, offline: bool
) -> None:
    """A folder that is there already, whole or not, must not pass for a download."""
    hub.repositories["me/model"] = files_of(tiny_folder)
    if there_already:
        shutil.copytree(tiny_folder, tmp_path / "models" / "model")
    environment = {"HF_HUB_OFFLINE": "1"} if offline else {"HF_ENDPOINT": "http://127.0.0.1:9"}
    result = pull("me/model", hub, tmp_path, **environment)
    assert ("HF_HUB_OFFLINE" in result["error"]) is offline
    assert ("Check the network" in result["error"]) is not offline
    assert "\n" not in result["error"]
    assert not hub.asked
    if not there_already:
        assert not (tmp_path / "models").exists()


def test_a_folder_that_cannot_be_written(hub: Hub, tiny_folder: Path, tmp_path: Path) -> None:
    hub.repositories["me/model"] = files_of(tiny_folder)
    (tmp_path / "models").write_text("a file")
    assert "could not be downloaded" in pull("me/model", hub, tmp_path)["error"]

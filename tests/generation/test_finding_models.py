"""A name or a path to the folder of a checkpoint: which one is found, and where."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from generation.checkpoints import (
    PREFERRED,
    RECORD,
    STARTER,
    find_model,
    list_models,
    model_license,
    models_dirs,
    repository_name,
    weight_digest,
    write_record,
)
from generation.errors import GenerationError, ModelNotFoundError
from generation.musicgen import MusicGen


def place(tiny: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return shutil.copytree(tiny, target)


def cache(tiny: Path, home: Path, repository: str) -> Path:
    """The Hugging Face cache's layout: blobs named by digest, a snapshot of links, a ref."""
    root = home / "hub" / f"models--{repository.replace('/', '--')}"
    snapshot = root / "snapshots" / "abc123"
    for made in (root / "blobs", snapshot, root / "refs"):
        made.mkdir(parents=True)
    (root / "refs" / "main").write_text("abc123")
    for file in tiny.iterdir():
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy(file, root / "blobs" / digest)
        (snapshot / file.name).symlink_to(root / "blobs" / digest)
    return snapshot


class TestFinding:
    def test_nothing_is_here(self, here: Path) -> None:
        with pytest.raises(ModelNotFoundError, match="audiolib models pull"):
            find_model()
        with pytest.raises(ModelNotFoundError, match="pull facebook/musicgen-large"):
            find_model("musicgen-large")
        with pytest.raises(ModelNotFoundError, match=r"someone/model"):
            MusicGen.from_pretrained("someone/model")
        with pytest.raises(ModelNotFoundError, match="'mine' is not on this machine; see") as caught:
            find_model("mine")
        assert "pull" not in str(caught.value)  # the hub wants an owner
        with pytest.raises(ModelNotFoundError, match="install audiolib-mlx again"):
            find_model(STARTER)  # it is on no hub
        assert list_models() == []

    def test_the_order_of_defaults(
        self, here: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place(tiny_folder, here / "models" / "starter")
        assert find_model().model_id == STARTER
        place(tiny_folder, here / "models" / "musicgen-small")
        assert find_model().model_id == PREFERRED
        place(tiny_folder, here / "models" / "mine")
        monkeypatch.setenv("AUDIOLIB_MODEL", "mine")
        assert find_model().path == here / "models" / "mine"
        assert find_model(STARTER).model_id == STARTER
        assert [model.model_id for model in list_models()] == ["mine", PREFERRED, STARTER]

    @pytest.mark.parametrize("name", ["musicgen-small", "facebook/musicgen-small"])
    def test_the_models_folder(self, here: Path, tiny_folder: Path, name: str) -> None:
        path = place(tiny_folder, here / "models" / "musicgen-small")
        found = find_model(name)
        assert (found.model_id, found.path) == ("facebook/musicgen-small", path)

    def test_audiolib_models_comes_before_what_ships(
        self, here: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bundled = place(tiny_folder, here / "generation" / "_bundled" / "starter")
        assert find_model(STARTER).path == bundled
        mine = place(tiny_folder, here / "models" / "starter")
        assert find_model(STARTER).path == mine
        monkeypatch.delenv("AUDIOLIB_MODELS")
        default = place(tiny_folder, here / "mlx-models" / "starter")
        assert find_model(STARTER).path.resolve() == default
        assert models_dirs()[0] == Path("mlx-models")

    @pytest.mark.parametrize("name", ["musicgen-small", "facebook/musicgen-small"])
    def test_the_hugging_face_cache(self, here: Path, tiny_folder: Path, name: str) -> None:
        snapshot = cache(tiny_folder, here / "hf", "facebook/musicgen-small")
        found = find_model(name)
        assert (found.model_id, found.path) == ("facebook/musicgen-small", snapshot)
        assert find_model() == found
        assert list_models() == [found]
        model = MusicGen.from_pretrained(name)
        assert model.license == "cc-by-nc-4.0"
        # The blob's name is its digest, so that gigabytes are not read again; it is the same one.
        assert model.weights_digest == weight_digest(tiny_folder)

    def test_another_cache_folder(
        self, here: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache(tiny_folder, here / "other", "someone/model")
        with pytest.raises(ModelNotFoundError):
            find_model("someone/model")
        monkeypatch.setenv("HF_HUB_CACHE", str(here / "other" / "hub"))
        assert find_model("someone/model").model_id == "someone/model"

    def test_an_unfinished_snapshot_is_not_found(self, here: Path, tiny_folder: Path) -> None:
        snapshot = cache(tiny_folder, here / "hf", "someone/model")
        (snapshot / "config.json").unlink()
        with pytest.raises(ModelNotFoundError):
            find_model("someone/model")

    def test_a_folder_is_of_one_repository(self, here: Path, tiny_folder: Path) -> None:
        path = place(tiny_folder, here / "models" / "musicgen-small")
        with pytest.raises(ModelNotFoundError, match="musicgen-small holds facebook/musicgen-small"):
            find_model("someone/musicgen-small")
        write_record(path, "someone/musicgen-small")
        assert find_model("Someone/musicgen-small").path == path
        assert [model.model_id for model in list_models()] == ["someone/musicgen-small"]
        for name in ("musicgen-small", PREFERRED):
            with pytest.raises(ModelNotFoundError, match="musicgen-small holds someone/musicgen-small"):
                find_model(name)
        with pytest.raises(ModelNotFoundError, match="No model"):
            find_model()
        snapshot = cache(tiny_folder, here / "hf", PREFERRED)
        assert find_model().path == snapshot
        for nothing in ("[]", "[" * 200_000):
            (path / RECORD).write_text(nothing)
            assert find_model(PREFERRED).path == path

    def test_the_starter_is_nobody_elses(self, here: Path, tiny_folder: Path) -> None:
        bundled = place(tiny_folder, here / "generation" / "_bundled" / "starter")
        with pytest.raises(ModelNotFoundError, match="starter holds starter"):
            find_model("someone/starter")
        mine = place(tiny_folder, here / "models" / "starter")
        write_record(mine, "someone/starter")
        assert find_model("someone/starter").path == mine
        assert find_model(STARTER).path == bundled

    def test_names_of_no_owner_are_anybodys(self, here: Path, tiny_folder: Path) -> None:
        path = place(tiny_folder, here / "models" / "model")
        assert find_model("me/model").path == path  # nobody knows whose it is
        write_record(path, "me/model")
        assert find_model("model").path == path
        with pytest.raises(ModelNotFoundError, match="model holds me/model"):
            find_model("you/model")

    @pytest.mark.parametrize("as_text", [True, False])
    def test_a_folder(self, here: Path, tiny_folder: Path, as_text: bool) -> None:
        path = place(tiny_folder, here / "deep" / "my model")
        found = find_model(str(path) if as_text else path)
        assert (found.model_id, found.path) == ("my model", path)
        assert find_model("deep/my model").path.resolve() == path

    @pytest.mark.parametrize("name", ["./nothing", "~/nothing", "/nothing/at/all"])
    def test_a_folder_without_a_model(self, here: Path, name: str) -> None:
        with pytest.raises(ModelNotFoundError, match=r"config\.json"):
            find_model(name)

    @pytest.mark.parametrize("name", ["../../etc", "a/b/c", "", "..", "a\0b", "-", "x" * 300])
    def test_odd_names_are_not_found(self, here: Path, name: str) -> None:
        with pytest.raises(GenerationError):
            find_model(name)

    def test_short_names(self) -> None:
        assert repository_name("musicgen-stereo-small") == "facebook/musicgen-stereo-small"
        assert repository_name("starter") == "starter"
        assert repository_name("me/musicgen-small") == "me/musicgen-small"


class TestLicence:
    def test_from_the_card(self, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_text("---\ntags: [x]\nlicense: apache-2.0\n---\nlicense: wrong\n")
        assert model_license(tmp_path, "facebook/musicgen-small") == "apache-2.0"

    def test_without_a_card(self, tmp_path: Path) -> None:
        assert model_license(tmp_path, "facebook/musicgen-medium") == "cc-by-nc-4.0"
        assert model_license(tmp_path, "someone/model") is None
        (tmp_path / "README.md").write_text("license: mit\n")
        assert model_license(tmp_path, "someone/model") is None

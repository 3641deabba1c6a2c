"""Settings from the environment and the configuration file, and where the library is."""

from __future__ import annotations

from pathlib import Path

import pytest

from audiolib.errors import LibraryNotFoundError, SettingsError
from audiolib.settings import (
    Settings,
    config_path,
    find_existing_library,
    find_library,
    load_settings,
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_nothing_set_is_the_defaults(config: Path) -> None:
    assert load_settings({}, config=config) == Settings()


def test_the_environment_wins_over_the_file(config: Path) -> None:
    config.write_text('library = "/music"\nmodel = "big"\nmax_duration = 60\n')
    assert load_settings({"AUDIOLIB_MODEL": "small"}, config=config) == Settings(
        library=Path("/music"), model="small", max_duration=60.0
    )
    assert load_settings({"AUDIOLIB_MODEL": ""}, config=config).model == "big"


def test_the_file_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    config_path().parent.mkdir(parents=True, exist_ok=True)
    config_path().write_text('whisper = "tiny"')
    assert load_settings({}).whisper == "tiny"


@pytest.mark.parametrize(
    "text",
    [
        "library = ",
        "colour = 'blue'",
        "model = 3",
        "max_duration = 'long'",
        "max_duration = -1",
        "lock_timeout = nan",
    ],
)
def test_a_bad_file_is_named(config: Path, text: str) -> None:
    config.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings({}, config=config)
    assert str(config) in str(caught.value)


def test_a_bad_variable_is_named(config: Path) -> None:
    with pytest.raises(SettingsError, match="AUDIOLIB_MAX_DURATION"):
        load_settings({"AUDIOLIB_MAX_DURATION": "long"}, config=config)


class TestLibrary:
    def test_the_order_of_places(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        inner = tmp_path / "project" / "songs"
        inner.mkdir(parents=True)
        monkeypatch.chdir(inner)
        assert find_library(None, Settings()) == Path("data")
        (tmp_path / "project" / "library.json").write_text("{}")
        assert find_library(None, Settings()) == tmp_path / "project"
        (inner / "library.json").write_text("{}")
        assert find_library(None, Settings()) == inner
        assert find_library(None, Settings(library=Path("set"))) == Path("set")
        assert find_library(Path("named"), Settings(library=Path("set"))) == Path("named")

    def test_reading_makes_nothing(self, tmp_path: Path) -> None:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(LibraryNotFoundError, match="no library at data"):
            find_existing_library(None, Settings())
        assert sorted(tmp_path.rglob("*")) == before

    def test_clips_without_a_manifest_are_a_library(self, tmp_path: Path) -> None:
        (tmp_path / "data" / "audio").mkdir(parents=True)
        assert find_existing_library(None, Settings()) == Path("data")

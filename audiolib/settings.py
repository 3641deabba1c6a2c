"""Settings: what the environment and the optional configuration file say, and where the library is.

The configuration file is `config.toml` in the user's folder for settings of audiolib: `~/.config/audiolib`
on Linux (`$XDG_CONFIG_HOME` respected), `~/Library/Application Support/audiolib` on macOS. The environment
wins over it.
"""

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from audiolib.errors import LibraryNotFoundError, SettingsError

MANIFEST_NAME: Final = "library.json"
_DEFAULT_LIBRARY: Final = Path("data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user has set; `None` means that it was left to us.

    Attributes:
        library: The library's folder.
        models: The folder with checkpoints.
        model: The MusicGen checkpoint to generate with.
        embedder: The model that turns words into vectors, for new libraries.
        whisper: The Whisper model that transcribes.
        max_duration: The longest clip that may be asked for, in seconds.
        lock_timeout: How long to wait for another process, in seconds.
    """

    library: Path | None = None
    models: Path | None = None
    model: str | None = None
    embedder: str | None = None
    whisper: str | None = None
    max_duration: float = 600.0  # what is longer than 30 seconds is made window by window
    lock_timeout: float = 60.0


def config_path() -> Path:
    """Return where the configuration file is looked for."""
    import click

    return Path(click.get_app_dir("audiolib")) / "config.toml"


def load_settings(environment: Mapping[str, str] | None = None, *, config: Path | None = None) -> Settings:
    """Read the settings.

    Args:
        environment: The environment, `os.environ` by default; `AUDIOLIB_<NAME>` sets a setting.
        config: The configuration file, the user's by default; it need not exist.

    Raises:
        SettingsError: A value has the wrong kind, or the file holds a name that is no setting.
    """
    environment = os.environ if environment is None else environment
    path = config_path() if config is None else config
    values: dict[str, Any] = _read_config(path)
    sources = dict.fromkeys(values, str(path))
    for field in fields(Settings):
        name = f"AUDIOLIB_{field.name.upper()}"
        if environment.get(name):
            values[field.name] = environment[name]
            sources[field.name] = name
    converted: dict[str, Any] = {n: _convert(n, value, sources[n]) for n, value in values.items()}
    return Settings(**converted)


def find_library(explicit: Path | None, settings: Settings) -> Path:
    """Find the library to write to; it need not exist yet.

    Args:
        explicit: The folder that the caller named.
        settings: The user's settings.

    Returns:
        `explicit`, the setting, the folder around the current one that holds a library, or `data` in it.
    """
    named = explicit or settings.library
    if named is not None:
        return named.expanduser()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / MANIFEST_NAME).is_file():
            return folder
    return _DEFAULT_LIBRARY


def find_existing_library(explicit: Path | None, settings: Settings) -> Path:
    """Find the library to read from.

    Args:
        explicit: The folder that the caller named.
        settings: The user's settings.

    Raises:
        LibraryNotFoundError: There is none; nothing was made.
    """
    folder = find_library(explicit, settings)
    if is_library(folder):
        return folder
    raise LibraryNotFoundError(
        f'There is no library at {folder}. Make a first clip with `audiolib generate "calm piano"`, '
        "or name another folder with --library."
    )


def is_library(folder: Path) -> bool:
    """Return whether a folder holds a library; the clips count even when the manifest was lost.

    Args:
        folder: The folder to look at.
    """
    return (folder / MANIFEST_NAME).is_file() or (folder / "audio").is_dir()


def _read_config(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except ValueError as error:
        raise SettingsError(
            f"The settings in {path} cannot be read: {error}. Correct the file or remove it."
        ) from error
    known = {field.name for field in fields(Settings)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise SettingsError(
            f"{path} sets {unknown[0]!r}, which is no setting. Known are {', '.join(sorted(known))}."
        )
    return values


def _convert(name: str, value: object, source: str) -> Path | str | float:
    if name in {"max_duration", "lock_timeout"}:
        try:
            number = (
                float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
            )
        except ValueError:
            number = -1.0
        if not (math.isfinite(number) and number > 0):
            raise SettingsError(f"{source} sets {name} to {value!r}; it must be a number of seconds above 0.")
        return number
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{source} sets {name} to {value!r}; it must be text.")
    return Path(value).expanduser() if name in {"library", "models"} else value

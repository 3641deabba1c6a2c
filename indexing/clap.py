"""CLAP: sounds and words in one space (Wu et al. 2023, arXiv:2211.06687), through transformers.

The only room that imports torch, and only once a CLAP model is asked for.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexing import locate
from indexing.errors import EmbedderUnavailableError, IndexingError

if TYPE_CHECKING:
    import numpy as np

# Best first; in the order of their recall on MusicCaps.
CANDIDATES = ("laion/larger_clap_general", "laion/clap-htsat-unfused")
SAMPLING_RATE = 48_000

_BROKEN = "larger_clap_music"
_WINDOW_SECONDS = 10  # what the model hears at once
_MOST_WINDOWS = 6
_MOST_TOKENS = 77  # as in training
_BATCH = 8


class ClapEncoder:
    """One CLAP model, which turns audio and texts into vectors of one space."""

    def __init__(self, folder: Path, *, name: str) -> None:
        """Loads the model from its folder.

        Args:
            folder: Holds a checkpoint as transformers saves it.
            name: What the space is called.

        Raises:
            EmbedderUnavailableError: It cannot be loaded, or transformers or torch is not installed.
        """
        self.name = name
        try:
            from transformers import AutoProcessor, ClapModel
        except ImportError as error:
            raise EmbedderUnavailableError(
                "CLAP needs transformers and torch: `pip install transformers torch`."
            ) from error
        reader: Any = AutoProcessor
        try:
            with _quietly():
                loaded: Any = ClapModel.from_pretrained(
                    folder, local_files_only=True, output_loading_info=True
                )
                self._processor: Any = reader.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # the library raises many kinds, its dependencies' among them
            raise EmbedderUnavailableError(
                f"The CLAP model in {folder} cannot be loaded ({_first_line(error)}). "
                f"Get it again with `audiolib models pull {name}`."
            ) from error
        self._model, report = loaded
        # transformers leaves a tensor that the files lack at its random start; here that is an error.
        if missing := sorted(report["missing_keys"]):
            raise EmbedderUnavailableError(f"The CLAP model in {folder} lacks {', '.join(missing[:5])}.")
        self._model.eval()
        self.dimension: int = self._model.config.projection_dim

    def embed_audio(self, audio: "np.ndarray", sampling_rate: int) -> "np.ndarray":
        """Embeds a clip: the mean over windows of ten seconds, at most six of them, evenly spread.

        Args:
            audio: `(samples,)` or `(samples, channels)`, finite, at least one sample.
            sampling_rate: Hz.

        Returns:
            `(dimension,)` float32 of unit length, the same for the same audio.

        Raises:
            IndexingError: The audio is empty, not finite or of another shape.
        """
        import torch

        windows = _windows(_prepare(audio, sampling_rate))
        # By default the extractor would draw a random part of what is longer; windows are never longer.
        heard = self._processor.feature_extractor(
            windows, sampling_rate=SAMPLING_RATE, padding="repeatpad", return_tensors="pt"
        )
        with torch.inference_mode():
            vectors = self._model.get_audio_features(**heard).pooler_output.float().numpy()
        whole: np.ndarray = _unit(_unit(vectors).mean(axis=0, keepdims=True))[0]
        return whole

    def embed_texts(self, texts: Sequence[str]) -> "np.ndarray":
        """Embeds texts: `(N, dimension)` float32 of unit length, in their order."""
        import numpy as np
        import torch

        batches = [np.zeros((0, self.dimension), dtype=np.float32)]
        for start in range(0, len(texts), _BATCH):
            tokens = self._processor.tokenizer(
                list(texts[start : start + _BATCH]),
                padding=True,
                truncation=True,
                max_length=_MOST_TOKENS,
                return_tensors="pt",
            )
            with torch.inference_mode():
                batches.append(self._model.get_text_features(**tokens).pooler_output.float().numpy())
        return _unit(np.concatenate(batches))


def load_clap(name: str | None, models_dirs: Sequence[Path]) -> ClapEncoder:
    """Loads a CLAP model whose files are on this machine; nothing is downloaded.

    Args:
        name: A Hugging Face name, its last part, or a folder; None or `clap` takes the best of the usual
            ones that is here.
        models_dirs: Folders that are looked through before the Hugging Face cache.

    Raises:
        EmbedderUnavailableError: There is none, or it is of no use; the message says what to do.
    """
    if name is not None and name.rstrip("/").rsplit("/", 1)[-1] == _BROKEN:
        raise EmbedderUnavailableError(
            f"laion/{_BROKEN} is not used: its published weights are broken, every text gets nearly the same "
            f"vector. Use {CANDIDATES[0]} or {CANDIDATES[1]}."
        )
    wanted = CANDIDATES if name in (None, "clap") else (name,)
    for each in wanted:
        folder = Path(each) if _is_clap(Path(each)) else _find(each, models_dirs)
        if folder is not None:
            return ClapEncoder(folder, name=folder.name if folder == Path(each) else _repository(each))
    which = f"The CLAP model {name} is not" if wanted is not CANDIDATES else "No CLAP model is"
    raise EmbedderUnavailableError(
        f"{which} on this machine. Get it with `audiolib models pull {_repository(wanted[0])}`."
    )


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' bars and reports: a library says nothing, what is wrong is raised."""
    from transformers import utils

    logging: Any = utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _repository(name: str) -> str:
    return name if "/" in name else f"laion/{name}"


def _find(name: str, models_dirs: Sequence[Path]) -> Path | None:
    found = locate.in_models_dirs(name, models_dirs, ("config.json",)) or locate.in_hub_cache(
        _repository(name), ("config.json",)
    )
    return found if found is not None and _is_clap(found) else None


def _is_clap(folder: Path) -> bool:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") == "clap"


def _prepare(audio: "np.ndarray", sampling_rate: int) -> "np.ndarray":
    """`(samples,)` float32 at 48 kHz."""
    import numpy as np
    import soxr

    mono = np.asarray(audio, dtype=np.float32)
    if mono.ndim == 2:
        mono = mono.mean(axis=1)
    if mono.ndim != 1 or not len(mono) or not np.isfinite(mono).all() or sampling_rate <= 0:
        raise IndexingError("Audio to embed must be finite samples, one column a channel.")
    if sampling_rate == SAMPLING_RATE:
        return mono
    resampled: np.ndarray = soxr.resample(mono, sampling_rate, SAMPLING_RATE)
    # Less than half a sample of the new rate is no sample at all.
    return resampled if len(resampled) else np.zeros(1, dtype=np.float32)


def _windows(audio: "np.ndarray") -> "list[np.ndarray]":
    """Stretches of ten seconds from the first sample to the last, at most six; the whole if it is shorter."""
    import numpy as np

    size = _WINDOW_SECONDS * SAMPLING_RATE
    count = min(_MOST_WINDOWS, max(1, round(len(audio) / size)))
    starts = np.linspace(0, max(0, len(audio) - size), count).round().astype(int)
    return [audio[start : start + size] for start in starts]


def _unit(vectors: "np.ndarray") -> "np.ndarray":
    import numpy as np

    lengths = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return np.asarray(vectors / lengths, dtype=np.float32)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")

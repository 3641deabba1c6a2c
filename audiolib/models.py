"""What the product says of models: which are here, which would be used and why, and getting more."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from audiolib.requests import Progress
from audiolib.settings import Settings, load_settings

if TYPE_CHECKING:
    from generation.bench_values import Benchmark, Result
    from generation.convert import Conversion


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A checkpoint on this machine: `size` in bytes, `default` for the one that is used unasked.

    `family` is `mono`, `stereo`, `melody` or `stereo-melody`, `None` where its `config.json` cannot be read.
    """

    model: str
    family: str | None
    path: Path
    size: int
    license: str | None
    default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsInfo:
    """How generation would run here. `why` says what chose the model; `problem` why there is none.

    `family` is `mono`, `stereo`, `melody` or `stereo-melody`; `geometry` tells the decoder's size,
    `weights` how they are stored.
    """

    model: str | None
    model_path: Path | None
    family: str | None
    geometry: str | None
    weights: str | None
    why: str
    problem: str | None
    backend: str
    device: str
    dtype: str
    blas: str
    models_dirs: tuple[Path, ...]


class Models:
    """The checkpoints of this machine.

    Args:
        settings: The user's settings; read from the environment and the configuration file when `None`.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = load_settings() if settings is None else settings

    def list(self) -> "Sequence[ModelCard]":
        """Return the MusicGen checkpoints on this machine."""
        from generation.checkpoints import find_model, list_models, model_license
        from generation.errors import ModelNotFoundError

        try:
            default = find_model(self._settings.model).path.resolve()
        except ModelNotFoundError:
            default = None
        return [
            ModelCard(
                model=found.model_id,
                family=_family(found.path),
                path=Path(os.path.abspath(found.path)),
                size=sum(file.stat().st_size for file in found.path.iterdir() if file.is_file()),
                license=model_license(found.path, found.model_id),
                default=found.path.resolve() == default,
            )
            for found in list_models()
        ]

    def info(self, model: str | None = None) -> ModelsInfo:
        """Return which model and which backend would be used.

        Args:
            model: The model that would be named with `--model`.
        """
        from generation.backend import describe_backend, prepare
        from generation.checkpoints import find_model, models_dirs
        from generation.errors import CheckpointError, ModelNotFoundError

        prepare()
        backend = describe_backend()
        found, problem = None, None
        facts: dict[str, str] = {}
        try:
            found = find_model(model or self._settings.model)
            facts = _facts(found.path)
        except (ModelNotFoundError, CheckpointError) as error:
            problem = str(error)
        return ModelsInfo(
            model=found.model_id if found else None,
            model_path=Path(os.path.abspath(found.path)) if found else None,
            family=facts.get("family"),
            geometry=facts.get("geometry"),
            weights=facts.get("weights"),
            why=_why(self._settings, model),
            problem=problem,
            backend=backend.name,
            device=backend.device,
            dtype=backend.dtype,
            blas=backend.blas,
            models_dirs=tuple(Path(os.path.abspath(folder)) for folder in models_dirs() if folder.is_dir()),
        )

    def pull(self, name: str, *, progress: Progress | None = None) -> Path:
        """Download a repository from the Hugging Face hub into the models folder.

        Args:
            name: The repository, like `facebook/musicgen-small`.
            progress: Called with the bytes done and the bytes in all.

        Returns:
            Its folder.

        Raises:
            DownloadError: It could not be downloaded.
        """
        from generation.downloads import pull_model

        return Path(os.path.abspath(pull_model(name, progress=progress)))

    def bench(self, benchmark: "Benchmark") -> "Iterator[Result]":
        """Measure speed and memory on this machine, and yield each result as soon as it is there.

        Args:
            benchmark: What to measure; without a geometry and a model it is the model that would be used.

        Raises:
            GenerationError: It makes no sense, the model is not here, or the peer failed.
        """
        from generation.bench import bench_generation

        if benchmark.geometry is None and benchmark.model is None:
            benchmark = replace(benchmark, model=self._settings.model)
        return bench_generation(benchmark)

    def missing_peer(self) -> str | None:
        """Return how to install what a benchmark's peer needs; `None` where it is there."""
        from generation.bench_peer import missing_peer

        return missing_peer()

    def convert(
        self,
        folder: Path,
        *,
        text_encoder: str | None = None,
        codec: str | None = None,
        progress: Progress | None = None,
    ) -> "Conversion":
        """Write a checkpoint's pickled tensors again as safetensors in the Hugging Face layout; the pickles stay.

        Args:
            folder: Holds `pytorch_model.bin`, or audiocraft's `state_dict.bin` and `compression_state_dict.bin`.
            text_encoder: For audiocraft's files: the checkpoint that T5 is taken from; found when `None`.
            codec: For audiocraft's files without a codec: the checkpoint that it is taken from; found when `None`.
            progress: Called with the tensors done and the tensors in all.

        Returns:
            The files that were written, and what was taken from where.

        Raises:
            CheckpointError: There are no pickles, they hold anything but tensors (nothing in them was run), or a part
                is missing.
            ModelNotFoundError: A named checkpoint is not on this machine.
            OSError: A file cannot be written.
        """
        from generation.convert import convert

        return convert(folder, text_encoder=text_encoder, codec=codec, progress=progress)


def _family(folder: Path) -> str | None:
    from generation.checkpoints import load_config
    from generation.errors import CheckpointError

    try:
        return load_config(folder).family
    except CheckpointError:
        return None


def _facts(folder: Path) -> dict[str, str]:
    """What kind of model a checkpoint is, and how it is stored; fails where it could not be loaded."""
    from generation.checkpoints import load_config, stored_dtypes, weight_files

    config = load_config(folder)
    decoder, files = config.decoder, weight_files(folder)
    size = sum(path.stat().st_size for path in files) / 1e6
    return {
        "family": config.family,
        "geometry": f"{decoder.num_hidden_layers} layers of {decoder.hidden_size}, "
        f"{decoder.num_attention_heads} heads, {decoder.num_codebooks} codebooks of {decoder.vocab_size}, "
        f"{config.audio_encoder.sampling_rate} Hz",
        "weights": f"{' and '.join(stored_dtypes(files))}, {size:,.0f} MB in {len(files)} "
        f"{'file' if len(files) == 1 else 'shards'}",
    }


def _why(settings: Settings, model: str | None) -> str:
    if model:
        return "--model names it"
    if os.environ.get("AUDIOLIB_MODEL"):
        return "AUDIOLIB_MODEL names it"
    if settings.model:
        return "the configuration file names it"
    return "the best one on this machine: facebook/musicgen-small, else the starter"

"""Transcription with checkpoints in mlx-whisper's own format that the tests write; nothing is fetched."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from whisper_files import DIMENSIONS

from indexing import (
    IndexingError,
    Transcriber,
    TranscriberUnavailableError,
    find_whisper,
    transcribe,
)

FILE = "weights.safetensors"
Write = Callable[..., Path]
# Importing mlx_whisper brings numba and others, whose warnings are not ours.
pytestmark = pytest.mark.filterwarnings("default:::numba", "default:::mlx_whisper", "default:::tiktoken")


@pytest.fixture(scope="session")
def write() -> Write:
    """Writes a checkpoint of random weights, after a change to them."""

    def run(folder: Path, change: Callable[[dict[str, Any]], None] = lambda weights: None) -> Path:
        import mlx.core as mx
        from mlx.utils import tree_flatten
        from mlx_whisper.whisper import ModelDimensions, Whisper

        folder.mkdir(parents=True)
        mx.random.seed(0)
        flat: Any = tree_flatten(Whisper(ModelDimensions(**DIMENSIONS), mx.float32).parameters())
        weights = {
            name: mx.random.normal(value.shape) * 0.05 for name, value in flat if name != "alignment_heads"
        }
        change(weights)
        mx.save_safetensors(str(folder / FILE), weights)
        (folder / "config.json").write_text(json.dumps(DIMENSIONS | {"model_type": "whisper"}))
        return folder

    return run


@pytest.fixture(scope="session")
def singer(write: Write, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that hears English "hello" or "piano" in everything, because its states are a constant."""
    from mlx_whisper.tokenizer import get_tokenizer

    tokenizer = get_tokenizer(multilingual=True, num_languages=99, language="en", task="transcribe")
    words = [tokenizer.encode(word)[0] for word in (" hello", " piano")]

    def sing(weights: dict[str, Any]) -> None:
        import mlx.core as mx

        logits = np.full(51865, -20.0, np.float32)
        logits[words] = 5.0
        logits[tokenizer.eot] = 2.0
        logits[tokenizer.to_language_token("en")] = 4.0
        embedding = np.zeros((51865, 32), np.float32)
        embedding[:, 0] = logits
        weights["decoder.token_embedding.weight"] = mx.array(embedding)
        weights["decoder.ln.weight"] = mx.zeros(32)
        weights["decoder.ln.bias"] = mx.array(np.eye(32, dtype=np.float32)[0])

    return write(tmp_path_factory.mktemp("models") / "whisper-tiny", sing)


@pytest.fixture(autouse=True)
def seed() -> None:
    """Whisper samples where it is unsure, from MLX's global state."""
    import mlx.core as mx

    mx.random.seed(0)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """No connection, and an empty Hugging Face cache."""
    from huggingface_hub import constants

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def noise(seconds: float, sampling_rate: int, channels: int = 1) -> np.ndarray:
    samples = (
        np.random.default_rng(0).normal(size=(int(seconds * sampling_rate), channels)).astype(np.float32) / 10
    )
    return samples[:, 0] if channels == 1 else samples


def test_words_come_through(singer: Path, no_network: Path) -> None:
    heard = Transcriber(singer).transcribe(noise(3, 32_000, channels=2), 32_000)
    assert heard.model == "whisper-tiny"
    assert heard.raw_text
    assert set(heard.raw_text.split()) <= {"hello", "piano"}
    assert heard.raw_text == " ".join(segment.text for segment in heard.heard)
    assert all(0 <= segment.start <= segment.end <= 3 for segment in heard.heard)
    assert heard.text == " ".join(s.text for s in heard.heard if s.rejected is None)


def test_random_weights_are_survived(write: Write, tmp_path: Path, no_network: Path) -> None:
    heard = Transcriber(write(tmp_path / "random")).transcribe(noise(1, 16_000), 16_000)
    assert heard.model == "random"
    assert bool(heard.text) == bool(heard.segments)
    assert (heard.language is None) == (not heard.segments)
    assert (heard.rejected is not None) == bool(heard.raw_text and not heard.text)


def test_two_models_stay_apart(singer: Path, write: Write, tmp_path: Path, no_network: Path) -> None:
    import mlx.core as mx

    def halve(weights: dict[str, Any]) -> None:
        weights.update(
            {name: value.astype(mx.float16) for name, value in mx.load(str(singer / FILE)).items()}
        )

    first = Transcriber(write(tmp_path / "half", halve))
    Transcriber(write(tmp_path / "random"))
    words = first.transcribe(noise(1, 16_000), 16_000).raw_text.split()
    assert words
    assert set(words) <= {"hello", "piano"}
    on_cpu = mx.default_device().type == mx.DeviceType.cpu
    assert first._model.encoder.conv1.weight.dtype == (mx.float32 if on_cpu else mx.float16)


def test_no_samples_no_words(singer: Path) -> None:
    heard = Transcriber(singer).transcribe(np.zeros(0, np.float32), 32_000)
    assert (heard.text, heard.language, heard.segments) == ("", None, ())


def test_audio_is_made_mono_and_16_khz() -> None:
    t = np.arange(32_000) / 32_000
    left, right = np.sin(2 * np.pi * 440 * t), np.zeros_like(t)
    made = transcribe._prepare(np.stack([left, right], axis=1), 32_000)
    expected = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000) / 2
    assert made.dtype == np.float32
    assert made.shape == (16_000,)
    np.testing.assert_allclose(made[200:-200], expected[200:-200], atol=1e-3)


@pytest.mark.parametrize("bad", [np.array([0.0, np.nan]), np.zeros((2, 2, 2))], ids=["nan", "cube"])
def test_unusable_audio_is_refused(singer: Path, bad: np.ndarray) -> None:
    with pytest.raises(IndexingError, match="finite"):
        Transcriber(singer).transcribe(bad, 16_000)


def test_the_best_model_here_is_taken(write: Write, tmp_path: Path, no_network: Path) -> None:
    with pytest.raises(TranscriberUnavailableError, match="audiolib models pull mlx-community/whisper-tiny`"):
        find_whisper(None, models_dirs=[tmp_path])
    with pytest.raises(TranscriberUnavailableError, match="models pull mlx-community/whisper-tiny`"):
        find_whisper("whisper-tiny", models_dirs=[tmp_path])
    tiny = write(tmp_path / "whisper-tiny")
    assert find_whisper(None, models_dirs=[tmp_path]) == tiny
    snapshot = no_network / "models--mlx-community--whisper-small-mlx" / "snapshots" / "abc"
    small = write(snapshot)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("abc")
    assert find_whisper(None, models_dirs=[tmp_path]) == small
    assert Transcriber(small).name == "mlx-community/whisper-small-mlx"
    assert find_whisper("whisper-small-mlx", models_dirs=[]) == small
    for name in ("whisper-tiny", "mlx-community/whisper-tiny", str(tiny)):
        assert find_whisper(name, models_dirs=[tmp_path]) == tiny


def test_other_folders_are_no_whisper(tmp_path: Path, no_network: Path) -> None:
    folder = tmp_path / "whisper-tiny"
    folder.mkdir()
    (folder / FILE).write_bytes(b"")
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(TranscriberUnavailableError, match="whisper-tiny is not on this machine"):
        find_whisper("whisper-tiny", models_dirs=[tmp_path])
    with pytest.raises(TranscriberUnavailableError, match="holds no Whisper model"):
        Transcriber(folder)


def test_a_missing_tensor_is_named(write: Write, tmp_path: Path) -> None:
    folder = write(tmp_path / "whisper", lambda weights: weights.pop("decoder.blocks.0.mlp2.bias"))
    with pytest.raises(TranscriberUnavailableError, match=r"lacks decoder\.blocks\.0\.mlp2\.bias"):
        Transcriber(folder)


def test_unreadable_weights_are_told(write: Write, tmp_path: Path) -> None:
    folder = write(tmp_path / "whisper")
    (folder / FILE).write_bytes(b"\x00garbage")
    with pytest.raises(TranscriberUnavailableError, match="cannot be loaded"):
        Transcriber(folder)

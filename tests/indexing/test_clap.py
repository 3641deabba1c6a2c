"""CLAP through transformers, held to the library's own path with a small random model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clap_files import write_tiny_clap

from indexing.clap import CANDIDATES, SAMPLING_RATE, ClapEncoder, load_clap
from indexing.errors import EmbedderUnavailableError, IndexingError

OutputOf = Callable[..., str]


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No model of this machine's takes part."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a random CLAP of a few thousand parameters called `larger_clap_general`."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_clap(folder / "larger_clap_general")
    return folder


@pytest.fixture(scope="module")
def encoder(models: Path) -> ClapEncoder:
    """The small model, found by default."""
    return load_clap(None, [models])


def noise(seconds: float, seed: int = 0, rate: int = SAMPLING_RATE) -> np.ndarray:
    """`(samples,)` of hiss."""
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate)).astype(np.float32)


def test_the_best_that_is_here_is_found(encoder: ClapEncoder, models: Path) -> None:
    assert encoder.name == CANDIDATES[0]
    assert encoder.dimension == 8
    for name in ("clap", "larger_clap_general", "laion/larger_clap_general"):
        assert load_clap(name, [models]).name == CANDIDATES[0]
    assert load_clap(str(models / "larger_clap_general"), []).name == "larger_clap_general"


def test_vectors_are_the_library_s_own(encoder: ClapEncoder, models: Path) -> None:
    import torch
    from transformers import AutoProcessor, ClapModel

    folder = models / "larger_clap_general"
    model: Any = ClapModel.from_pretrained(folder)
    reader: Any = AutoProcessor
    processor = reader.from_pretrained(folder)
    audio, texts = noise(7.0), ["calm piano", "loud drums drums"]
    inputs = processor(
        text=texts, audio=audio, sampling_rate=SAMPLING_RATE, return_tensors="pt", padding=True
    )
    with torch.inference_mode():
        expected = model(**inputs)
    np.testing.assert_allclose(encoder.embed_texts(texts), expected.text_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(
        encoder.embed_audio(audio, SAMPLING_RATE), expected.audio_embeds.numpy()[0], atol=1e-5
    )


def test_vectors_have_unit_length_and_the_same_audio_the_same_one(encoder: ClapEncoder) -> None:
    for seconds in (0.001, 3.0, 10.0, 25.0):
        audio = noise(seconds)
        first, again = (encoder.embed_audio(audio, SAMPLING_RATE) for _ in range(2))
        assert first.dtype == np.float32
        assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
        np.testing.assert_array_equal(first, again)
    stereo = np.stack([noise(3.0), noise(3.0)], axis=1)
    np.testing.assert_allclose(
        encoder.embed_audio(stereo, SAMPLING_RATE), encoder.embed_audio(noise(3.0), SAMPLING_RATE), atol=1e-5
    )
    assert encoder.embed_texts([]).shape == (0, 8)
    many = encoder.embed_texts(["calm piano", "a dog"] * 10)
    assert many.shape == (20, 8)
    np.testing.assert_allclose(many[0], many[18], atol=1e-5)


def test_all_of_a_long_clip_counts(encoder: ClapEncoder) -> None:
    time = np.arange(10 * SAMPLING_RATE) / SAMPLING_RATE
    low, high = (0.3 * np.sin(2 * np.pi * hertz * time).astype(np.float32) for hertz in (200, 6000))
    parts = [encoder.embed_audio(part, SAMPLING_RATE) for part in (low, high)]
    mean = (parts[0] + parts[1]) / np.linalg.norm(parts[0] + parts[1])
    whole = encoder.embed_audio(np.concatenate([low, high]), SAMPLING_RATE)
    np.testing.assert_allclose(whole, mean, atol=1e-4)
    assert np.abs(parts[0] - parts[1]).max() > 1e-3


def test_any_rate_is_brought_to_48_khz(encoder: ClapEncoder) -> None:
    times = {rate: np.arange(5 * rate) / rate for rate in (32_000, 48_000)}
    tones = {rate: 0.3 * np.sin(2 * np.pi * 440 * time) for rate, time in times.items()}
    vectors = [encoder.embed_audio(audio, rate) for rate, audio in tones.items()]
    assert float(vectors[0] @ vectors[1]) > 0.9999


@pytest.mark.parametrize("audio", [np.zeros(0), np.array([0.0, np.nan]), np.zeros((2, 2, 2))])
def test_audio_that_means_nothing_is_refused(encoder: ClapEncoder, audio: np.ndarray) -> None:
    with pytest.raises(IndexingError, match="finite samples"):
        encoder.embed_audio(audio, SAMPLING_RATE)


def test_what_is_not_here_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(EmbedderUnavailableError, match="audiolib models pull laion/larger_clap_general`"):
        load_clap(None, [tmp_path])
    with pytest.raises(EmbedderUnavailableError, match="models pull laion/clap-htsat-unfused`"):
        load_clap("clap-htsat-unfused", [tmp_path])


@pytest.mark.parametrize(
    "name", ["laion/larger_clap_music", "larger_clap_music", "models/larger_clap_music/"]
)
def test_the_broken_one_is_refused(name: str, models: Path) -> None:
    with pytest.raises(EmbedderUnavailableError, match=r"broken.*larger_clap_general"):
        load_clap(name, [models])


def test_another_model_and_a_damaged_one(models: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(EmbedderUnavailableError, match="not on this machine"):
        load_clap("other", [tmp_path])
    broken = shutil.copytree(models / "larger_clap_general", tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(EmbedderUnavailableError, match="cannot be loaded"):
        load_clap("broken", [tmp_path])


def test_a_checkpoint_that_lacks_a_tensor(models: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = shutil.copytree(models / "larger_clap_general", tmp_path / "short")
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("text_projection.linear1.weight")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EmbedderUnavailableError, match=r"lacks text_projection\.linear1\.weight"):
        load_clap("short", [tmp_path])


def test_nothing_heavy_is_imported_before_a_model_is_found(output_of: OutputOf) -> None:
    said = output_of(
        """
        import sys
        from indexing.clap import load_clap
        from indexing.errors import EmbedderUnavailableError
        try:
            load_clap("no/such_model", [])
        except EmbedderUnavailableError:
            print("torch" in sys.modules, "transformers" in sys.modules)
        """
    )
    assert said.split() == ["False", "False"]

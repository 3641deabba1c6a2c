"""Whisper over the library, with a small checkpoint in mlx-whisper's own format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audiolib import AudioLibrary, Clip
from indexing.store import ClipIndex

# Importing mlx_whisper brings numba and others, whose warnings are not ours.
pytestmark = pytest.mark.filterwarnings("default:::numba", "default:::mlx_whisper", "default:::tiktoken")

DIMENSIONS = {
    "n_mels": 80,
    "n_audio_ctx": 1500,
    "n_audio_state": 32,
    "n_audio_head": 2,
    "n_audio_layer": 1,
    "n_vocab": 51865,
    "n_text_ctx": 64,
    "n_text_state": 32,
    "n_text_head": 2,
    "n_text_layer": 1,
}
WORD = " hello"


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that hears the same word in everything: its decoder's last layer norm gives a constant."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_whisper.tokenizer import get_tokenizer
    from mlx_whisper.whisper import ModelDimensions, Whisper

    mx.random.seed(0)
    parameters: Any = tree_flatten(Whisper(ModelDimensions(**DIMENSIONS), mx.float32).parameters())
    weights = {name: mx.zeros(value.shape) for name, value in parameters if name != "alignment_heads"}
    tokenizer = get_tokenizer(multilingual=True, num_languages=99, language="en", task="transcribe")
    # The logits of every step: mostly the word, sometimes the end, and English as the language.
    embedding = mx.zeros((DIMENSIONS["n_vocab"], DIMENSIONS["n_text_state"]))
    embedding[:, 0] = -20.0
    for token, logit in (
        (tokenizer.encode(WORD)[0], 5.0),
        (tokenizer.to_language_token("en"), 4.0),
        (tokenizer.eot, 2.0),
    ):
        embedding[token, 0] = logit
    weights["decoder.token_embedding.weight"] = embedding
    constant = mx.zeros((DIMENSIONS["n_text_state"],))
    constant[0] = 1.0
    weights["decoder.ln.bias"] = constant
    folder = tmp_path_factory.mktemp("whisper") / "whisper-same"
    folder.mkdir()
    mx.save_safetensors(str(folder / "weights.safetensors"), weights)
    (folder / "config.json").write_text(json.dumps({**DIMENSIONS, "model_type": "whisper"}))
    return folder


@pytest.fixture
def clip(library: AudioLibrary) -> Clip:
    return library.generate("calm piano", duration=0.2)


def sidecar_of(clip: Clip) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((clip.path.parent / f"{clip.id}.json").read_text())
    return document


def test_words_reach_sidecar_row_and_search(library: AudioLibrary, clip: Clip, whisper: Path) -> None:
    import mlx.core as mx

    assert library.transcribe().pending == 1
    assert sidecar_of(clip)["transcript_pending"]
    before = library.search("hello")[0].score
    seen: list[tuple[int, int]] = []
    mx.random.seed(0)  # Whisper samples where it is unsure, from MLX's global state
    report = library.transcribe(whisper=str(whisper), progress=lambda done, total: seen.append((done, total)))
    assert (report.transcribed, report.pending, report.reason) == (1, 0, None)
    assert seen == [(1, 1)]
    found = library.get(clip.id)
    assert found.transcript is not None
    assert "hello" in found.transcript
    document = sidecar_of(clip)
    assert document["transcript"] == found.transcript
    assert document["transcript_model"] == "whisper-same"
    assert document["transcript_pending"] is None
    assert {"start", "end", "text"} <= document["segments"][0].keys()
    row = ClipIndex(library.path / "index").get(clip.id)
    assert row is not None
    assert (row["transcript"], row["language"]) == (found.transcript, found.language)
    assert list(row["segments"]) == document["segments"]
    assert library.search("hello")[0].score > before
    library.index(rebuild=True)
    assert ClipIndex(library.path / "index").get(clip.id) == row | {"vector": pytest.approx(row["vector"])}
    # Nothing is heard twice, and the sound itself is untouched.
    assert library.transcribe(whisper=str(whisper)).transcribed == 0
    assert library.reproduce(clip.id).codes_compared


def test_a_damaged_file_waits_and_the_rest_is_heard(library: AudioLibrary, clip: Clip, whisper: Path) -> None:
    other = library.generate("happy rock", duration=0.2)
    clip.path.write_bytes(b"RIFF")
    report = library.transcribe(whisper=str(whisper))
    assert (report.transcribed, report.pending) == (1, 1)
    assert str(clip.path) in (report.reason or "")
    assert library.get(other.id).transcript is not None
    assert library.get(clip.id).transcript is None
    assert sidecar_of(clip)["transcript_pending"] == report.reason

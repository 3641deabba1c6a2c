"""Spaces of CLAP models: clips heard once, found by words and by sound; with a small random model."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from collection import RATE, put_clip

from audiolib import AudioLibrary, Clip
from audiolib.errors import InvalidInputError, LibraryError
from audiolib.listening import hear, space_of
from audiolib.sidecars import read_sidecar
from generation.audio import save_audio
from indexing.errors import EmbedderUnavailableError
from indexing.filters import Filters
from indexing.store import ClipIndex

Run = Callable[..., Result]
SPACE = "larger_clap_general"


@pytest.fixture(scope="module")
def clap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a random CLAP of a few thousand parameters."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        ClapConfig,
        ClapFeatureExtractor,
        ClapModel,
        ClapProcessor,
        PreTrainedTokenizerFast,
    )

    folder = tmp_path_factory.mktemp("models")
    words = ["<s>", "<pad>", "</s>", "<unk>", "calm", "piano", "loud", "drums"]
    special = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), words[:4], strict=True))
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token=words[3]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    text = {"vocab_size": len(words), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    audio = {"hidden_size": 8, "patch_embeds_hidden_size": 4, "depths": [1, 1], "num_attention_heads": [1, 1]}
    audio |= {
        "num_hidden_layers": 2,
        "spec_size": 256,
        "num_mel_bins": 64,
        "window_size": 8,
        "projection_dim": 8,
    }
    text |= {"intermediate_size": 16, "projection_dim": 8}
    torch.manual_seed(0)
    ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=8)).save_pretrained(
        folder / SPACE
    )
    make_processor: Any = ClapProcessor
    make_tokenizer: Any = PreTrainedTokenizerFast
    make_processor(
        feature_extractor=ClapFeatureExtractor(truncation="rand_trunc"),
        tokenizer=make_tokenizer(tokenizer_object=tokenizer, **special),
    ).save_pretrained(folder / SPACE)
    return folder


@pytest.fixture
def heard(
    library: AudioLibrary, clap: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[AudioLibrary, list[Clip]]:
    """A library of three clips, heard by the model."""
    monkeypatch.setenv("AUDIOLIB_MODELS", str(clap))
    clips = [
        put_clip(library.path, f"take {n}", sound=noise(n), measured=True, tags=(f"t{n}",)) for n in range(3)
    ]
    library.index()
    report = library.index_space()
    assert (report.space, report.model, report.clips, report.added) == (SPACE, f"laion/{SPACE}", 3, 3)
    return library, clips


def noise(seed: int, seconds: float = 0.5) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (
        0.1 * np.convolve(generator.standard_normal(round(RATE * seconds)), np.ones(1 + seed), "same")
    ).astype(np.float32)


@pytest.mark.parametrize(
    ("model", "space"),
    [
        ("laion/larger_clap_general", "larger_clap_general"),
        ("laion/clap-htsat-unfused", "clap-htsat-unfused"),
        ("/models/My CLAP v2/", "my-clap-v2"),
        ("???", "clap"),
    ],
)
def test_a_model_has_a_space_of_its_own(model: str, space: str) -> None:
    assert space_of(model) == space


def test_what_is_heard_of_a_long_file(tmp_path: Path) -> None:
    ramp = (np.arange(90 * RATE) / (100 * RATE)).astype(np.float32)
    save_audio(tmp_path / "long.wav", np.stack([ramp, ramp], axis=1), RATE)
    audio, rate = hear(tmp_path / "long.wav", 90.0)
    assert (len(audio), rate) == (60 * RATE, RATE)
    np.testing.assert_allclose(audio[:: 10 * RATE], [0, 0.16, 0.32, 0.48, 0.64, 0.8], atol=1e-3)
    save_audio(tmp_path / "short.wav", ramp[: 5 * RATE], RATE)
    audio, _ = hear(tmp_path / "short.wav", 5.0)
    assert len(audio) == 5 * RATE


def test_no_more_of_a_long_file_is_held_than_is_heard(tmp_path: Path) -> None:
    seconds = 600
    save_audio(tmp_path / "long.wav", np.zeros(seconds * RATE, np.float32), RATE)
    tracemalloc.start()
    try:
        audio, _ = hear(tmp_path / "long.wav", float(seconds))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (
        most < 3 * audio.nbytes + (4 << 20) < 4 * seconds * RATE
    )  # bytes: the slices, joined, and a few blocks


def test_without_a_model_the_way_out_is_said(library: AudioLibrary) -> None:
    put_clip(library.path, "x")
    with pytest.raises(EmbedderUnavailableError, match="audiolib models pull laion/larger_clap_general"):
        library.index_space()
    with pytest.raises(EmbedderUnavailableError, match="audiolib models pull"):
        library.search("x", space="clap")


@pytest.mark.slow
class TestHeard:
    def test_a_clip_is_heard_once_and_it_is_kept(self, heard: tuple[AudioLibrary, list[Clip]]) -> None:
        library, clips = heard
        assert all(SPACE in read_sidecar(clip.path.with_suffix(".json")).vectors for clip in clips)
        put_clip(library.path, "new", sound=noise(4), measured=True)
        library.index()
        report = library.index_space("larger_clap_general")
        assert (report.clips, report.added) == (4, 1)
        library.index(rebuild=True)
        index = ClipIndex(library.path / "index")
        assert len(index.nearest(np.ones(8), space=SPACE, limit=9)) == 4

    def test_rows_that_lost_theirs_get_them_back_unheard(
        self, heard: tuple[AudioLibrary, list[Clip]]
    ) -> None:
        library, clips = heard
        index = ClipIndex(library.path / "index")
        before = [hit.id for hit in index.nearest(np.ones(8), space=SPACE, limit=9)]
        index.clear()
        for clip in clips:
            sidecar = clip.path.with_suffix(".json")
            sidecar.write_text(sidecar.read_text().replace(f'"{SPACE}"', '"elsewhere"'))
        library.index()
        for clip in clips:
            sidecar = clip.path.with_suffix(".json")
            sidecar.write_text(sidecar.read_text().replace('"elsewhere"', f'"{SPACE}"'))
        assert library.index_space().added == 0
        assert [hit.id for hit in index.nearest(np.ones(8), space=SPACE, limit=9)] == before

    def test_words_find_sounds(self, heard: tuple[AudioLibrary, list[Clip]]) -> None:
        library, clips = heard
        hits = library.search("calm piano", space="clap")
        assert {hit.clip.id for hit in hits} == {clip.id for clip in clips}
        scores = [hit.score for hit in hits if hit.score is not None]
        assert scores == sorted(scores, reverse=True)
        assert [hit.clip for hit in library.search("x", space=SPACE, filters=Filters(tags=("t1",)))] == [
            clips[1]
        ]

    def test_sounds_find_sounds(self, heard: tuple[AudioLibrary, list[Clip]], tmp_path: Path) -> None:
        library, clips = heard
        assert len(library.similar(clips[0], space="clap")) == 2
        file = tmp_path / "x.flac"
        save_audio(file, noise(2), RATE)
        best = library.similar(file=file, space="clap")[0]
        assert best.clip.id == clips[2].id
        assert best.score == pytest.approx(1, abs=1e-2)

    def test_a_clip_that_cannot_be_heard_stops_no_other(self, heard: tuple[AudioLibrary, list[Clip]]) -> None:
        library, _ = heard
        bad = put_clip(library.path, "bad", measured=True)
        bad.path.write_text("no sound")
        lost = put_clip(library.path, "lost", measured=True)
        lost.path.unlink()
        put_clip(library.path, "good", measured=True)
        report = library.index_space()
        assert (report.clips, report.added, len(report.broken)) == (4, 1, 2)
        assert bad.id in report.broken[0]
        assert lost.id in report.broken[1]

    def test_clips_nobody_heard(self, heard: tuple[AudioLibrary, list[Clip]], tmp_path: Path) -> None:
        library, _ = heard
        fresh = put_clip(library.path, "new", measured=True)
        with pytest.raises(LibraryError, match="audiolib index --space clap"):
            library.similar(fresh, space="clap")
        empty = AudioLibrary(tmp_path / "other")
        put_clip(empty.path, "x", measured=True)
        empty.index()
        with pytest.raises(LibraryError, match="audiolib index --space clap"):
            empty.search("x", space="clap")

    def test_what_a_space_has_not(self, heard: tuple[AudioLibrary, list[Clip]]) -> None:
        library, _ = heard
        for options in ({"mode": "hybrid"}, {"explain": True}):
            with pytest.raises(InvalidInputError, match="order of their scores"):
                library.search("x", space="clap", **options)
        with pytest.raises(InvalidInputError, match="knows no words"):
            library.search("x", space="sound-1")

    def test_the_commands(self, heard: tuple[AudioLibrary, list[Clip]], cli: Run) -> None:
        library, _ = heard
        put_clip(library.path, "new", sound=noise(4), measured=True)
        options = ("--library", str(library.path), "--space", "clap")
        result = cli("index", *options)
        assert result.exit_code == 0, result.stderr
        assert f"1 clip heard by laion/{SPACE}, 4 in all." in result.stdout
        report = json.loads(cli("index", *options, "--json").stdout)
        assert (report["space"]["clips"], report["space"]["added"]) == (4, 0)
        assert len(cli("search", "calm", *options, "-k", "2").stdout.splitlines()) == 3
        assert len(cli("similar", "last", *options, "--json").stdout.splitlines()) == 3
        result = cli("search", "calm", *options, "--mode", "keyword")
        assert (result.exit_code, result.stdout) == (2, "")

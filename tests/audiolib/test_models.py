"""Checkpoints as people see them: their families, pickles converted, quantised clips made again, benchmarks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from audiolib import AudiolibError, AudioLibrary, GenerationRequest, Recipe
from audiolib.requests import request_of
from generation.config import DecoderConfig, EncodecConfig, MelodyConfig, MusicGenConfig, T5Config

Run = Callable[..., Result]


def config_of(family: str) -> MusicGenConfig:
    melody = family.endswith("melody")
    decoder = replace(DecoderConfig.tiny(), cross_attention=not melody)
    if family.startswith("stereo"):
        decoder = replace(decoder, num_codebooks=8, audio_channels=2)
    return MusicGenConfig(
        text_encoder=T5Config.tiny(),
        audio_encoder=EncodecConfig.tiny(),
        decoder=decoder,
        melody=MelodyConfig(chroma_length=5) if melody else None,
    )


@pytest.fixture
def families(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder with one checkpoint of each family."""
    from generation.tiny import make_tiny_checkpoint

    folder = tmp_path / "families"
    for family in ("mono", "stereo", "melody", "stereo-melody"):
        make_tiny_checkpoint(folder / f"musicgen-{family}", config=config_of(family))
    monkeypatch.setenv("AUDIOLIB_MODELS", str(folder))
    return folder


def test_models_tell_their_family(cli: Run, families: Path) -> None:
    cards = {
        card["model"]: card for card in map(json.loads, cli("models", "list", "--json").stdout.splitlines())
    }
    for family in ("mono", "stereo", "melody", "stereo-melody"):
        name = f"facebook/musicgen-{family}"
        assert cards[name]["family"] == family
        info = json.loads(cli("models", "info", "--model", name, "--json").stdout)
        assert info["family"] == family
        books = 8 if family.startswith("stereo") else 4
        assert info["geometry"] == f"2 layers of 32, 4 heads, {books} codebooks of 64, 32000 Hz"
        assert info["weights"].startswith("float32, ")
        assert info["weights"].endswith(" in 1 file")
        assert family in cli("models", "info", "--model", name).stdout
    # One that cannot be read is still shown, with the reason.
    (families / "musicgen-mono" / "config.json").write_text('{"model_type": "musicgen"}')
    assert "unreadable" in cli("models", "list").stdout
    assert "has no section" in cli("models", "info", "--model", "musicgen-mono").stdout


def test_a_clip_of_every_family(library: AudioLibrary, families: Path) -> None:
    for family in ("mono", "stereo", "melody", "stereo-melody"):
        clip = library.generate("calm piano", model=f"musicgen-{family}", duration=0.1, seed=1)
        assert clip.channels == (2 if family.startswith("stereo") else 1)


@pytest.fixture
def pickled(models: Path, tmp_path: Path) -> Path:
    import mlx.core as mx
    import numpy as np
    import torch

    folder = tmp_path / "pickled"
    shutil.copytree(models / "tiny", folder)
    tensors = mx.load(str(folder / "model.safetensors"))
    assert isinstance(tensors, dict)
    torch.save(
        {name: torch.tensor(np.array(value)) for name, value in tensors.items()}, folder / "pytorch_model.bin"
    )
    (folder / "model.safetensors").unlink()
    return folder


def test_pickles_are_converted(cli: Run, pickled: Path) -> None:
    before = cli("generate", "calm", "--model", str(pickled), "--duration", "0.1")
    assert before.exit_code == 1
    assert f"audiolib models convert {pickled}" in before.stderr
    (written,) = cli("models", "convert", str(pickled), "--json").stdout.splitlines()
    assert json.loads(written)["path"] == str(pickled / "model.safetensors")
    assert cli("generate", "calm", "--model", str(pickled), "--duration", "0.1").exit_code == 0


def test_a_malicious_pickle_is_a_sentence(cli: Run, pickled: Path) -> None:
    import os
    import pickle
    import zipfile

    class Evil:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return os.system, (f"touch {pickled / 'was-here'}",)

    with zipfile.ZipFile(pickled / "pytorch_model.bin", "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"a": Evil()}))
    done = cli("models", "convert", str(pickled))
    assert done.exit_code == 1
    assert "malicious" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (pickled / "was-here").exists()
    assert not (pickled / "model.safetensors").exists()


def test_style_says_why_not_and_what_instead(cli: Run) -> None:
    for arguments in (
        ("models", "pull", "facebook/musicgen-style"),
        ("generate", "calm", "--model", "musicgen-style"),
    ):
        done = cli(*arguments)
        assert done.exit_code == 1
        assert "MERT" in done.stderr
        assert "facebook/musicgen-melody" in done.stderr
        assert done.stderr.count("\n") == 1


class TestBits:
    def test_a_quantised_clip_is_made_again(self, library: AudioLibrary) -> None:
        whole = library.generate("calm piano", duration=0.2, seed=1)
        eight = library.generate("calm piano", duration=0.2, seed=1, bits=8)
        four = library.generate("calm piano", duration=0.2, seed=1, bits=4)
        assert len({clip.audio_sha256 for clip in (whole, eight, four)}) == 3
        for clip, bits in ((whole, None), (eight, 8), (four, 4)):
            recipe = library.recipe(clip.id)
            assert recipe is not None
            assert recipe.bits == bits
            assert request_of(recipe).bits == bits
            assert ("bits" in recipe.to_json()) is (bits is not None)
            assert library.regenerate(clip.id).audio_sha256 == clip.audio_sha256

    def test_an_older_recipe_means_whole_weights(self, library: AudioLibrary) -> None:
        recipe = library.recipe(library.generate("calm piano", duration=0.1, seed=1).id)
        assert recipe is not None
        assert Recipe.from_json(recipe.to_json()).bits is None

    @pytest.mark.parametrize("bits", [5, 0, 16])
    def test_other_numbers_are_refused_before_any_work(self, library: AudioLibrary, bits: int) -> None:
        with pytest.raises(AudiolibError, match="8 or 4"):
            library.generate("calm piano", bits=bits)
        with pytest.raises(AudiolibError, match="8 or 4"):
            GenerationRequest(prompt="calm", bits=bits).checked(max_duration=600)

    def test_on_the_command_line(self, cli: Run) -> None:
        made = cli("generate", "calm", "--bits", "4", "--duration", "0.1", "--json")
        assert made.exit_code == 0, made.stderr
        assert "4 bit weights" in cli("show", "last").stdout
        assert cli("generate", "calm", "--bits", "3").exit_code == 2
        # A clip of other weights is none that was asked for.
        again = json.loads(
            cli("generate", "calm", "--bits", "8", "--duration", "0.1", "--reuse=0.9", "--json").stdout
        )
        assert again["reused"] is False


class TestBench:
    def test_lines_and_a_table(self, cli: Run, tmp_path: Path) -> None:
        options = ("--geometry", "tiny", "--seconds", "0.2")
        done = cli("bench", "generate", *options, "--batch", "1", "--batch", "2", "--json")
        results = [json.loads(line) for line in done.stdout.splitlines()]
        assert [(result["batch"], result["bits"]) for result in results] == [(1, None), (2, None)]
        wanted = {"backend", "dtype", "step_ms", "times_real_time", "peak_mb", "first_sound_s", "load_s"}
        assert wanted <= results[0].keys()
        head, row = cli(
            "bench", "generate", *options, "--bits", "8", "--dtype", "float16"
        ).stdout.splitlines()
        assert head.split()[:5] == ["engine", "model", "backend", "weights", "batch"]
        assert "8 bit, float16" in row
        assert not (tmp_path / "data").exists()

    def test_the_model_that_would_be_used(self, cli: Run) -> None:
        for arguments, name in (((), "tiny"), (("--model", "other"), "other")):
            done = cli("bench", "generate", "--seconds", "0.2", "--json", *arguments)
            assert json.loads(done.stdout)["geometry"] == name, done.stderr

    def test_what_makes_no_sense(self, cli: Run) -> None:
        for arguments, code in (
            (("--geometry", "huge"), 2),
            (("--geometry", "tiny", "--model", "tiny"), 2),
            (("--seconds", "0"), 2),
            (("--batch", "0"), 2),
            (("--model", "someone/nothing"), 1),
        ):
            done = cli("bench", "generate", *arguments)
            assert done.exit_code == code, arguments
            assert done.stderr.count("\n") == 1

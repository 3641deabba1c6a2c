"""How far a quantised decoder is from the whole one: nothing from itself, and teacher-forced on the right tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from generation.musicgen import MusicGen
from generation.training import quantisation
from generation.training.quantisation import compare, read_clip


def test_a_model_is_itself(tiny_folder: Path) -> None:
    model = MusicGen.from_pretrained(tiny_folder)
    clips = model.compose(["calm piano", "dark"], seeds=[1, 2], max_steps=12)
    error = compare(model, MusicGen.from_pretrained(tiny_folder), clips)
    assert (error.largest, error.mean, error.divergence, error.same_choice) == (0, 0, 0, 1)
    eight, four = (compare(model, MusicGen.from_pretrained(tiny_folder, bits=bits), clips) for bits in (8, 4))
    assert 0 < eight.mean < four.mean < four.largest
    assert 0 < eight.divergence < four.divergence
    assert four.spread == error.spread > 0


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_likeliest_tokens_are_those_of_a_greedy_clip(tiny_folder: Path, guidance: float) -> None:
    """Logits stand where their tokens do, in spite of the codebooks' delays."""
    model = MusicGen.from_pretrained(tiny_folder)
    (clip,) = model.compose(["calm piano"], seeds=[1], max_steps=12, temperature=0, guidance=guidance)
    _, guided = read_clip(model, clip)
    np.testing.assert_array_equal(guided.argmax(axis=-1), clip.codes)


def test_the_table(tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quantisation.main(["--model", str(tiny_folder), "--seconds", "0.2"]) == 0
    head, eight, four = capsys.readouterr().out.splitlines()
    assert head.startswith("bits")
    assert float(eight.split()[2]) < float(four.split()[2])

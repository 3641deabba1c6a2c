"""Renders the pieces that descriptors and the sound vector are fitted to and judged by.

`python tests/indexing/sound_corpus.py FOLDER --fit 400 --report 200` writes WAV files and `pieces.jsonl`, a line a
file: `file, piece, variation, split, tempo_bpm, key` and more. A piece comes as it is (`base`), as another
piece of the same attributes (`other seed`, `another seed`), 10 % slower and faster, and through the starter's codec.
With the pieces that went through the codec its latents are pooled into `latents.npz`, the sound vector's rival.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from generation import backend  # before MLX, so that it gets the fast matrix library
from generation.musicgen import MusicGen
from generation.training.starter.attributes import PieceAttributes, choose_attributes
from generation.training.starter.render import SAMPLING_RATE, render_piece

FIRST_SEED = 5_000_000  # far from the seeds that the starter was trained on
WITH_LATENTS = ("base", "other seed", "10 % slower")
NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def variations(
    attributes: PieceAttributes, seed: int, seconds: float
) -> Iterator[tuple[str, np.ndarray, int]]:
    """A piece's renderings: name, `(samples,)`, tempo."""
    slower, faster = (round(attributes.tempo_bpm * factor) for factor in (0.9, 1.1))
    for name, changed, its_seed in (
        ("base", attributes, seed),
        ("other seed", attributes, seed + 10_000_000),
        ("another seed", attributes, seed + 20_000_000),
        ("10 % slower", replace(attributes, tempo_bpm=slower), seed),
        ("10 % faster", replace(attributes, tempo_bpm=faster), seed),
    ):
        yield name, render_piece(changed, its_seed, seconds=seconds), changed.tempo_bpm


class Codec:
    """The starter's codec: what it makes of a clip, and its latents pooled over time."""

    def __init__(self, folder: Path) -> None:
        self._codec = MusicGen.from_pretrained(folder).parts.codec

    def latents(self, audio: np.ndarray) -> np.ndarray:
        """`(2 * width,)`: mean and deviation of the encoder's output."""
        import mlx.core as mx

        hidden = np.array(self._codec.encoder(mx.array(audio)[None, :, None]))[0]
        return np.concatenate([hidden.mean(axis=0), hidden.std(axis=0)]).astype(np.float32)

    def through(self, audio: np.ndarray) -> np.ndarray:
        """The clip encoded and decoded."""
        import mlx.core as mx

        made = self._codec.decode(self._codec.encode(mx.array(audio)[None, :, None]))
        return np.array(made)[0, : len(audio), 0]


def render(folder: Path, fit: int, report: int, seconds: float) -> list[dict[str, Any]]:
    """Writes all pieces without the codec and returns what `pieces.jsonl` says of them."""
    about: list[dict[str, Any]] = []
    for number in range(fit + report):
        seed = FIRST_SEED + number
        attributes = choose_attributes(np.random.default_rng([seed, 0]))
        for name, audio, tempo in variations(attributes, seed, seconds):
            file = f"{number:04}-{name.replace(' ', '-').replace('%', 'percent')}.wav"
            soundfile.write(folder / file, audio, SAMPLING_RATE, subtype="PCM_16")
            about.append(
                {
                    "file": file,
                    "piece": number,
                    "variation": name,
                    "split": "fit" if number < fit else "report",
                    "tempo_bpm": tempo,
                    "key": f"{NOTES[attributes.tonic]} {attributes.mode}",
                    "drums": attributes.drums,
                    "tone": attributes.tone,
                    "pace": attributes.pace,
                }
            )
    return about


def encode(folder: Path, pieces: list[dict[str, Any]], codec: Codec, most: int) -> list[dict[str, Any]]:
    """Writes coded copies of `most` pieces of each split, and the latents of some of their variations."""
    latents: dict[str, np.ndarray] = {}
    coded: list[dict[str, Any]] = []
    for split in ("fit", "report"):
        numbers = sorted({piece["piece"] for piece in pieces if piece["split"] == split})[:most]
        for piece in pieces:
            if piece["piece"] not in numbers or piece["variation"] not in WITH_LATENTS:
                continue
            audio, _ = soundfile.read(folder / piece["file"], dtype="float32")
            latents[piece["file"]] = codec.latents(audio)
            if piece["variation"] == "base":
                copy = {**piece, "file": f"{piece['piece']:04}-codec.wav", "variation": "codec"}
                audio = codec.through(audio)
                soundfile.write(folder / copy["file"], audio, SAMPLING_RATE, subtype="PCM_16")
                latents[copy["file"]] = codec.latents(audio)
                coded.append(copy)
    np.savez(folder / "latents.npz", files=list(latents), latents=list(latents.values()))
    return coded


def main() -> None:
    """Writes the corpus."""
    parser = argparse.ArgumentParser(description="Renders the pieces that the sound vector is judged by.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fit", type=int, default=300, help="pieces to fit constants to")
    parser.add_argument("--report", type=int, default=200, help="pieces that are only reported on")
    parser.add_argument("--codec-pieces", type=int, default=60, help="how many of each go through the codec")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--model", type=Path, default=Path("mlx-models/starter"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    pieces = render(options.folder, options.fit, options.report, options.seconds)
    _list(options.folder, pieces)
    if options.codec_pieces:
        backend.prepare()
        pieces += encode(options.folder, pieces, Codec(options.model), options.codec_pieces)
        _list(options.folder, pieces)


def _list(folder: Path, pieces: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(piece) + "\n" for piece in pieces)
    (folder / "pieces.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

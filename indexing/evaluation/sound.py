"""How right the descriptors are, how well the sound vector finds, and how fast both come.

`python -m indexing.evaluation.sound --speed` needs nothing. `python -m indexing.evaluation.sound FOLDER` judges on
pieces with known answers, as `tests/indexing/sound_corpus.py FOLDER` renders them, and `--fit` also makes the sound
vector's whitening again from the pieces that were set aside for it. Only the others are reported on.
"""

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexing.analysis import Analysis, analyse
from indexing.describe import KEYS
from indexing.evaluation.sound_fit import fit_whitening
from indexing.excerpts import Excerpts
from indexing.sound import load_whitening, raw_features, whiten

Audio = NDArray[np.float32]
Values = NDArray[np.float64]

Copier = Callable[[Audio, int], Iterator[tuple[str, Audio, int]]]

_OCTAVES = (1.0, 2.0, 0.5, 3.0, 1 / 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One file of the corpus: the answers, and which piece it is a variation of."""

    file: str
    piece: int
    variation: str
    split: str
    tempo_bpm: float
    key: str


def read_pieces(folder: Path) -> list[Piece]:
    """What `pieces.jsonl` lists."""
    lines = (folder / "pieces.jsonl").read_text(encoding="utf-8").splitlines()
    known = Piece.__dataclass_fields__
    return [Piece(**{k: v for k, v in json.loads(line).items() if k in known}) for line in lines]


def mirex_score(found: str | None, right: str) -> float:
    """The weighted key score of MIREX: 1 right, 0.5 a fifth off, 0.3 the relative key, 0.2 the other mode."""
    if found is None:
        return 0.0
    one, other = KEYS.index(found), KEYS.index(right)
    steps, modes = (one - other) % 12, (one // 12, other // 12)
    if modes[0] == modes[1]:
        return 1.0 if steps == 0 else 0.5 if steps in (5, 7) else 0.0
    relative = 9 if modes == (1, 0) else 3
    return 0.3 if steps == relative else 0.2 if steps == 0 else 0.0


def judge_descriptors(folder: Path, pieces: list[Piece]) -> dict[str, float]:
    """Shares of the pieces whose tempo and key are right."""
    found = [(piece, analyse(*_read(folder / piece.file)).descriptors) for piece in pieces]
    ratios = [0.0 if d.tempo_bpm is None else d.tempo_bpm / p.tempo_bpm for p, d in found]
    sure = [
        abs((d.tempo_bpm or 0) / p.tempo_bpm - 1) < 0.02 for p, d in found if d.confidence["tempo_bpm"] >= 0.7
    ]
    return {
        "pieces": len(found),
        "tempo within 2 %": float(np.mean([abs(ratio - 1) < 0.02 for ratio in ratios])),
        "tempo within 2 %, other octaves allowed": float(
            np.mean([min(abs(ratio / octave - 1) for octave in _OCTAVES) < 0.02 for ratio in ratios])
        ),
        "tempo unknown": float(np.mean([d.tempo_bpm is None for _, d in found])),
        "tempo within 2 % where confidence is 0.7 or more": sum(sure) / max(len(sure), 1),
        "key exact": float(np.mean([d.key == p.key for p, d in found])),
        "key, MIREX score": float(np.mean([mirex_score(d.key, p.key) for p, d in found])),
        "key unknown": float(np.mean([d.key is None for _, d in found])),
    }


def derived(audio: Audio, rate: int) -> Iterator[tuple[str, Audio, int]]:
    """Copies of a clip that sound like it: name, samples, sampling rate."""
    yield "12 dB softer", (np.round(audio / 4 * 32768) / 32768).astype(np.float32), rate
    yield "second half", audio[len(audio) // 2 :], rate


def recoded(audio: Audio, rate: int) -> Iterator[tuple[str, Audio, int]]:
    """Copies in other files, which the whitening was not fitted to: name, samples, sampling rate."""
    import soxr

    yield "MP3", _coded(audio, rate, "MP3", "MPEG_LAYER_III"), rate
    yield "OGG", _coded(audio, rate, "OGG", "VORBIS"), rate
    for other in (44_100, 22_050):
        yield f"at {other / 1000:g} kHz", soxr.resample(audio, rate, other), other


def features(audio: Audio, rate: int) -> Values:
    """The sound vector's raw features of `(samples,)`."""
    excerpts = Excerpts(rate)
    excerpts.feed(audio)
    raw = raw_features([excerpt.sound for excerpt in excerpts.finish()])
    if raw is None:
        raise ValueError("The clip is silent.")
    return raw


def features_of(folder: Path, pieces: list[Piece], copiers: Sequence[Copier]) -> dict[str, dict[int, Values]]:
    """Raw features by variation and piece, those of the copies of each base among them."""
    found: dict[str, dict[int, Values]] = {}
    for piece in pieces:
        audio, rate = _read(folder / piece.file)
        found.setdefault(piece.variation, {})[piece.piece] = features(audio, rate)
        for copier in copiers if piece.variation == "base" else ():
            for name, copy, at in copier(audio, rate):
                found.setdefault(name, {})[piece.piece] = features(copy, at)
    return found


def judge_retrieval(
    found: Mapping[str, Mapping[int, Values]], embed: Callable[[Values], Values]
) -> dict[str, dict[str, float]]:
    """Recall@1, recall@10 and MRR of finding each base by one of its variations, by variation.

    Args:
        found: Features by variation and piece; `base` are the clips that are searched.
        embed: Features `(N, F)` to vectors `(N, D)` of unit length.
    """
    numbers = list(found["base"])
    gallery = embed(np.array([found["base"][number] for number in numbers]))
    figures = {}
    for name, variation in found.items():
        if name == "base":
            continue
        queries = embed(np.array(list(variation.values())))
        right = [numbers.index(number) for number in variation]
        similar = queries @ gallery.T
        own = similar[np.arange(len(right)), right][:, None]
        ranks = 1 + (similar > own).sum(axis=1)
        figures[name] = {
            "queries": len(right),
            "recall@1": float((ranks <= 1).mean()),
            "recall@10": float((ranks <= 10).mean()),
            "MRR": float((1 / ranks).mean()),
            "similarity": float(np.median(own)),
        }
    return figures


def standardised(found: Mapping[str, Mapping[int, Values]]) -> Callable[[Values], Values]:
    """What there is without whitening: each feature by the bases' mean and deviation, then unit length."""
    base = np.array(list(found["base"].values()))
    mean, deviation = base.mean(axis=0), np.maximum(base.std(axis=0), 1e-9)

    def embed(raw: Values) -> Values:
        plain = (raw - mean) / deviation
        return np.asarray(plain / np.maximum(np.linalg.norm(plain, axis=1, keepdims=True), 1e-12))

    return embed


def clips_a_second(seconds: float = 10.0, rate: int = 32_000, count: int = 20) -> float:
    """How many clips a second of processor time are analysed: made music, mono, one after the other."""
    rng = np.random.default_rng(0)
    times = np.arange(round(seconds * rate)) / rate
    audio = 0.02 * rng.standard_normal(len(times))
    for start in np.arange(0, seconds, 0.25):
        hertz = 220 * 2 ** (rng.integers(0, 24) / 12)
        after = np.maximum(times - start, 0)
        audio += 0.2 * np.exp(-3 * after) * np.sin(2 * np.pi * hertz * after)
    clip = audio.astype(np.float32)
    analyse(clip, rate)
    best = min(_seconds_of(lambda: analyse(clip, rate)) for _ in range(count))
    return 1 / best


def _seconds_of(work: Callable[[], Analysis]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _read(path: Path) -> tuple[Audio, int]:
    import soundfile

    audio, rate = soundfile.read(path, dtype="float32")
    return audio, int(rate)


def _coded(audio: Audio, rate: int, kind: str, subtype: str) -> Audio:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, audio, rate, format=kind, subtype=subtype, compression_level=0.7)
    file.seek(0)
    coded: Audio = soundfile.read(file, dtype="float32")[0]
    return coded


def _rival(folder: Path, pieces: list[Piece]) -> dict[str, dict[int, Values]]:
    """The starter codec's pooled latents by variation and piece; empty where the corpus has none."""
    if not (folder / "latents.npz").is_file():
        return {}
    with np.load(folder / "latents.npz") as stored:
        latents = dict(zip(stored["files"].tolist(), stored["latents"].astype(np.float64), strict=True))
    found: dict[str, dict[int, Values]] = {}
    for piece in pieces:
        if piece.file in latents:
            found.setdefault(piece.variation, {})[piece.piece] = latents[piece.file]
    return found


def main() -> None:
    """Prints the figures, a JSON object a line."""
    parser = argparse.ArgumentParser(prog="python -m indexing.evaluation.sound", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument(
        "--fit", type=Path, metavar="FILE", help="make the whitening again and write it there"
    )
    parser.add_argument("--speed", action="store_true", help="measure how many clips a second are analysed")
    options = parser.parse_args()
    if options.speed:
        print(json.dumps({"ten-second clips a second, mono at 32 kHz": round(clips_a_second(), 1)}))
    if options.folder is None:
        return
    pieces = read_pieces(options.folder)
    fitting, reported = ([p for p in pieces if p.split == split] for split in ("fit", "report"))
    whitening = load_whitening()
    if options.fit is not None:
        uncoded = [piece for piece in fitting if piece.variation != "codec"]
        whitening = fit_whitening(features_of(options.folder, uncoded, [derived]))
        whitening.save(options.fit)
    bases = [piece for piece in reported if piece.variation == "base"]
    print(json.dumps({"descriptors": judge_descriptors(options.folder, bases)}))
    found = features_of(options.folder, reported, [derived, recoded])
    _print("sound vector", judge_retrieval(found, lambda raw: whiten(raw, whitening)))
    _print("not whitened", judge_retrieval(found, standardised(found)))
    rival = _rival(options.folder, reported)
    if rival:
        few = {name: {number: found[name][number] for number in rival[name]} for name in rival}
        _print("codec latents, fewer pieces", judge_retrieval(rival, standardised(rival)))
        _print("not whitened, fewer pieces", judge_retrieval(few, standardised(few)))
        _print("sound vector, fewer pieces", judge_retrieval(few, lambda raw: whiten(raw, whitening)))


def _print(title: str, figures: Mapping[str, Mapping[str, float]]) -> None:
    for name, row in figures.items():
        print(json.dumps({title: name, **{key: round(value, 4) for key, value in row.items()}}))


if __name__ == "__main__":
    main()

"""Batches for the training: utterances placed into windows, mixed with what is not speech.

All frames lie on the device; a batch is a few small tables that say which frames go where.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from indexing.training.features import BANDS, FRAMES_PER_SECOND, LOG_FLOOR
from indexing.training.vocabulary import Vocabulary

LATEST_FIRST_TIME = 1.0
"""mlx_whisper lets a window's first timestamp be at most this, in seconds."""
_UNKNOWN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """One kind of clips: `begins` are frames in the bank, the rest as `corpus.write_shard` stores it."""

    begins: NDArray[np.int32]
    lengths: NDArray[np.int32]
    words: NDArray[np.int16]
    starts: NDArray[np.int16]
    edges: NDArray[np.int16]
    level: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.lengths)

    def part(self, chosen: NDArray[Any]) -> Clips:
        """Some of them."""
        return Clips(**{name: getattr(self, name)[chosen] for name in Clips.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """All frames `(F, 80)`, log10 of power, the first of which is digital silence, and the clips in it."""

    frames: mx.array
    spoken: Clips
    other: Clips


def load_bank(folder: Path) -> Bank:
    """Read the shards of `indexing.training.corpus` onto the device."""
    frames = [np.full((1, BANDS), LOG_FLOOR, np.float16)]
    kinds = {}
    begin = 1
    for kind in ("spoken", "other"):
        tables: dict[str, list[NDArray[Any]]] = {name: [] for name in Clips.__slots__}
        for path in sorted(folder.glob(f"{kind}-*.npz")):
            with np.load(path) as shard:
                mel = shard["mel"]
                for name in ("lengths", "words", "starts", "edges", "level"):
                    tables[name].append(shard[name])
            ends = np.cumsum(tables["lengths"][-1])
            begins = ends - tables["lengths"][-1]
            tables["begins"].append((begins + begin).astype(np.int32))
            frames.append(mel)
            begin += len(mel)
        kinds[kind] = Clips(**{name: np.concatenate(parts) for name, parts in tables.items()})
    return Bank(frames=mx.array(np.concatenate(frames)), spoken=kinds["spoken"], other=kinds["other"])


@dataclass(slots=True)
class _Window:
    """One item while it is being put together; times in frames."""

    places: list[tuple[int, int, int]] = field(default_factory=list)  # begin in the bank, length, place
    gains: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)  # for each token that is predicted
    labels: list[tuple[int, int, int]] = field(default_factory=list)  # word, begin, end
    background: tuple[int, int, int, float] = (0, 1, 0, -40.0)  # begin, length, shift, gain
    content: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Tables of `B` windows; `utterances (B, U, 3)`, `background (B, 4)`, `spans (B, L, 2)`, `labels (B, K, 3)`."""

    utterances: mx.array
    gains: mx.array
    background: mx.array
    background_gain: mx.array
    curve: mx.array
    tokens: mx.array
    spans: mx.array
    labels: mx.array
    frames: int


@dataclass(frozen=True)
class Tables:
    """A batch before it goes to the device: MLX's streams belong to one thread, drawing happens in another."""

    NAMES: ClassVar = (
        "utterances", "gains", "background", "background_gain", "curve", "tokens", "spans", "labels",
    )  # fmt: skip
    arrays: dict[str, NDArray[Any]]
    frames: int

    def on_device(self) -> Batch:
        """The same as MLX's arrays."""
        return Batch(**{name: mx.array(value) for name, value in self.arrays.items()}, frames=self.frames)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How windows are filled.

    Attributes:
        frames: Length of a window; 3,000 is Whisper's, fewer are cheaper.
        utterances: At most so many in a window.
        length: Tokens of the longest sequence.
        silent: Share of windows without speech.
        mixed: Share of the others that have something behind the speech.
    """

    frames: int = 3000
    utterances: int = 5
    length: int = 72
    silent: float = 0.2
    mixed: float = 0.45


class Batches:
    """Draws windows from clips; the same seed draws the same ones."""

    def __init__(self, spoken: Clips, other: Clips, vocabulary: Vocabulary, layout: Layout) -> None:
        self.spoken, self.other = spoken, other
        self.vocabulary, self.layout = vocabulary, layout
        ids = vocabulary.ids
        self._prompt = [vocabulary.row(token) for token in (ids.start, ids.english, ids.transcribe)]
        self._no_speech, self._end = vocabulary.row(ids.no_speech), vocabulary.row(ids.end)

    def endless(self, size: int, seed: int) -> Iterator[Batch]:
        """Batches without end."""
        rng = np.random.default_rng([seed, 21])
        while True:
            yield self.draw(size, rng).on_device()

    def draw(self, size: int, rng: np.random.Generator) -> Tables:
        """`size` windows, still in the host's memory."""
        windows = [self._window(rng) for _ in range(size)]
        layout = self.layout
        utterances = np.zeros((size, layout.utterances, 3), np.int32)
        gains = np.zeros((size, layout.utterances), np.float32)
        tokens = np.full((size, layout.length), _UNKNOWN, np.int32)
        spans = np.full((size, layout.length, 2), _UNKNOWN, np.int32)
        labels = np.zeros((size, layout.utterances * 9, 3), np.int32)
        background = np.zeros((size, 4), np.int32)
        background_gain = np.zeros(size, np.float32)
        for row, window in enumerate(windows):
            if window.places:
                utterances[row, : len(window.places)] = window.places
                gains[row, : len(window.gains)] = window.gains
            tokens[row, : len(window.tokens)] = window.tokens
            spans[row, : len(window.spans)] = window.spans
            if window.labels:
                labels[row, : len(window.labels)] = window.labels
            background[row] = (*window.background[:3], window.content)
            background_gain[row] = window.background[3]
        # A microphone's or a room's own colour, a smooth curve of up to a few decibels.
        knots = rng.normal(0, 0.35, (size, 5))
        at = np.linspace(0, 4, BANDS)
        curve = np.stack([np.interp(at, np.arange(5), row) for row in knots]).astype(np.float32)
        arrays = (utterances, gains, background, background_gain, curve, tokens, spans, labels)
        return Tables(dict(zip(Tables.NAMES, arrays, strict=True)), layout.frames)

    def _window(self, rng: np.random.Generator) -> _Window:
        window = _Window(tokens=list(self._prompt), spans=[(_UNKNOWN, _UNKNOWN)] * 3)
        frames = self.layout.frames
        if rng.random() < self.layout.silent:
            window.content = int(rng.integers(50, frames + 1)) if rng.random() < 0.5 else frames
            if rng.random() < 0.95:
                self._behind(window, rng, level=None)
            self._close(window, speech=False)
            return window
        wanted = int(rng.integers(1, self.layout.utterances + 1)) if rng.random() < 0.6 else 1
        late = rng.random() < 0.4
        at = int(rng.integers(0, frames // 2 if late else 60))
        for _ in range(wanted):
            number = int(rng.integers(len(self.spoken)))
            length = int(self.spoken.lengths[number])
            if at + length > frames and window.places:
                break
            at = max(0, min(at, frames - length))
            if not self._place(window, number, at, rng):
                break
            at += length + int(rng.integers(10, 200))
        last = window.places[-1]
        end = min(frames, last[2] + last[1])
        window.content = frames if rng.random() < 0.3 else int(rng.integers(end, min(frames, end + 300) + 1))
        if rng.random() < self.layout.mixed:
            self._behind(window, rng, level=self._level(window))
        self._close(window, speech=True)
        return window

    def _level(self, window: _Window) -> float:
        begin = window.places[0][0]
        number = int(np.searchsorted(self.spoken.begins, begin))
        return float(self.spoken.level[number]) + window.gains[0]

    def _place(self, window: _Window, number: int, at: int, rng: np.random.Generator) -> bool:
        """Add one utterance; False when its tokens do not fit."""
        spoken = self.spoken
        said = [int(word) for word in spoken.words[number] if word >= 0]
        begin, end = (int(edge) + at for edge in spoken.edges[number])
        timed = spoken.starts[number][0] >= 0
        first_time = begin / FRAMES_PER_SECOND
        if len(window.tokens) == 3:
            first_time = min(first_time, LATEST_FIRST_TIME)
        tokens = [self.vocabulary.time_row(first_time)]
        spans = [(begin // 2, begin // 2 + 10)]
        bounds = [int(start) + at for start in spoken.starts[number][: len(said)]] + [end]
        labels = []
        for place, word in enumerate(said):
            if timed:
                start = max(begin, bounds[place])
                # Words that share a start share a span: up to the next start that differs.
                stop = max(start + 6, next((b for b in bounds[place + 1 :] if b > bounds[place]), end))
                span = (start // 2, stop // 2)
                labels.append((word + 1, start // 2, stop // 2))
            else:
                span = (_UNKNOWN, _UNKNOWN)
            for row in self.vocabulary.word_rows[word]:
                tokens.append(row)
                spans.append(span)
        if not timed:
            labels.append((_UNKNOWN, begin // 2, end // 2))
        tokens.append(self.vocabulary.time_row(end / FRAMES_PER_SECOND))
        spans.append((end // 2 - 8, end // 2 + 4))
        if window.places and len(window.tokens) + len(tokens) + 1 > self.layout.length:
            return False
        length = int(spoken.lengths[number])
        window.places.append((int(spoken.begins[number]), length, at))
        window.gains.append(float(rng.uniform(-0.4, 0.4)))
        window.tokens += tokens[: self.layout.length - 4]
        window.spans += spans[: self.layout.length - 4]
        window.labels += _disjoint(labels)
        return True

    def _behind(self, window: _Window, rng: np.random.Generator, *, level: float | None) -> None:
        """Something that is not speech, all along; 5 to 35 dB under the speech's loudest if there is some."""
        number = int(rng.integers(len(self.other)))
        gain = float(rng.uniform(-1.5, 0.3))
        if level is not None:
            gain = level - float(self.other.level[number]) - float(rng.uniform(0.5, 3.5))
        shift = int(rng.integers(self.other.lengths[number]))
        window.background = (int(self.other.begins[number]), int(self.other.lengths[number]), shift, gain)

    def _close(self, window: _Window, *, speech: bool) -> None:
        if not speech:
            window.tokens.append(self.vocabulary.time_row(0.0))
            window.spans.append((_UNKNOWN, _UNKNOWN))
        window.tokens.append(self._end)
        window.spans.append((_UNKNOWN, _UNKNOWN))

    def targets(self, tokens: mx.array) -> mx.array:
        """What each position should predict `(B, L - 1)`; -1 where nothing is asked.

        At the very beginning that is the language, or that nobody speaks.
        """
        following = tokens[:, 1:]
        fourth, fifth = tokens[:, 3], tokens[:, 4]
        zero = self.vocabulary.time_row(0.0)
        silent = (fourth == zero) & (fifth == self._end)
        first = mx.where(silent, self._no_speech, following[:, 0])
        return mx.concatenate([first[:, None], following[:, 1:]], axis=1)


def _disjoint(labels: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Of words that share their time the first stands for it: a frame has one label."""
    kept: list[tuple[int, int, int]] = []
    for word, begin, end in labels:
        begin = max(begin, kept[-1][2]) if kept else begin
        if end > begin:
            kept.append((word, begin, end))
    return kept


def compose(bank: mx.array, batch: Batch) -> mx.array:
    """Whisper's input `(B, frames, 80)`: powers added, the clip's floor, the usual scale."""
    at = mx.arange(batch.frames)
    begin, length, place = (batch.utterances[:, :, i, None] for i in range(3))
    inside = (at >= place) & (at < place + length)
    index = mx.where(inside, begin + at - place, 0)
    gain = mx.where(inside, batch.gains[:, :, None], 0.0).sum(axis=1)
    speech = bank[index.sum(axis=1)].astype(mx.float32) + gain[..., None] + batch.curve[:, None, :]
    speech = mx.where(inside.any(axis=1)[..., None], speech, LOG_FLOOR)
    start, size, shift, content = (batch.background[:, i, None] for i in range(4))
    behind = mx.where(at < content, start + (at + shift) % size, 0)
    noise = bank[behind].astype(mx.float32) + batch.background_gain[:, None, None]
    power = mx.power(10.0, speech) + mx.where((at < content)[..., None], mx.power(10.0, noise), 0.0)
    log = mx.log10(mx.maximum(power, 1e-10))
    log = mx.maximum(log, log.max(axis=(1, 2), keepdims=True) - 8.0)
    return (log + 4.0) / 4.0


def frame_labels(batch: Batch) -> mx.array:
    """The word said in each of the encoder's frames `(B, frames / 2)`: 0 is none, -1 is not known."""
    at = mx.arange(batch.frames // 2)
    label, begin, end = (batch.labels[:, :, i, None] for i in range(3))
    return mx.where((at >= begin) & (at < end), label, 0).sum(axis=1)

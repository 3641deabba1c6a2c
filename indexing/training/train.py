"""Training the small Whisper on a corpus of its own making.

`python -m indexing.training.train --data DIR --vocabulary FILE --out DIR --minutes 5`

Three losses: the next token; the word of every frame, which teaches the encoder to listen; and how much of one head's
attention lies on the word that is being written, which teaches the decoder where to look. The two helpers make the
difference between minutes and hours (guided attention: Tachibana et al. 2017, arXiv:1710.08969, there for synthesis).
The first part of the time goes to windows of 10 seconds, the rest to Whisper's 30.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import os
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn, optimizers
from mlx.utils import tree_flatten, tree_map

from indexing.training.batches import Bank, Batch, Batches, Layout, Tables, compose, frame_labels, load_bank
from indexing.training.network import Geometry, Whisper
from indexing.training.vocabulary import OTHER, Vocabulary
from indexing.training.words import WORDS

_log = logging.getLogger(__name__)

SHORT = Layout(frames=1000, utterances=2, length=40)
LONG = Layout(frames=3000, utterances=5, length=80)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to train.

    Attributes:
        minutes: Time for steps, the first one's preparation left out; None counts `steps`.
        steps: Steps, where `minutes` is None.
        short: Windows of 10 s in a batch.
        long: Windows of 30 s in a batch.
        long_from: Share of the run after which windows are 30 s long.
        peak: Highest learning rate.
        warm_up: Steps until it is reached.
        frames_weight, attention_weight: Weights of the helpers; the attention's falls to a tenth.
        decay: Of the running mean of the weights, which is what is kept.
        check_seconds: Time between looks at held-out clips; the best are saved.
        held_out: Spoken clips kept apart for that.
        seed: Of everything random.
    """

    minutes: float | None = None
    steps: int = 200
    short: int = 128
    long: int = 48
    long_from: float = 0.6
    peak: float = 2e-3
    warm_up: int = 300
    frames_weight: float = 0.5
    attention_weight: float = 0.3
    decay: float = 0.998
    check_seconds: float = 30.0
    held_out: int = 1000
    seed: int = 0


class Trainer:
    """One network, its optimiser and the running mean of its weights."""

    def __init__(self, geometry: Geometry, vocabulary: Vocabulary, bank: Bank, plan: Plan) -> None:
        mx.random.seed(plan.seed)
        self.geometry, self.vocabulary, self.plan = geometry, vocabulary, plan
        self.bank = bank.frames
        held = min(plan.held_out, len(bank.spoken) // 5)
        order = np.arange(len(bank.spoken))
        other = np.arange(len(bank.other))
        apart = max(1, len(other) // 20)
        self._learn = (bank.spoken.part(order[held:]), bank.other.part(other[apart:]))
        self._held = (bank.spoken.part(order[:held]), bank.other.part(other[:apart]))
        self.model = Whisper(geometry)
        self.bias = mx.zeros(geometry.rows)
        self.bias[OTHER] = vocabulary.others_bias
        self.optimizer = optimizers.AdamW(learning_rate=0.0, betas=[0.9, 0.98], weight_decay=0.02)
        self.optimizer.init(self.model.trainable_parameters())
        self.mean = tree_map(lambda p: p + 0, self.model.trainable_parameters())
        self._gradient = nn.value_and_grad(self.model, self._loss)

    def source(self, layout: Layout, *, held_out: bool = False) -> Batches:
        """Batches to learn from, or to judge by."""
        return Batches(*(self._held if held_out else self._learn), self.vocabulary, layout)

    def _forward(self, batch: Batch, targets: mx.array) -> tuple[mx.array, mx.array, mx.array, mx.array]:
        states = self.model.encoder(compose(self.bank, batch))
        inputs = mx.maximum(batch.tokens[:, :-1], 0)
        logits, attended = self.model.decoder(inputs, states)
        known = targets >= 0
        losses = nn.losses.cross_entropy(logits + self.bias, mx.maximum(targets, 0))
        token_loss = (losses * known).sum() / known.sum()
        right = ((logits + self.bias).argmax(axis=-1) == targets) & known
        labels = frame_labels(batch)
        told = labels >= 0
        frame_losses = nn.losses.cross_entropy(self.model.frame_words(states), mx.maximum(labels, 0))
        frame_loss = (frame_losses * told).sum() / mx.maximum(told.sum(), 1)
        begin, end = batch.spans[:, 1:, 0, None], batch.spans[:, 1:, 1, None]
        at = mx.arange(batch.frames // 2)
        there = (at >= begin) & (at < end)
        asked = (begin[..., 0] >= 0) & known
        attention_loss = mx.zeros(())
        for weights in attended:
            inside = -mx.log((weights * there).sum(axis=-1) + 1e-3)
            attention_loss = attention_loss + (inside * asked).sum() / mx.maximum(asked.sum(), 1)
        return token_loss, frame_loss, attention_loss / len(attended), right.sum() / known.sum()

    def _loss(self, batch: Batch, targets: mx.array, attention_weight: float) -> tuple[mx.array, ...]:
        token, frame, attention, right = self._forward(batch, targets)
        total = token + self.plan.frames_weight * frame + attention_weight * attention
        return total, token, frame, attention, right

    def learning_rate(self, step: int, progress: float) -> float:
        """Linear warm-up, then a cosine down to a fiftieth of the peak."""
        peak = self.plan.peak * min(1.0, (step + 1) / self.plan.warm_up)
        return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))

    def train_on(self, batch: Batch, source: Batches, step: int, progress: float) -> list[mx.array]:
        """One step; losses without waiting for them: all, token, frame, attention, and tokens right."""
        self.optimizer.learning_rate = mx.array(self.learning_rate(step, progress))
        weight = self.plan.attention_weight * max(0.1, 1 - 1.3 * progress)
        values, gradient = self._gradient(batch, source.targets(batch.tokens), weight)
        gradient, _ = optimizers.clip_grad_norm(gradient, 1.0)
        self.optimizer.update(self.model, gradient)
        decay = min(self.plan.decay, (1 + step) / (10 + step))  # early weights are soon forgotten
        self.mean = tree_map(
            lambda m, p: m * decay + p * (1 - decay), self.mean, self.model.trainable_parameters()
        )
        mx.async_eval(values, self.mean, self.model.parameters(), self.optimizer.state)
        return list(values)

    def judge(self, layout: Layout, *, batches: int = 3) -> dict[str, float]:
        """Held-out losses of the running mean, always on the same windows."""
        own = self.model.trainable_parameters()
        self.model.update(self.mean)
        source = self.source(layout, held_out=True)
        endless = source.endless(min(48, self.plan.long), 5)
        sums = np.zeros(4)
        for _ in range(batches):
            batch = next(endless)
            values = self._forward(batch, source.targets(batch.tokens))
            sums += [float(np.array(value)) for value in values]
        self.model.update(own)
        names = ("token", "frame", "attention", "right")
        return dict(zip(names, (sums / batches).round(4).tolist(), strict=True))

    def save(self, path: Path, extra: dict[str, str]) -> None:
        """The running mean, the sizes and the vocabulary, whole or not at all."""
        metadata = {"geometry": json.dumps(dataclasses.asdict(self.geometry)), **extra}
        tensors: Any = dict(tree_flatten(self.mean))
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.safetensors")
        mx.save_safetensors(str(temporary), tensors, metadata)
        temporary.replace(path)


class _Ahead:
    """Draws batches in a thread, two ahead of their use."""

    def __init__(self, source: Batches, size: int, seed: int) -> None:
        self.source = source
        self._rng = np.random.default_rng([seed, 22])
        self._size = size
        self._ready: queue.Queue[Tables | Exception] = queue.Queue(maxsize=2)
        self._done = threading.Event()
        threading.Thread(target=self._fill, daemon=True).start()

    def _fill(self) -> None:
        while not self._done.is_set():
            batch: Tables | Exception
            try:
                batch = self.source.draw(self._size, self._rng)
            except Exception as error:  # whoever waits for the batch is to have it
                batch = error
            while not self._done.is_set():
                try:
                    self._ready.put(batch, timeout=0.2)
                    break
                except queue.Full:
                    continue

    def __next__(self) -> Batch:
        batch = self._ready.get()
        if isinstance(batch, Exception):
            raise batch
        return batch.on_device()

    def close(self) -> None:
        self._done.set()


def train(trainer: Trainer, out: Path) -> float:
    """Train until the plan's time or steps are spent; the best and the last weights lie in `out`.

    Returns:
        The lowest held-out token loss on windows of 30 s, in nats.
    """
    plan = trainer.plan
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    _warm_up(trainer)
    _report(out, {"event": "warm", "seconds": round(time.monotonic() - began, 1)})
    best, step, began = math.inf, 0, time.monotonic()
    checked, long = began, False
    layout, ahead = SHORT, _Ahead(trainer.source(SHORT), plan.short, plan.seed)
    logged, logged_step = began, 0
    waiting: list[mx.array] | None = None
    while True:
        now = time.monotonic()
        progress = step / plan.steps if plan.minutes is None else (now - began) / (60 * plan.minutes)
        if not long and progress >= plan.long_from:
            ahead.close()
            long, layout, best = True, LONG, math.inf
            ahead = _Ahead(trainer.source(LONG), plan.long, plan.seed + 1)
        values = trainer.train_on(next(ahead), ahead.source, step, progress)
        if waiting is not None:  # one step ahead of the device, not more
            mx.eval(waiting)
        waiting = values
        step += 1
        last = progress >= 1 or (plan.minutes is None and step >= plan.steps)
        if step % 50 == 0 or last:
            numbers = [round(float(np.array(value)), 4) for value in values]
            now = time.monotonic()
            names = ("loss", "token", "frame", "attention", "right")
            entry = {"step": step, "done": round(progress, 3), **dict(zip(names, numbers, strict=True))}
            _report(out, {**entry, "ms": round(1000 * (now - logged) / (step - logged_step), 1)})
            logged, logged_step = now, step
        if last or time.monotonic() - checked > plan.check_seconds:
            held = trainer.judge(layout)
            if held["token"] <= best:
                best = held["token"]
                trainer.save(out / "whisper.safetensors", {"held_out": json.dumps(held), "step": str(step)})
            _report(out, {"event": "held out", "step": step, "frames": layout.frames, **held})
            checked = time.monotonic()
        if last:
            ahead.close()
            trainer.save(out / "whisper.last.safetensors", {"step": str(step)})
            return best


def _warm_up(trainer: Trainer) -> None:
    """Both lengths once, without learning, so that every kernel is made before the clock starts."""
    for layout, size in ((SHORT, trainer.plan.short), (LONG, trainer.plan.long)):
        source = trainer.source(layout)
        batch = next(source.endless(size, 99))
        for _ in range(2):
            begin = time.monotonic()
            values, gradient = trainer._gradient(batch, source.targets(batch.tokens), 0.3)
            mx.eval(values, gradient)
            _log.info("%d frames: %.2f s", layout.frames, time.monotonic() - begin)
        trainer.judge(layout, batches=1)


def _report(out: Path, values: dict[str, object]) -> None:
    _log.info("%s", json.dumps(values))
    with (out / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")


def geometry_of(vocabulary: Vocabulary, **sizes: int) -> Geometry:
    """The sizes for a vocabulary."""
    return Geometry(rows=len(vocabulary.rows) + 1, words=len(WORDS) + 1, **sizes)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this stage."""
    plan = Plan()
    parser = argparse.ArgumentParser(prog="python -m indexing.training.train", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of indexing.training.corpus")
    parser.add_argument("--vocabulary", type=Path, required=True, help="file of indexing.training.vocabulary")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--short", type=int, default=plan.short, help="windows of 10 s in a batch")
    parser.add_argument("--long", type=int, default=plan.long, help="windows of 30 s in a batch")
    parser.add_argument("--long-from", type=float, default=plan.long_from)
    parser.add_argument("--peak", type=float, default=plan.peak)
    parser.add_argument("--warm-up", type=int, default=plan.warm_up)
    parser.add_argument("--check-seconds", type=float, default=plan.check_seconds)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--encoder-layers", type=int, default=6)
    parser.add_argument("--decoder-layers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    vocabulary = Vocabulary.load(options.vocabulary)
    geometry = geometry_of(
        vocabulary,
        width=options.width,
        encoder_layers=options.encoder_layers,
        decoder_layers=options.decoder_layers,
    )
    names = ("minutes", "steps", "short", "long", "long_from", "peak", "warm_up", "check_seconds", "seed")
    plan = Plan(**{name: getattr(options, name) for name in names})
    bank = load_bank(options.data)
    trainer = Trainer(geometry, vocabulary, bank, plan)
    arrays: Any = tree_flatten(trainer.model.parameters())
    size = sum(value.size for _, value in arrays)
    _log.info("%d and %d clips, %d parameters", len(bank.spoken), len(bank.other), size)
    _log.info("best held-out token loss %.4f", train(trainer, options.out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

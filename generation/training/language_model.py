"""Training the text encoder and the decoder together on encoded clips.

`python -m generation.training.language_model --data DIR --vocabulary spiece.model --out DIR --minutes 9`
reads what `generation.training.encode` wrote, and keeps the weights that do best on held-out clips.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import mlx.core as mx
import numpy as np
from mlx import nn, optimizers
from mlx.utils import tree_flatten, tree_map

from generation.config import DecoderConfig, MusicGenConfig, T5Config
from generation.decoder import MusicGenDecoder, TextMemory
from generation.delay import DelayPattern
from generation.layers import sinusoidal_positions
from generation.t5 import T5Encoder
from generation.text import SentencePieceTokenizer
from generation.training.codec_files import read_tensors, write_tensors
from generation.training.corpus import Batch, Corpus, read_encoded, tokenise
from generation.training.starter.config import STARTER

_log = logging.getLogger(__name__)

POSITIONS = 1504
"""Positions that are trained: clips start anywhere up to here, so that a longer piece meets none it never saw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to train.

    Attributes:
        minutes: Time for steps; None counts `steps` instead.
        steps: Steps, where `minutes` is None.
        batch: Clips a step.
        peak: Highest learning rate.
        warm_up: Steps until it is reached.
        frames: Length of the parts of clips that are trained on; None is whole clips.
        drop: Share of captions left out, for classifier-free guidance.
        decay: Of the running mean of the weights, which is what is kept.
        dtype: Number type of products; master weights are float32.
        compiled: Compile the step; it has not paid on any backend yet (docs/training.md).
        held_out: Clips kept apart to choose the best weights by.
        check_every: Steps between looks at them.
        seed: Of everything random.
    """

    minutes: float | None = None
    steps: int = 1000
    batch: int = 64
    peak: float = 1e-3
    warm_up: int = 300
    frames: int | None = None
    drop: float = 0.1
    decay: float = 0.999
    dtype: str = "float32"
    compiled: bool = False
    held_out: int = 512
    check_every: int = 500
    seed: int = 0


class LanguageModel(nn.Module):
    """Text encoder and decoder: all that is trained on codes."""

    def __init__(self, text: T5Config, decoder: DecoderConfig) -> None:
        super().__init__()
        self.text_encoder = T5Encoder(text)
        self.decoder = MusicGenDecoder(decoder, text.d_model)
        self.initialise(decoder.num_hidden_layers)

    def initialise(self, depth: int) -> None:
        """Normal weights of 0.02, smaller where residual branches add up (Radford et al. 2019, section 2.3)."""
        drawn = []
        for name, value in named_arrays(self):
            if value.ndim < 2:
                continue
            branch_end = name.endswith(("out.weight", "fc2.weight", ".o.weight", "wo.weight"))
            scale = 0.02 / math.sqrt(3 * depth) if branch_end else 0.02
            drawn.append((name, mx.random.normal(value.shape) * scale))
        self.load_weights(drawn, strict=False)

    def __call__(self, tokens: mx.array, text: mx.array, keep: mx.array, positions: mx.array) -> mx.array:
        """Logits `(B, K, T, V)` of tokens `(B, K, T)` under captions `(B, S)`, kept where `keep (B,)` is 1."""
        mask = text != 0
        states = self.decoder.project_text(self.text_encoder(text, mask))
        visible = mask.astype(states.dtype) * keep[:, None].astype(states.dtype)
        memory = TextMemory((0, tokens.shape[0]), states * visible[..., None], mask[:, None, None, :])
        hidden = self.decoder.hidden(tokens, [self.decoder.remember(memory)], positions=positions)
        return self.decoder.logits(hidden)


def named_arrays(module: nn.Module) -> list[tuple[str, mx.array]]:
    """The module's parameters by their dotted names."""
    return list(tree_flatten(module.parameters()))  # type: ignore[arg-type]  # its stub allows for a single leaf


def next_token_loss(logits: mx.array, targets: mx.array, special: int) -> mx.array:
    """Mean cross-entropy in nats a token over the places that hold a code."""
    known = targets != special
    losses = nn.losses.cross_entropy(logits.astype(mx.float32), mx.where(known, targets, 0))
    mean: mx.array = (losses * known).sum() / known.sum()
    return mean


class Trainer:
    """One model, its optimiser and the running mean of its weights."""

    def __init__(
        self, text: T5Config, decoder: DecoderConfig, plan: Plan, *, start: Path | None = None
    ) -> None:
        mx.random.seed(plan.seed)
        self.plan = plan
        self.geometry: dict[str, T5Config | DecoderConfig] = {"text_encoder": text, "decoder": decoder}
        self.special = decoder.pad_token_id
        self.width = decoder.hidden_size
        self.pattern = DelayPattern.of(decoder.num_codebooks, decoder.audio_channels)
        self.model = LanguageModel(text, decoder)
        if start is not None:
            self.model.load_weights(list(read_tensors(start)[0].items()))
        self.optimizer = optimizers.AdamW(learning_rate=0.0, betas=[0.9, 0.95], weight_decay=0.05)
        self.optimizer.init(self.model.trainable_parameters())
        self.mean = tree_map(lambda p: p + 0, self.model.trainable_parameters())
        self._state = [self.model.state, self.optimizer.state, mx.random.state]
        self._gradient = nn.value_and_grad(self.model, self._loss)
        self.step: Callable[..., mx.array] = (
            mx.compile(self._step, inputs=self._state, outputs=self._state) if plan.compiled else self._step
        )

    def _loss(self, tokens: mx.array, text: mx.array, keep: mx.array, positions: mx.array) -> mx.array:
        logits = self.model(tokens[:, :, :-1], text, keep, positions)
        return next_token_loss(logits, tokens[:, :, 1:], self.special)

    def _step(self, tokens: mx.array, text: mx.array, keep: mx.array, positions: mx.array) -> mx.array:
        master = self.model.trainable_parameters()
        if self.plan.dtype != "float32":
            narrow = getattr(mx, self.plan.dtype)
            self.model.update(tree_map(lambda p: p.astype(narrow), master))
        loss, gradient = self._gradient(tokens, text, keep, positions)
        gradient = tree_map(lambda g: g.astype(mx.float32), gradient)
        self.model.update(master)
        gradient, _ = optimizers.clip_grad_norm(gradient, 1.0)
        self.optimizer.update(self.model, gradient)
        return cast(mx.array, loss)

    def learning_rate(self, step: int, progress: float) -> float:
        """Linear warm-up, then a cosine down to a twentieth of the peak."""
        peak = self.plan.peak * min(1.0, (step + 1) / max(1, self.plan.warm_up))
        return peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))

    def positions(self, length: int, rng: np.random.Generator) -> mx.array:
        """Half of the batches start at position 0, as generation does; the others anywhere."""
        start = 0 if rng.random() < 0.5 else int(rng.integers(0, max(1, POSITIONS - length)))
        return sinusoidal_positions(start, length, self.width)

    def train_on(self, batch: Batch, step: int, rng: np.random.Generator) -> mx.array:
        """One step; returns the loss without waiting for it."""
        positions = self.positions(batch.tokens.shape[2] - 1, rng)
        self.model.train()
        loss = self.step(mx.array(batch.tokens), mx.array(batch.text), mx.array(batch.keep), positions)
        decay = min(self.plan.decay, (1 + step) / (10 + step))  # early weights are soon forgotten
        self.mean = tree_map(
            lambda m, p: m * decay + p * (1 - decay), self.mean, self.model.trainable_parameters()
        )
        mx.eval(loss, self.mean, self._state)
        return loss

    def held_out_loss(self, corpus: Corpus) -> float:
        """Loss of the running mean on held-out clips, all with their first caption."""
        own = self.model.trainable_parameters()
        self.model.update(self.mean)
        self.model.eval()
        size = min(self.plan.batch, len(corpus.codes))
        batches = corpus.batches(size, self.pattern, self.special, drop=0.0, seed=1)
        losses = []
        for _ in range(max(1, len(corpus.codes) // size)):
            batch = next(batches)
            positions = sinusoidal_positions(0, batch.tokens.shape[2] - 1, self.width)
            arrays = (mx.array(batch.tokens), mx.array(batch.text), mx.array(batch.keep))
            losses.append(float(np.array(self._loss(*arrays, positions))))
        self.model.update(own)
        return float(np.mean(losses))


def train(
    trainer: Trainer,
    corpus: Corpus,
    out: Path,
    *,
    report: Callable[[dict[str, float]], None] = lambda values: None,
) -> float:
    """Train until the plan's time or steps are spent.

    The running mean that did best on held-out clips is kept in `out/language_model.safetensors`, the last one in
    `out/language_model.last.safetensors`.

    Returns:
        The lowest held-out loss in nats a token.
    """
    plan = trainer.plan
    out.mkdir(parents=True, exist_ok=True)
    learn, held_out = corpus.split(min(plan.held_out, len(corpus.codes) // 5 or 1))
    batches = learn.batches(
        plan.batch, trainer.pattern, trainer.special, drop=plan.drop, seed=plan.seed, frames=plan.frames
    )
    rng = np.random.default_rng(plan.seed)
    best, step, began = math.inf, 0, time.monotonic()
    window: list[float] = []
    while True:
        spent = time.monotonic() - began
        progress = step / plan.steps if plan.minutes is None else spent / (60 * plan.minutes)
        trainer.optimizer.learning_rate = mx.array(trainer.learning_rate(step, progress))
        window.append(float(np.array(trainer.train_on(next(batches), step, rng))))
        step += 1
        last = progress >= 1 or (plan.minutes is None and step >= plan.steps)
        if step % 50 == 0 or last:
            values = {"step": step, "seconds": round(spent, 1), "loss": round(float(np.mean(window)), 4)}
            window.clear()
            if step % plan.check_every == 0 or last:
                loss = trainer.held_out_loss(held_out)
                values["held_out"] = round(loss, 4)
                best = min(best, loss)
                if loss == best:
                    _save(trainer, out / "language_model.safetensors")
            report(values)
        if last:
            _save(trainer, out / "language_model.last.safetensors")
            return best


def _save(trainer: Trainer, path: Path) -> None:
    """Weights, and the geometry that they are of, whole or not at all."""
    geometry = {part: json.dumps(dataclasses.asdict(config)) for part, config in trainer.geometry.items()}
    write_tensors(path, dict(tree_flatten(trainer.mean)), geometry)


def load_corpus(folder: Path, vocabulary: Path) -> Corpus:
    """Encoded clips with their captions as tokens of `vocabulary`."""
    codes, captions = read_encoded(folder)
    tokenizer = SentencePieceTokenizer(vocabulary, 1)
    return Corpus(codes, tokenise(captions, tokenizer.encode))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vocabulary", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--peak", type=float, default=1e-3)
    parser.add_argument("--frames", type=int, help="train on parts of clips of this many frames")
    parser.add_argument("--hidden", type=int, default=STARTER.decoder.hidden_size, help="the decoder's width")
    parser.add_argument("--layers", type=int, default=STARTER.decoder.num_hidden_layers)
    parser.add_argument("--ffn", type=int, default=STARTER.decoder.ffn_dim)
    parser.add_argument("--held-out", type=int, default=512, help="clips to choose the best weights by")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument(
        "--warm-up", type=int, default=300, help="steps until the learning rate is at its peak"
    )
    parser.add_argument("--start", type=Path, help="language_model.safetensors to go on from")
    parser.add_argument("--compile", action="store_true", dest="compiled", help="compile the step")
    parser.add_argument("--toy", action="store_true", help="the smallest model, to try the stage")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """The command line of this stage."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    plan = Plan(
        minutes=options.minutes,
        steps=options.steps,
        batch=options.batch,
        peak=options.peak,
        warm_up=options.warm_up,
        frames=options.frames,
        held_out=options.held_out,
        dtype=options.dtype,
        compiled=options.compiled,
    )
    corpus = load_corpus(options.data, options.vocabulary)
    config = MusicGenConfig.tiny() if options.toy else STARTER
    decoder = dataclasses.replace(config.decoder, dropout=options.dropout)
    if not options.toy:
        size = {"hidden_size": options.hidden, "num_hidden_layers": options.layers, "ffn_dim": options.ffn}
        decoder = dataclasses.replace(decoder, **size)
    trainer = Trainer(config.text_encoder, decoder, plan, start=options.start)
    count = sum(value.size for _, value in named_arrays(trainer.model))
    _log.info("%d clips of %d frames, %d parameters", len(corpus.codes), corpus.codes.shape[2], count)
    options.out.mkdir(parents=True, exist_ok=True)

    def report(values: dict[str, float]) -> None:
        _log.info("%s", json.dumps(values))
        with (options.out / "language_model.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    best = train(trainer, corpus, options.out, report=report)
    _log.info("best held-out loss %.4f", best)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Training the starter's audio codec: `python -m generation.training.codec --data DIR --out DIR --minutes 9`.

Three phases: first without quantiser, then with codebooks fitted to the latents, at the end with the LSTMs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from generation.config import EncodecConfig
from generation.errors import InvalidRequestError
from generation.training.codec_files import load_state, save_codec, save_state
from generation.training.codec_step import CodecTrainer, Metrics, StepSettings, scalars
from generation.training.losses import FLOOR, LossWeights
from generation.training.quantizer import perplexity
from generation.training.segments import Prefetcher, SegmentSource
from generation.training.starter.config import STARTER_CODEC

TOY_CODEC = dataclasses.replace(
    STARTER_CODEC, num_filters=6, hidden_size=24, codebook_size=64, target_bandwidths=(1.2,)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecRun:
    """A training run; its length is `minutes`, or `steps` where that is given."""

    data: Path
    out: Path
    config: EncodecConfig = STARTER_CODEC
    minutes: float = 9.0
    steps: int | None = None
    batch: int = 48
    seconds: float = 0.96
    seed: int = 0
    waveform: float = 30.0
    final_waveform: float = 10.0
    floor: float = FLOOR
    rate: float = 1e-3
    final_rate: float = 5e-5
    warm_up: int = 200
    quantise_from: int = 300
    restart_every: int = 200
    restart_until: float = 0.8
    lstm_from: float = 0.65
    fit_batches: int = 8
    shallow: float = 0.0
    compiled: bool = False
    log_every: int = 50
    evaluate_every: int = 500
    save_seconds: float = 60.0

    @property
    def samples(self) -> int:
        """Samples of a segment, whole frames."""
        hop = self.config.hop_length
        return round(self.seconds * self.config.sampling_rate / hop) * hop

    @property
    def step_settings(self) -> StepSettings:
        """What a single step needs."""
        return StepSettings(weights=LossWeights(waveform=self.final_waveform), floor=self.floor)

    def learning_rate(self, step: int, fraction: float) -> float:
        """Linear warm-up by steps, then a cosine over the run."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
        rate = self.final_rate + (self.rate - self.final_rate) * cosine
        return rate * min(1.0, (step + 1) / self.warm_up)

    def waveform_weight(self, fraction: float) -> float:
        """Large at first, when phase is learnt, and smaller later, when it would dull what cannot be predicted."""
        return self.waveform + (self.final_waveform - self.waveform) * min(1.0, fraction)

    def depth(self, step: int) -> NDArray[np.int32]:
        """Codebooks for each item of a step's batch: none at first, then all, or fewer for a share of `shallow`."""
        books = self.config.num_quantizers
        if step < self.quantise_from:
            return np.zeros(self.batch, np.int32)
        rng = np.random.default_rng([self.seed, step, 3])
        fewer = rng.random(self.batch) < self.shallow
        return np.where(fewer, rng.integers(1, books + 1, self.batch), books).astype(np.int32)


class CodecLoop:
    """Runs the steps, logs them and writes checkpoints."""

    def __init__(self, run: CodecRun, *, resume: Path | None = None) -> None:
        self.run = run
        self.trainer = CodecTrainer(run.config, run.step_settings, compiled=run.compiled)
        self.source = SegmentSource(run.data, batch=run.batch, samples=run.samples, seed=run.seed)
        self.held = self.source.held_out()
        self.state = self.trainer.initial_state(run.seed)
        self.number, self.spent = 0, 0.0
        self.skipped, self.dead = 0.0, [0] * run.config.num_quantizers
        self.lstm = False
        if resume is not None:
            self.state, progress = load_state(resume)
            self.number, self.spent = int(progress["step"]), float(progress["seconds"])
            self.lstm = bool(progress["lstm"])
        self._began = time.monotonic()
        run.out.mkdir(parents=True, exist_ok=True)

    @property
    def seconds(self) -> float:
        """Time trained so far, of earlier runs too."""
        return self.spent + time.monotonic() - self._began

    @property
    def fraction(self) -> float:
        """How much of the run is done."""
        if self.run.steps is not None:
            return self.number / self.run.steps
        return self.seconds / (60 * self.run.minutes)

    def log(self, values: dict[str, object]) -> None:
        """A line on standard output and in `log.jsonl`."""
        print(
            " ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()),
            flush=True,
        )
        with (self.run.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def warm_up(self) -> None:
        """Make every kernel of all phases once, before the clock starts; nothing is learnt."""
        start = time.monotonic()
        batch, depth = self.source.batch(0), self.run.depth(self.run.quantise_from)
        for lstm in (False, True):
            for _ in range(2):
                made = self.trainer.step(self.state, batch, number=0, rate=0.0, depth=depth, lstm=lstm)
                mx.eval(made)
            self.log({"event": "warm", "lstm": lstm, "seconds": time.monotonic() - start})
            self.evaluate(lstm=lstm)
        self.log({"event": "start", "seconds": time.monotonic() - start, "clips": self.source.clips})
        self._began = time.monotonic()

    def evaluate(self, *, lstm: bool | None = None) -> bool:
        """Log held-out losses of the weights and of their average; whether the average is better."""
        losses = {}
        for averaged in (False, True):
            values, _ = self.trainer.evaluate(
                self.state, self.held, averaged=averaged, lstm=self.lstm if lstm is None else lstm
            )
            losses[averaged] = values["loss"]
            name = "averaged" if averaged else "held_out"
            self.log({"event": name, "step": self.number, **values})
        return losses[True] < losses[False]

    def save(self) -> None:
        """Write `codec.safetensors`, of the better of weights and average, and `state.safetensors`."""
        averaged = self.evaluate()
        save_codec(
            self.run.out / "codec.safetensors",
            self.trainer.codec(self.state, averaged=averaged),
            self.run.config,
        )
        progress = {"step": self.number, "seconds": self.seconds, "lstm": self.lstm}
        save_state(self.run.out / "state.safetensors", self.state, progress)

    def train(self) -> None:
        """All steps, to the end of the run; an interruption writes the checkpoint too."""
        self.warm_up()
        batches = Prefetcher(self.source, self.number)
        try:
            self._steps(batches)
        except KeyboardInterrupt:
            self.log({"event": "interrupted", "step": self.number})
        finally:
            batches.close()
        self.save()
        self.log({"event": "end", "step": self.number, "seconds": self.seconds, "clips": self.source.clips})

    def _steps(self, batches: Prefetcher) -> None:
        saved = logged = time.monotonic()
        while (fraction := self.fraction) < 1:
            if self.number == self.run.quantise_from:
                self._start_books()
            self.lstm = self.lstm or fraction >= self.run.lstm_from
            waiting = self.state["weights"]
            self.state, metrics, residuals = self.trainer.step(
                self.state,
                batches.next(),
                number=self.number,
                rate=self.run.learning_rate(self.number, fraction),
                depth=self.run.depth(self.number),
                lstm=self.lstm,
                waveform=self.run.waveform_weight(fraction),
            )
            mx.async_eval(self.state, metrics, residuals)
            mx.eval(waiting)  # one step ahead of the device, not more
            self.number += 1
            self._tend_books(residuals, fraction)
            if self.number % self.run.log_every == 0:
                logged = self._log_step(metrics, fraction, logged)
            if self.number % self.run.evaluate_every == 0:
                self.evaluate()
            if time.monotonic() - saved > self.run.save_seconds:
                self.save()
                saved = time.monotonic()

    def _start_books(self) -> None:
        batches = [self.source.batch(2**40 + i) for i in range(self.run.fit_batches)]
        self.state = self.trainer.fit_books(self.state, batches, self.run.seed)
        self.log({"event": "codebooks fitted", "step": self.number})

    def _tend_books(self, residuals: mx.array, fraction: float) -> None:
        if self.number % self.run.restart_every or self.number <= self.run.quantise_from:
            return
        usage = np.array(self.state["usage"])
        self.dead = [int(count) for count in (usage == 0).sum(axis=1)]
        self.log(
            {"event": "codebooks", "step": self.number, "dead": self.dead, "perplexity": perplexity(usage)}
        )
        if fraction < self.run.restart_until:
            rng = np.random.default_rng([self.run.seed, self.number, 4])
            self.state = self.trainer.restart(self.state, residuals, rng)
        self.state = {**self.state, "usage": mx.zeros_like(self.state["usage"])}

    def _log_step(self, metrics: Metrics, fraction: float, since: float) -> float:
        values = scalars(metrics)
        now = time.monotonic()
        milliseconds = 1000 * (now - since) / self.run.log_every
        rate = self.run.learning_rate(self.number, fraction)
        self.log(
            {"step": self.number, "done": fraction, "ms": milliseconds, "rate": rate, "lstm": self.lstm}
            | values
            | {"dead": self.dead}
        )
        return now


def toy(run: CodecRun) -> CodecRun:
    """The same run at a size for a CPU: everything sooner and smaller."""
    return dataclasses.replace(
        run,
        config=TOY_CODEC,
        batch=min(run.batch, 8),
        seconds=min(run.seconds, 0.32),
        rate=3e-3,
        warm_up=20,
        quantise_from=100,
        restart_every=25,
        fit_batches=4,
        evaluate_every=100,
    )


def parse(arguments: Sequence[str] | None = None) -> tuple[CodecRun, Path | None]:
    """The command line as a run and the state to go on from."""
    parser = argparse.ArgumentParser(prog="python -m generation.training.codec", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of shards pcm-*.npy")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the log")
    parser.add_argument("--minutes", type=float, default=9.0, help="length of the run, compiling left out")
    parser.add_argument("--steps", type=int, help="length of the run in steps instead")
    parser.add_argument("--batch", type=int, default=48, help="segments a step")
    parser.add_argument("--seconds", type=float, default=0.96, help="length of a segment")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--waveform", type=float, default=30.0, help="weight of the waveform's L1 at first")
    parser.add_argument("--final-waveform", type=float, default=10.0, help="the same at the end")
    parser.add_argument("--floor", type=float, default=FLOOR, help="magnitude that counts as silence")
    parser.add_argument("--lstm-from", type=float, default=0.65, help="share of the run without LSTMs")
    parser.add_argument("--shallow", type=float, default=0.0, help="share of items with fewer codebooks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=Path, help="state.safetensors of an earlier run")
    parser.add_argument("--compile", action="store_true", dest="compiled", help="compile the step")
    parser.add_argument("--toy", action="store_true", help="a tiny codec, for a rehearsal")
    options = vars(parser.parse_args(arguments))
    resume, small = options.pop("resume"), options.pop("toy")
    if options["batch"] < 1 or options["minutes"] <= 0 or options["seconds"] <= 0:
        raise InvalidRequestError("--batch, --minutes and --seconds must be above zero.")
    run = CodecRun(**options)
    return (toy(run) if small else run), resume


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Train a codec from the command line; a termination signal ends it with a checkpoint."""
    logging.basicConfig(level=logging.INFO)
    run, resume = parse(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    CodecLoop(run, resume=resume).train()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

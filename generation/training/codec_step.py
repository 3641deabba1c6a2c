"""One training step of the codec as a pure function of its state, so that it can be compiled or not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from generation.config import EncodecConfig
from generation.encodec import LSTM, Decoder, Encodec, Encoder
from generation.training.flat import FlatParameters
from generation.training.losses import FLOOR, LossWeights, SpectralLoss
from generation.training.quantizer import Books, fit_books, quantize, restart_codes, update_books

State = dict[str, mx.array]
Metrics = dict[str, mx.array]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettings:
    """What a step needs to know beside its state."""

    weights: LossWeights = field(default_factory=LossWeights)
    floor: float = FLOOR
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = 0.01
    clip: float = 1.0
    book_decay: float = 0.99


def run_layers(part: Encoder | Decoder, x: mx.array, *, lstm: bool) -> mx.array:
    """Run the encoder or the decoder, with or without its LSTM.

    An LSTM of zero weights gives nothing beside its residual, so leaving it out is then exact and saves
    the launches of one step for each frame.
    """
    for layer in part.layers:
        if lstm or not isinstance(layer, LSTM):
            x = layer(x)
    return x


class CodecTrainer:
    """The codec's skeleton, its losses and its steps; all that changes is in `State` dictionaries.

    State: `weights`, their moments `mean` and `square`, their running average `average`; the codebooks `embed`,
    `load`, `total`, their running average `embed_average`; `usage` since it was last set to zero.
    """

    def __init__(self, config: EncodecConfig, settings: StepSettings, *, compiled: bool = False) -> None:
        self.config, self.settings = config, settings
        self.model = Encodec(config)
        self.flat = FlatParameters(self.model, skip="quantizer.")
        self.spectral = SpectralLoss(config.sampling_rate, floor=settings.floor)
        self._steps: dict[bool, Callable[..., tuple[State, Metrics, mx.array]]] = {}
        for lstm in (False, True):
            step = partial(self._step, lstm=lstm)
            self._steps[lstm] = mx.compile(step) if compiled else step

    def initial_state(self, seed: int) -> State:
        """Fresh weights from `seed`, the LSTMs at zero."""
        mx.random.seed(seed)
        model = Encodec(self.config)
        for part in (model.encoder, model.decoder):
            for layer in part.layers:
                if isinstance(layer, LSTM):
                    layer.apply(mx.zeros_like)
        weights = self.flat.gather(model)
        embed = mx.stack([layer.embed for layer in model.quantizer.layers])
        zeros = mx.zeros_like(weights)
        state = {"weights": weights, "mean": zeros, "square": zeros, "average": weights}
        state.update(self._book_state(Books(embed, mx.ones(embed.shape[:2]), embed)))
        mx.eval(state)
        return state

    @staticmethod
    def _book_state(books: Books) -> State:
        return {
            **books._asdict(),
            "embed_average": books.embed,
            "usage": mx.zeros_like(books.load),
        }

    def loss(
        self,
        weights: mx.array,
        embed: mx.array,
        audio: mx.array,
        depth: mx.array,
        waveform: mx.array | float,
        *,
        lstm: bool,
    ) -> tuple[mx.array, Metrics, tuple[mx.array, mx.array, mx.array], mx.array]:
        """Loss, its terms, the books' statistics and the codec's output `(B, samples)`; `waveform` is a weight."""
        self.flat.bind(self.model, weights)
        z = run_layers(self.model.encoder, audio[..., None], lstm=lstm)
        quantized = quantize(z, embed, depth)
        made = run_layers(self.model.decoder, quantized.latent, lstm=lstm)[..., 0]
        terms = self.spectral(made, audio) | {"commitment": quantized.commitment}
        factors = asdict(self.settings.weights) | {"waveform": waveform}
        loss = sum((terms[name] * factor for name, factor in factors.items()), mx.array(0.0))
        metrics = {"loss": loss, **terms, "quantisation_error": quantized.error}
        return loss, metrics, (quantized.counts, quantized.sums, quantized.residuals), made

    def _step(
        self, state: State, audio: mx.array, depth: mx.array, controls: mx.array, *, lstm: bool
    ) -> tuple[State, Metrics, mx.array]:
        gradient_of = mx.value_and_grad(partial(self.loss, lstm=lstm))
        (_, metrics, (counts, sums, residuals), _), gradient = gradient_of(
            state["weights"], state["embed"], audio, depth, controls[4]
        )
        norm = mx.sqrt(mx.sum(gradient * gradient))
        finite = mx.isfinite(norm)
        # A step whose gradient overflowed changes nothing; the log counts such steps.
        scale = mx.minimum(self.settings.clip / mx.maximum(norm, 1e-9), 1.0)
        gradient = mx.where(finite, gradient * scale, 0.0)
        new = self._update_weights(state, gradient, controls, finite)
        books = Books(state["embed"], state["load"], state["total"])
        updated = update_books(books, counts, sums, self.settings.book_decay)
        new.update(
            {
                name: mx.where(finite, b, a)
                for (name, a), b in zip(books._asdict().items(), updated, strict=True)
            }
        )
        new["embed_average"] = _towards(state["embed_average"], new["embed"], controls[1])
        new["usage"] = state["usage"] + counts
        metrics |= {"gradient": norm, "skipped": 1.0 - finite.astype(mx.float32)}
        return new, metrics, residuals

    def _update_weights(
        self, state: State, gradient: mx.array, controls: mx.array, finite: mx.array
    ) -> State:
        """AdamW (Loshchilov & Hutter 2019).

        `controls`: learning rate, the average's decay, two bias corrections, the waveform's weight.
        """
        first, second = self.settings.betas
        mean = first * state["mean"] + (1 - first) * gradient
        square = second * state["square"] + (1 - second) * gradient * gradient
        moved = (mean / controls[2]) / (mx.sqrt(square / controls[3]) + 1e-8)
        change = controls[0] * (moved + self.settings.weight_decay * state["weights"])
        weights = state["weights"] - mx.where(finite, change, 0.0)
        average = _towards(state["average"], weights, controls[1])
        return {"weights": weights, "mean": mean, "square": square, "average": average}

    def step(
        self,
        state: State,
        audio: NDArray[np.float32],
        *,
        number: int,
        rate: float,
        depth: NDArray[np.int32],
        lstm: bool,
        waveform: float | None = None,
    ) -> tuple[State, Metrics, mx.array]:
        """Train on audio `(B, samples)`.

        Args:
            state: what the step starts from; it is not changed.
            audio: the batch.
            number: steps made before, for Adam's bias corrections.
            rate: learning rate.
            depth: `(B,)` codebooks to use for each item, 0 for none.
            lstm: whether the LSTMs take part.
            waveform: weight of the waveform's term, if not that of the settings.

        Returns:
            The new state, scalars to log and what each codebook was given, `(K, N, D)`.
        """
        first, second = self.settings.betas
        decay = min(0.999, (1 + number) / (10 + number))
        weight = self.settings.weights.waveform if waveform is None else waveform
        controls = mx.array([rate, decay, 1 - first ** (number + 1), 1 - second ** (number + 1), weight])
        return self._steps[lstm](state, mx.array(audio), mx.array(depth), controls)

    def fit_books(self, state: State, batches: list[NDArray[np.float32]], seed: int) -> State:
        """Codebooks from the latents of `batches` by k-means."""
        self.flat.bind(self.model, state["weights"])
        latents = []
        for batch in batches:
            z = run_layers(self.model.encoder, mx.array(batch)[..., None], lstm=False)
            latents.append(np.array(z).reshape(-1, z.shape[-1]))
        rng = np.random.default_rng([seed, 2])
        books = fit_books(np.concatenate(latents), self.config.num_quantizers, self.config.codebook_size, rng)
        return {**state, **self._book_state(books)}

    def restart(self, state: State, residuals: mx.array, rng: np.random.Generator) -> State:
        """Give codes that were used less than a fiftieth of the mean a new place."""
        usage = np.array(state["usage"])
        dead = usage < 0.02 * usage.mean(axis=1, keepdims=True)
        books = restart_codes(
            Books(state["embed"], state["load"], state["total"]), dead, np.array(residuals), rng
        )
        average = mx.where(mx.array(dead)[..., None], books.embed, state["embed_average"])
        return {**state, **books._asdict(), "embed_average": average}

    def evaluate(
        self, state: State, audio: NDArray[np.float32], *, averaged: bool, lstm: bool
    ) -> tuple[dict[str, float], NDArray[np.float32]]:
        """Terms and mean SNR in dB on a batch `(B, samples)`, fully quantised, and the codec's output."""
        names = ("average", "embed_average") if averaged else ("weights", "embed")
        depth = mx.full((len(audio),), self.config.num_quantizers, dtype=mx.int32)
        weight = self.settings.weights.waveform
        _, metrics, _, made = self.loss(
            state[names[0]], state[names[1]], mx.array(audio), depth, weight, lstm=lstm
        )
        output = np.array(made)
        return scalars(metrics) | {"snr": mean_snr(audio, output)}, output

    def codec(self, state: State, *, averaged: bool) -> Encodec:
        """The codec with the state's weights, or with their running average."""
        model = Encodec(self.config)
        self.flat.bind(model, state["average" if averaged else "weights"])
        embed = state["embed_average" if averaged else "embed"]
        for k, layer in enumerate(model.quantizer.layers):
            layer.embed = embed[k]
        return model


def _towards(old: mx.array, new: mx.array, decay: mx.array) -> mx.array:
    return decay * old + (1 - decay) * new


def scalars(metrics: Metrics) -> dict[str, float]:
    """The metrics as numbers; waits for the device."""
    return {name: float(np.array(value)) for name, value in metrics.items()}


def mean_snr(wanted: NDArray[np.float32], made: NDArray[np.float32]) -> float:
    """Signal to noise in dB, mean over the rows `(B, samples)` that are not silent."""
    energy = np.sum(wanted.astype(np.float64) ** 2, axis=-1)
    noise = np.sum((wanted.astype(np.float64) - made) ** 2, axis=-1)
    loud = energy > 1e-6 * wanted.shape[-1]
    return (
        float(np.mean(10 * np.log10(energy[loud] / np.maximum(noise[loud], 1e-12))))
        if loud.any()
        else math.nan
    )

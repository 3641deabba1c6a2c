"""MusicGen: prompts in, waveforms out (Copet et al. 2023, arXiv:2306.05284)."""

from __future__ import annotations

import functools
import logging
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Self, overload

from generation import backend

backend.prepare()  # MLX binds its matrix library when it is imported, so the faster one must be there before

# ruff: noqa: E402
import mlx.core as mx
import numpy as np
import numpy.typing as npt

from generation import checkpoints
from generation.compose import Progress, compose_codes, memories_for
from generation.config import MusicGenConfig
from generation.delay import DelayPattern
from generation.errors import GenerationError, InvalidRequestError
from generation.layers import Linear
from generation.parts import Parts, load_parts
from generation.sampling import SamplingSettings
from generation.text import Tokenizer, load_tokenizer

_log = logging.getLogger(__name__)

Waveform = npt.NDArray[np.float32]

WINDOW_SECONDS = 30.0
"""What the published models were trained on; positions beyond it were never seen."""
DEFAULT_SECONDS = 10.0
MAX_SEED = 2**63 - 1
_BATCH_LIMIT = {"cpu": backend.CPU_ROW_TILE // 2}
_GPU_BATCH_LIMIT = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """One generated clip and all that made it.

    Attributes:
        prompt: The text.
        seed: The clip's own seed.
        settings: How tokens were chosen, every default resolved.
        steps: Decoder passes.
        batch_size: Rows that were computed together (without guidance's second half).
        codes: `(K, frames)` int16.
        audio: `(samples,)`, stereo `(samples, 2)`, float32 in [-1, 1].
    """

    prompt: str
    seed: int
    settings: SamplingSettings
    steps: int
    batch_size: int
    codes: npt.NDArray[np.int16]
    audio: Waveform


def sampling_defaults(values: Any) -> SamplingSettings:
    """The checkpoint's `generation_config.json` over audiocraft's defaults."""
    base = SamplingSettings()
    given = {name: value for name, value in values.items() if value is not None}  # a written 0 means 0
    greedy = given.get("do_sample") is False
    return SamplingSettings(
        temperature=0.0 if greedy else float(given.get("temperature", base.temperature)),
        top_k=int(given.get("top_k", base.top_k)),
        top_p=float(given.get("top_p", base.top_p)),
        guidance=float(given.get("guidance_scale", base.guidance)),
    )


class MusicGen:
    """A loaded checkpoint. Make one with `from_pretrained`.

    Attributes:
        model_id: The name it goes by.
        config: Its geometry.
        settings: Its sampling defaults.
        sampling_rate: Hz.
        frame_rate: Codec frames a second.
        num_codebooks: Of all channels together.
        channels: 1 or 2.
        license: Of the weights, where it is known.
        backend: `cpu`, `metal` or `cuda`.
        dtype: Number type of the decoder's weights; the text encoder and the codec are always float32.
    """

    def __init__(
        self,
        config: MusicGenConfig,
        parts: Parts,
        tokenizer: Tokenizer,
        *,
        model_id: str,
        folder: Path,
        dtype: str,
    ) -> None:
        self.config = config
        self.parts = parts
        self.tokenizer = tokenizer
        self.model_id = model_id
        self.folder = folder
        self.dtype = dtype
        self.backend = backend.backend_name()
        self.settings = sampling_defaults(checkpoints.load_generation_config(folder))
        self.sampling_rate = config.audio_encoder.sampling_rate
        self.frame_rate = config.audio_encoder.frame_rate
        self.num_codebooks = config.decoder.num_codebooks
        self.channels = config.decoder.audio_channels
        self.license = checkpoints.model_license(folder, model_id)
        self._exact = self.backend == "cpu" and dtype == "float32"
        if self._exact:
            for module in parts.decoder.modules():
                if isinstance(module, Linear):
                    module.row_tile = backend.CPU_ROW_TILE

    @classmethod
    def from_pretrained(cls, name: str | Path | None = None, *, dtype: str | None = None) -> Self:
        """Load a checkpoint that is on this machine; nothing is downloaded.

        Args:
            name: A name, a folder, or None for the default (see `checkpoints.find_model`).
            dtype: `float32`, `float16` or `bfloat16`; None: float32 on the CPU, float16 elsewhere.

        Raises:
            ModelNotFoundError: it is not on this machine.
            CheckpointError: it cannot be used; the tensor or setting at fault is named.
        """
        found = checkpoints.find_model(name)
        config = checkpoints.load_config(found.path)
        parts = load_parts(found.path, config)
        chosen = backend.choose_dtype(dtype)
        parts.decoder.set_dtype(getattr(mx, chosen))
        mx.eval(parts.parameters())
        tokenizer = load_tokenizer(found.path, config.text_encoder.eos_token_id)
        return cls(config, parts, tokenizer, model_id=found.model_id, folder=found.path, dtype=chosen)

    @functools.cached_property
    def weights_digest(self) -> str:
        """`sha256:<hex>` of the weights; made when first asked for."""
        return checkpoints.weight_digest(self.folder)

    @overload
    def generate(self, prompts: str, **options: Any) -> Waveform: ...
    @overload
    def generate(self, prompts: Sequence[str], **options: Any) -> list[Waveform]: ...
    def generate(self, prompts: str | Sequence[str], **options: Any) -> Waveform | list[Waveform]:
        """Waveforms for one prompt or for several.

        Args:
            prompts: A prompt, or a list of them (made in batches).
            **options: `seed` (a number or a list of them) and those of `compose`: `duration`, `max_steps`,
                `temperature`, `top_k`, `top_p`, `guidance`, `progress`.

        Returns:
            `(samples,)` float32 in [-1, 1] (stereo: `(samples, 2)`); a list of them for a list of prompts.

        Raises:
            InvalidRequestError: what was asked for cannot be done.
        """
        single = isinstance(prompts, str)
        texts = [prompts] if isinstance(prompts, str) else list(prompts)
        seed = options.pop("seed", None)
        seeds = [int(seed) + i for i in range(len(texts))] if isinstance(seed, Integral) else seed
        made = [composition.audio for composition in self.compose(texts, seeds=seeds, **options)]
        return made[0] if single else made

    def compose(
        self,
        prompts: Sequence[str],
        *,
        duration: float | None = None,
        max_steps: int | None = None,
        seeds: Sequence[int] | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        guidance: float | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> list[Composition]:
        """Generate a clip for each prompt and tell all that made it.

        Args:
            prompts: At least one; an empty prompt is music without a text condition.
            duration: Seconds; 10 without `max_steps`. The clip has exactly `duration * sampling_rate` samples.
            max_steps: Decoder passes instead; the delay pattern leaves `max_steps - 3` frames of them.
            seeds: One for each prompt; None draws fresh ones.
            temperature: None takes the checkpoint's, as for the next three; 0 is greedy.
            top_k: Only the k likeliest tokens; 0 is all.
            top_p: Only the likeliest tokens that reach this probability together; 0 is all.
            guidance: Weight of the prompt; 1 is none.
            batch_size: Rows to compute together, filled up with repeats, to make again a clip of a 16-bit backend.
            progress: Called with the steps done and the steps in all.

        Raises:
            InvalidRequestError: what was asked for cannot be done.
            GenerationError: the model gave samples that are no numbers.
        """
        settings = self._resolve(temperature, top_k, top_p, guidance)
        frames, samples = self._length(duration, max_steps)
        chosen = self._seeds(prompts, seeds)
        limit = batch_size or _BATCH_LIMIT.get(self.backend, _GPU_BATCH_LIMIT)
        groups = [(prompts[i : i + limit], chosen[i : i + limit]) for i in range(0, len(prompts), limit)]
        made: list[Composition] = []
        for number, (texts, numbers) in enumerate(groups):
            report = _shifted(progress, number, len(groups))
            rows = max(len(texts), batch_size or 0)
            codes = self._codes(texts, numbers, rows, frames, settings, report)
            for text, seed, clip in zip(texts, numbers, codes, strict=True):
                audio = self.decode(clip)[:samples]
                steps = DelayPattern.of(self.num_codebooks, self.channels).steps(frames)
                made.append(
                    Composition(
                        prompt=text,
                        seed=seed,
                        settings=settings,
                        steps=steps,
                        batch_size=rows,
                        codes=clip.astype(np.int16),
                        audio=audio,
                    )
                )
        return made

    def decode(self, codes: npt.NDArray[np.integer]) -> Waveform:
        """Codes `(K, frames)` to a waveform `(samples,)`, stereo `(samples, 2)`, float32 in [-1, 1].

        Raises:
            GenerationError: the codec gave samples that are no numbers.
        """
        channels = [mx.array(codes[c :: self.channels].astype(np.int32)) for c in range(self.channels)]
        # One clip at a time: memory stays small, and no clip's samples depend on another's.
        decoded = [np.array(self.parts.codec.decode(c[None])[0, :, 0], dtype=np.float32) for c in channels]
        audio = decoded[0] if self.channels == 1 else np.stack(decoded, axis=1)
        if not np.isfinite(audio).all():
            raise GenerationError("The model gave samples that are no numbers; its weights are damaged.")
        return np.clip(audio, -1.0, 1.0)

    def encode_text(self, prompt: str) -> mx.array | None:
        """Projected states `(S, D)` of a prompt in the decoder's number type; None for an empty one."""
        if not prompt.strip():
            return None
        tokens = mx.array([self.tokenizer.encode(prompt)])
        states = self.parts.text_encoder(tokens).astype(getattr(mx, self.dtype))
        return self.parts.decoder.project_text(states)[0]

    def _codes(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        rows: int,
        frames: int,
        settings: SamplingSettings,
        progress: Progress | None,
    ) -> npt.NDArray[np.int32]:
        fill = rows - len(prompts)
        states = [self.encode_text(prompt) for prompt in [*prompts, *[prompts[-1]] * fill]]
        memories = memories_for(self.parts.decoder, states, apart=self._exact)
        codes = compose_codes(
            self.parts.decoder,
            memories,
            frames=frames,
            seeds=[*seeds, *[seeds[-1]] * fill],
            settings=settings,
            progress=progress,
        )
        return codes[: len(prompts)]

    def _resolve(
        self, temperature: float | None, top_k: int | None, top_p: float | None, guidance: float | None
    ) -> SamplingSettings:
        own = self.settings
        return SamplingSettings(
            temperature=own.temperature if temperature is None else float(temperature),
            top_k=own.top_k if top_k is None else int(top_k),
            top_p=own.top_p if top_p is None else float(top_p),
            guidance=own.guidance if guidance is None else float(guidance),
        )

    def _length(self, duration: float | None, max_steps: int | None) -> tuple[int, int]:
        """Frames to make and samples to keep."""
        hop = self.config.audio_encoder.hop_length
        if max_steps is not None:
            if duration is not None:
                raise InvalidRequestError("Give a duration or a number of steps, not both.")
            frames = DelayPattern.of(self.num_codebooks, self.channels).frames(max_steps)
            samples = frames * hop
        else:
            seconds = DEFAULT_SECONDS if duration is None else duration
            if not (math.isfinite(seconds) and seconds > 0):
                raise InvalidRequestError("The duration must be a number of seconds above 0.")
            samples = max(1, round(seconds * self.sampling_rate))
            frames = math.ceil(samples / hop)
        if frames > WINDOW_SECONDS * self.frame_rate:
            raise InvalidRequestError(
                f"{frames / self.frame_rate:g} s are longer than the model's window; ask for at most "
                f"{WINDOW_SECONDS:g} s."
            )
        return frames, samples

    @staticmethod
    def _seeds(prompts: Sequence[str], seeds: Sequence[int] | None) -> list[int]:
        if isinstance(prompts, str) or not prompts:
            raise InvalidRequestError("Give a list of at least one prompt.")
        if seeds is None:
            # 32 bits are enough for chance and short enough to read out.
            return [secrets.randbelow(2**32) for _ in prompts]
        if len(seeds) != len(prompts):
            raise InvalidRequestError(f"{len(prompts)} prompts need as many seeds, not {len(seeds)}.")
        for seed in seeds:
            if not 0 <= seed <= MAX_SEED:
                raise InvalidRequestError(f"A seed is a whole number from 0 to {MAX_SEED}, not {seed}.")
        return [int(seed) for seed in seeds]


def _shifted(progress: Progress | None, number: int, groups: int) -> Callable[[int, int], None] | None:
    """One group's progress as a part of all groups'."""
    if progress is None:
        return None
    return lambda done, total: progress(number * total + done, groups * total)

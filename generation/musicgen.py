"""MusicGen: prompts in, waveforms out (Copet et al. 2023, arXiv:2306.05284)."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, Self, Unpack, overload

from generation import backend

backend.prepare()  # MLX binds its matrix library when it is imported, so the faster one must be there before

# ruff: noqa: E402
import mlx.core as mx
import numpy as np
import numpy.typing as npt

from generation import batching, checkpoints, hearing, melody
from generation.clipping import within_full_scale
from generation.compose import Voice, memories_for
from generation.composition import (
    ComposeOptions,
    Composition,
    Plan,
    Waveform,
    checked_codes,
    checked_seeds,
    plan_clips,
)
from generation.config import MusicGenConfig
from generation.cpu_steps import prepare_decoder, threads_for
from generation.decoding import decode_clip, decode_clips
from generation.delay import DelayPattern
from generation.errors import InvalidRequestError
from generation.melody import Chroma
from generation.parts import Parts, load_parts
from generation.prompt_states import encode_alone, encode_together
from generation.quantise import quantise
from generation.sampling import sampling_defaults
from generation.streaming import MusicStream
from generation.text import Tokenizer, load_tokenizer
from generation.windows import Progress, stream_codes

_log = logging.getLogger(__name__)


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
        bits: 8 or 4 where the decoder's weights are quantised (`generation.quantise`), else None.
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
        bits: int | None = None,
    ) -> None:
        self.config = config
        self.parts = parts
        self.tokenizer = tokenizer
        self.model_id = model_id
        self.folder = folder
        self.dtype = dtype
        self.bits = bits
        self.backend = backend.backend_name()
        self.settings = sampling_defaults(checkpoints.load_generation_config(folder))
        self.sampling_rate = config.audio_encoder.sampling_rate
        self.frame_rate = config.audio_encoder.frame_rate
        self.num_codebooks = config.decoder.num_codebooks
        self.channels = config.decoder.audio_channels
        self.license = checkpoints.model_license(folder, model_id)
        self._exact = self.backend == "cpu" and dtype == "float32"
        if self._exact:
            prepare_decoder(parts.decoder)

    @classmethod
    def from_pretrained(
        cls, name: str | Path | None = None, *, dtype: str | None = None, bits: int | None = None
    ) -> Self:
        """Load a checkpoint that is on this machine; nothing is downloaded.

        Args:
            name: A name, a folder, or None for the default (see `checkpoints.find_model`).
            dtype: `float32`, `float16` or `bfloat16`; None: float32 on the CPU, float16 elsewhere.
            bits: 8 or 4 to quantise the decoder's weights; None leaves them in `dtype`.

        Raises:
            ModelNotFoundError: it is not on this machine.
            CheckpointError: it cannot be used; the tensor or setting at fault is named.
            InvalidRequestError: there is no such number type, or there are no weights of so many bits.
        """
        found = checkpoints.find_model(name)
        config = checkpoints.load_config(found.path)
        parts = load_parts(found.path, config)
        chosen = backend.choose_dtype(dtype)
        parts.decoder.set_dtype(getattr(mx, chosen))
        if bits is not None:
            quantise(parts.decoder, bits)
        mx.eval(parts.parameters())
        tokenizer = load_tokenizer(
            found.path, config.text_encoder.eos_token_id, most=config.text_encoder.vocab_size
        )
        return cls(
            config, parts, tokenizer, model_id=found.model_id, folder=found.path, dtype=chosen, bits=bits
        )

    @functools.cached_property
    def weights_digest(self) -> str:
        """`sha256:<hex>` of the weights; made when first asked for."""
        return checkpoints.weight_digest(self.folder)

    @functools.cached_property
    def codec_digest(self) -> str:
        """`sha256:<hex>` of the codec's codebooks: codes of one model can be given to another where it is the same."""
        return hearing.codec_digest(self.parts.codec)

    @overload
    def generate(self, prompts: str, **options: Any) -> Waveform: ...
    @overload
    def generate(self, prompts: Sequence[str], **options: Any) -> list[Waveform]: ...
    def generate(self, prompts: str | Sequence[str], **options: Any) -> Waveform | list[Waveform]:
        """Waveforms for one prompt or for several.

        Args:
            prompts: A prompt, or a list of them (made in batches).
            **options: `seed` (a number or a list of them), `progress`, and those of `ComposeOptions`: `duration`,
                `max_steps`, `temperature`, `top_k`, `top_p`, `guidance`, `prompt_audio`, `prompt_sample_rate`, ...

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
        seeds: Sequence[int] | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
        **options: Unpack[ComposeOptions],
    ) -> list[Composition]:
        """Generate a clip for each prompt and tell all that made it.

        Args:
            prompts: At least one; an empty prompt is music without a text condition.
            seeds: One for each prompt; None draws fresh ones.
            batch_size: Rows to compute together, filled up with repeats, to make again a clip of a GPU or of 16 bits.
            progress: Called with the steps done and the steps in all.
            **options: See `ComposeOptions`.

        Raises:
            InvalidRequestError: what was asked for cannot be done.
            GenerationError: the model gave samples that are no numbers.
        """
        plan = plan_clips(self.config, self.settings, self._with_prompt(options))
        chosen = checked_seeds(prompts, seeds)
        seconds = plan.samples / self.sampling_rate
        groups = self._groups(prompts, batch_size or self.batch_limit(seconds, plan.settings.guidance))
        made: dict[int, Composition] = {}
        for number, group in enumerate(groups):
            texts, numbers = [prompts[i] for i in group], [chosen[i] for i in group]
            report = _shifted(progress, number, len(groups))
            rows = max(len(group), batch_size or 0)
            pieces = list(self._stream_codes(texts, numbers, rows, plan, report))
            codes = [np.concatenate([piece[row] for piece in pieces], axis=1) for row in range(len(group))]
            sounds = self._decode_all(codes, rows)
            for i, own, sound in zip(group, codes, sounds, strict=True):
                made[i] = self._composition(prompts[i], chosen[i], rows, plan, own, sound)
        return [made[i] for i in range(len(prompts))]

    def stream(
        self,
        prompt: str,
        *,
        seed: int | None = None,
        chunk: float = 1.0,
        first_chunk: float = 0.4,
        progress: Progress | None = None,
        **options: Unpack[ComposeOptions],
    ) -> MusicStream:
        """Generate a clip and hear it while it is made.

        The tokens are those of `compose`, the samples too up to rounding.

        Args:
            prompt: What to make music from.
            seed: Of the clip; None draws a fresh one.
            chunk: Seconds of music between two chunks.
            first_chunk: Seconds of music that the first chunk waits for.
            progress: Called with the steps done and the steps in all.
            **options: See `ComposeOptions`. The sound of given codes is the first that is yielded.

        Returns:
            An iterator over waveforms `(samples,)`, stereo `(samples, 2)`, which knows the whole clip at its end.

        Raises:
            InvalidRequestError: what was asked for cannot be done.
        """
        plan = plan_clips(self.config, self.settings, self._with_prompt(options))
        (number,) = checked_seeds([prompt], None if seed is None else [seed])
        if not (0 < chunk < math.inf and 0 < first_chunk < math.inf):
            raise InvalidRequestError("A chunk must be longer than 0 seconds.")
        sizes = max(1, round(first_chunk * self.frame_rate)), max(1, round(chunk * self.frame_rate))
        return MusicStream(
            self.config,
            self.parts.codec,
            self._stream_codes([prompt], [number], 1, plan, progress),
            samples=plan.samples,
            sizes=sizes,
            finish=lambda codes: self._composition(
                prompt, number, 1, plan, codes, self._decode_all([codes], 1)[0]
            ),
        )

    def encode(self, audio: npt.ArrayLike, sampling_rate: int) -> npt.NDArray[np.int16]:
        """Sound to codes `(K, frames)`, to go on from.

        Args:
            audio: `(samples,)` or `(samples, channels)`; another number of channels than the model's is mixed.
            sampling_rate: In Hz; another one than the model's is resampled.

        Raises:
            InvalidRequestError: There is no sound in it.
        """
        rate, hop = self.sampling_rate, self.config.audio_encoder.hop_length
        sound = hearing.fitted(audio, sampling_rate, rate=rate, channels=self.channels)
        return hearing.encode_sound(self.parts.codec, sound, hop=hop, rate=rate)

    def _with_prompt(self, options: ComposeOptions) -> ComposeOptions:
        """The options with the sound to go on from as codes."""
        audio, rate = options.get("prompt_audio"), options.get("prompt_sample_rate")
        if audio is None:
            return options
        if options.get("given") is not None:
            raise InvalidRequestError("Give either codes or sound to go on from, not both.")
        return {**options, "given": self.encode(audio, self.sampling_rate if rate is None else rate)}

    def hear_melody(self, audio: Waveform, sampling_rate: int) -> Chroma:
        """The leading pitch class of each frame of a melody, `(frames, 12)`, for `melody` in `compose`.

        Args:
            audio: `(samples,)` or `(samples, channels)`; its first 30 seconds count.
            sampling_rate: In Hz.

        Raises:
            InvalidRequestError: There is no sound in it, or this is no melody model.
        """
        from generation.audio import as_floats, resample

        if self.config.melody is None:
            raise InvalidRequestError(f"{self.model_id} follows no melody. Use a melody model.")
        sound = as_floats(audio)
        sound = sound.mean(axis=1) if sound.ndim == 2 else sound
        if len(sound) and sampling_rate != melody.SAMPLING_RATE:
            sound = resample(sound, sampling_rate, melody.SAMPLING_RATE)
        return melody.hear_chroma(sound, self.config.melody)

    def decode(self, codes: npt.NDArray[np.integer], *, clip: bool = True) -> Waveform:
        """Codes `(K, frames)` to a waveform `(samples,)`, stereo `(samples, 2)`, float32 in [-1, 1].

        Long clips are decoded in pieces, so that memory does not grow with them; on GPUs a clip of a batch, which was
        decoded with the others, may differ in the last bits. Without `clip` loud music may pass [-1, 1].

        Raises:
            InvalidRequestError: there are no codes, or they are none of this model's.
            GenerationError: the codec gave samples that are no numbers.
        """
        checked = checked_codes(self.config, codes)
        if not checked.shape[1]:
            raise InvalidRequestError("There are no codes to decode.")
        audio = decode_clip(self.parts.codec, self.config.audio_encoder, checked, self.channels)
        return within_full_scale(audio) if clip else audio

    def encode_text(self, prompt: str) -> mx.array | None:
        """Projected states `(S, D)` of a prompt in the decoder's number type; None for an empty one."""
        return encode_alone(self.parts, self.tokenizer, prompt, dtype=self.dtype)

    def batch_limit(self, seconds: float, guidance: float | None = None) -> int:
        """How many clips of a length are best made together on this machine; see `batching.batch_limit`."""
        guided = (self.settings.guidance if guidance is None else guidance) != 1
        return batching.batch_limit(self._decoders(), seconds, backend=self.backend, guided=guided)

    def _decoders(self) -> list[tuple[MusicGenConfig, str]]:
        """Geometry and number type of all that choose the tokens."""
        return [(self.config, self.dtype)]

    def _groups(self, prompts: Sequence[str], limit: int) -> list[list[int]]:
        if self._exact and self.config.melody is None:
            return batching.groups([()] * len(prompts), limit)
        return batching.groups([self._text_blocks(text) for text in prompts], limit)

    def _text_blocks(self, prompt: str) -> tuple[int, ...]:
        """How long a text is made; clips of the same go together. A melody model's longer text moves the tokens."""
        block = batching.TEXT_BLOCK if self.config.melody is None else 1
        return ((len(self.tokenizer.encode(prompt)) + block - 1) // block if prompt.strip() else 0,)

    def _voices(self, prompts: Sequence[str], plan: Plan) -> list[Voice]:
        """Who chooses the tokens of some clips, conditioned on their prompts."""
        if self._exact or len(prompts) == 1:
            states = [self.encode_text(prompt) for prompt in prompts]
        else:
            states = encode_together(
                self.parts, self.tokenizer, prompts, dtype=self.dtype, block=batching.TEXT_BLOCK
            )
        config, decoder = self.config.melody, self.parts.decoder
        if config is None:
            block = batching.TEXT_BLOCK if len(prompts) > 1 else 1
            return [Voice(decoder, memories_for(decoder, states, apart=self._exact, block=block))]
        hop = self.config.audio_encoder.hop_length

        def prefix(frame: int) -> mx.array:
            start, guided = round(frame * hop / melody.HOP), plan.settings.guidance != 1
            return melody.prefix_states(decoder, config, states, plan.melody, first=start, guided=guided)

        return [Voice(decoder, [], prefix)]

    def _stream_codes(
        self, prompts: Sequence[str], seeds: Sequence[int], rows: int, plan: Plan, progress: Progress | None
    ) -> Iterator[npt.NDArray[np.int32]]:
        """Codes `(B, K, n)` as they are made, the given ones first."""
        fill = rows - len(prompts)
        given = None if plan.given is None else np.repeat(plan.given[None], rows, axis=0)
        if given is not None:
            yield given[: len(prompts)]
        with threads_for(self.parts.decoder):
            for codes in stream_codes(
                self._voices([*prompts, *[prompts[-1]] * fill], plan),
                windows=plan.windows,
                seeds=[*seeds, *[seeds[-1]] * fill],
                settings=plan.settings,
                given=given,
                progress=progress,
            ):
                yield codes[: len(prompts)]

    def _decode_all(self, codes: Sequence[npt.NDArray[np.int32]], rows: int) -> list[Waveform]:
        """The sound of clips that were generated together; on the CPU each alone, so that its bits are its own."""
        codec, config = self.parts.codec, self.config.audio_encoder
        together = 1 if self.backend == "cpu" else rows
        return decode_clips(codec, config, codes, self.channels, rows=together)

    def _composition(
        self,
        prompt: str,
        seed: int,
        rows: int,
        plan: Plan,
        codes: npt.NDArray[np.int32],
        sound: Waveform,
    ) -> Composition:
        return Composition(
            prompt=prompt,
            seed=seed,
            settings=plan.settings,
            steps=DelayPattern.of(self.num_codebooks, self.channels).steps(codes.shape[1]),
            batch_size=rows,
            given_frames=0 if plan.given is None else plan.given.shape[1],
            codes=codes.astype(np.int16),
            audio=(within_full_scale(sound) if plan.clip else sound)[: plan.samples],
        )


def _shifted(progress: Progress | None, number: int, groups: int) -> Callable[[int, int], None] | None:
    """One group's progress as a part of all groups'."""
    if progress is None:
        return None
    return lambda done, total: progress(number * total + done, groups * total)

"""The decoding loop: text states in, the tokens of each step out. It knows nothing of sound or of files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from generation.cpu_loop import run_steps
from generation.cpu_steps import CpuSteps
from generation.decoder import KVCache, MusicGenDecoder, TextMemory
from generation.delay import UNKNOWN
from generation.errors import GenerationError
from generation.quick_steps import QuickSteps, suits
from generation.sampling import SamplingSettings, choose, clip_keys, guide, step_keys


def memories_for(
    decoder: MusicGenDecoder, states: Sequence[mx.array | None], *, apart: bool, block: int = 1
) -> list[TextMemory]:
    """What each clip cross-attends to.

    Args:
        decoder: The decoder whose keys and values are made.
        states: Projected text states `(S, D)` of each clip; None for a clip without text.
        apart: A memory for each clip at its own length, so that none depends on another's; else one padded batch.
        block: A padded batch is as long as a multiple of this, so that its shape hardly depends on who is in it.
    """
    if apart:
        alone = [TextMemory((i, i + 1), s[None]) for i, s in enumerate(states) if s is not None]
        return [decoder.remember(memory) for memory in alone]
    if all(s is None for s in states):
        return []
    like = next(s for s in states if s is not None)
    longest = -(-max(s.shape[0] for s in states if s is not None) // block) * block
    rows, mask = [], np.zeros((len(states), longest), bool)
    for i, s in enumerate(states):
        length = 0 if s is None else s.shape[0]
        row = mx.zeros((1, like.shape[1]), like.dtype)[:0] if s is None else s
        rows.append(mx.pad(row, [(0, longest - length), (0, 0)]))
        # A row without text attends to zeros everywhere: their mean is zero, and nothing is divided by nothing.
        mask[i, :] = np.arange(longest) < length if s is not None else True
    memory = TextMemory((0, len(states)), mx.stack(rows), mx.array(mask)[:, None, None, :])
    return [decoder.remember(memory)]


@dataclass(frozen=True, slots=True)
class Voice:
    """A decoder and what it is conditioned on: one of those that choose the tokens together.

    Attributes:
        decoder: The language model.
        memories: Of the clips' rows, from `memories_for`; with guidance the rows after them go without text.
        prefix: For a decoder without cross-attention: the states `(B, P, D)`, with guidance `(2 B, P, D)`, before the
            tokens of the window that begins at a frame.
        weight: Of its logits among all voices'.
    """

    decoder: MusicGenDecoder
    memories: list[TextMemory]
    prefix: Callable[[int], mx.array] | None = None
    weight: float = 1.0


def decode_steps(
    voices: Sequence[Voice],
    *,
    known: npt.NDArray[np.int32],
    prefilled: int,
    seeds: Sequence[int],
    settings: SamplingSettings,
    first: int = 0,
    kernels: ModuleType | None = None,
) -> Iterator[npt.NDArray[np.int32]]:
    """Yield the tokens `(B, K)` of each step that is not prefilled, as soon as they are computed.

    Args:
        voices: One decoder, or several with the same codebooks, whose logits are mixed.
        known: Tokens `(B, K, steps)` known beforehand, `UNKNOWN` where to choose.
        prefilled: Steps at the front that are read in one pass; all of them are known.
        seeds: One for each clip.
        settings: How tokens are chosen.
        first: Frame of the clip that the first step counts as, for its random keys.
        kernels: What `QuickSteps` is to work with; by default the kernels of the device, where there are any.
    """
    if kernels is None and len(voices) == 1 and suits(voices[0].decoder, voices[0].memories, settings):
        from generation import cuda_kernels as kernels
    config = voices[0].decoder.config
    batch, books, steps = known.shape
    start = mx.full((batch, books, 1), config.bos_token_id, mx.int32)
    inputs = mx.concatenate([start, mx.array(known[:, :, :prefilled])], axis=2)
    caches = [voice.decoder.new_cache() for voice in voices]
    prefixes = [None if voice.prefix is None else voice.prefix(first) for voice in voices]
    on_cpu = all(voice.decoder.cpu_steps for voice in voices)
    options: dict[str, Any] = {"known": known, "seeds": seeds, "settings": settings, "first": first}
    if on_cpu and prefilled == 0 and all(prefix is None for prefix in prefixes):
        yield from _run_on_cpu(voices, caches, start, step=0, **options)
        return
    keys = clip_keys(list(seeds))
    logits = _mixed_logits(voices, caches, prefixes, inputs, settings)
    finite = mx.isfinite(logits).all()
    tokens = _chosen(logits, settings, step_keys(keys, first + prefilled), known[:, :, prefilled])
    mx.async_eval(tokens, finite)
    if on_cpu or kernels is not None:
        yield _read(tokens, finite)
    if on_cpu and kernels is None:
        yield from _run_on_cpu(voices, caches, tokens, step=prefilled + 1, **options)
    elif kernels is None:
        yield from _run_ahead(voices, caches, (tokens, finite), keys, step=prefilled + 1, **options)
    elif prefilled + 1 < steps:
        yield from _run_kernels(voices[0], caches, tokens, step=prefilled + 1, kernels=kernels, **options)


def _chosen(
    logits: mx.array, settings: SamplingSettings, keys: mx.array, given: npt.NDArray[np.int32]
) -> mx.array:
    """The tokens `(B, K)` of a step, those that are known from `given`."""
    tokens = choose(logits, settings, keys)
    if (given != UNKNOWN).any():
        tokens = mx.where(mx.array(given == UNKNOWN), tokens, mx.array(given))
    return tokens


def _read(tokens: mx.array, finite: mx.array | None) -> npt.NDArray[np.int32]:
    """Wait for the tokens of a step, and for what its logits were found to be."""
    mx.eval(tokens)
    if finite is not None and not finite.item():
        raise GenerationError("The model's logits are no numbers; its weights are damaged.")
    return np.array(tokens)


def _run_ahead(
    voices: Sequence[Voice],
    caches: Sequence[list[KVCache]],
    queued: tuple[mx.array, mx.array | None],
    keys: npt.NDArray[np.uint32],
    *,
    step: int,
    **options: Any,
) -> Iterator[npt.NDArray[np.int32]]:
    """The tokens `(B, K)` that are queued, then the steps from `step` on, as MLX makes them.

    The reader is one step behind, so that the device always has work queued.
    """
    known, settings, first = options["known"], options["settings"], options["first"]
    prefixes = [None] * len(voices)
    for number in range(step, known.shape[2]):
        tokens = queued[0]
        logits = _mixed_logits(voices, caches, prefixes, tokens[:, :, None], settings)
        chosen = _chosen(logits, settings, step_keys(keys, first + number), known[:, :, number])
        mx.async_eval(chosen)
        yield _read(*queued)
        queued = chosen, None
    yield _read(*queued)


def _run_on_cpu(
    voices: Sequence[Voice], caches: list[list[KVCache]], tokens: mx.array, *, step: int, **options: Any
) -> Iterator[npt.NDArray[np.int32]]:
    """The steps from `step` on, after tokens `(B, K)` or `(B, K, 1)`, as `generation.cpu_loop` makes them."""
    known, settings = options["known"], options["settings"]
    batch, books, steps = known.shape
    runs = [
        CpuSteps(
            voice.decoder,
            voice.memories,
            cache,
            clips=batch,
            guided=settings.guidance != 1,
            room=cache[0].length + steps - step,
        )
        for voice, cache in zip(voices, caches, strict=True)
    ]
    caches.clear()  # they were copied
    weighted = [(run, voice.weight) for run, voice in zip(runs, voices, strict=True)]
    return run_steps(weighted, np.array(tokens).reshape(batch, books), step=step, **options)


def _run_kernels(
    voice: Voice, caches: list[list[KVCache]], tokens: mx.array, **options: Any
) -> Iterator[npt.NDArray[np.int32]]:
    """The steps after tokens `(B, K)`, as `generation.quick_steps` makes them."""
    memory = voice.memories[0] if voice.memories else None
    quick = QuickSteps(voice.decoder, memory, caches[0], **options)
    caches.clear()  # they were copied
    return quick.run(tokens)


def _mixed_logits(
    voices: Sequence[Voice],
    caches: Sequence[list[KVCache]],
    prefixes: Sequence[mx.array | None],
    inputs: mx.array,
    settings: SamplingSettings,
) -> mx.array:
    """Logits `(B, K, V)` after tokens `(B, K, T)`, guided, weighted by voice."""
    batch, guided = inputs.shape[0], settings.guidance != 1
    total: mx.array | None = None
    for voice, cache, prefix in zip(voices, caches, prefixes, strict=True):
        logits = voice.decoder.next_logits(inputs, voice.memories, cache, guided=guided, prefix=prefix)
        logits = logits.astype(mx.float32)
        if guided:
            logits = guide(logits[:batch], logits[batch:], settings.guidance)
        if len(voices) > 1:
            logits = logits * voice.weight
        total = logits if total is None else total + logits
    if total is None:
        raise ValueError("Nobody chooses the tokens.")
    return total

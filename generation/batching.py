"""How many clips are made together: as many as the device's memory has room for, and no more than pay."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Final

import mlx.core as mx

from generation.backend import CPU_ROW_TILE
from generation.composition import CONTEXT_SECONDS, WINDOW_SECONDS
from generation.config import MusicGenConfig
from generation.decoder import CACHE_BLOCK

TEXT_BLOCK: Final = 32
"""Tokens of text by which batches are padded where their shape matters to the last bits: a clip comes out the same with
other partners, as long as all texts are of as many blocks."""
_BYTES: Final = {"float32": 4, "float16": 2, "bfloat16": 2}
_MOST: Final = {"cpu": CPU_ROW_TILE, "metal": 32, "cuda": 256}
"""Beyond which a step takes as much longer as there are more of them: rows on the CPU, clips elsewhere."""
_SHARE: Final = 0.7  # of the memory; the rest is the system's, the kernels' and other programs'
_TEXT: Final = 64  # tokens of a long prompt
_LOGITS: Final = 8  # copies while a token is chosen: guided, sorted, masked, drawn
_ACTIVATIONS: Final = 4


def clip_bytes(
    config: MusicGenConfig, seconds: float, *, itemsize: int = 2, guided: bool = True, merged: bool = False
) -> int:
    """Return the memory that a clip takes while it is made, in bytes; the weights are not counted.

    It is estimated as, for each of its rows (two with guidance):

    - the keys and values of every layer for all steps that the model sees at once (30 seconds at most), which are
      nearly all of it: `2 * layers * hidden * steps * itemsize`, in blocks of the cache;
    - those of the text, and a melody model's chroma, at their longest;
    - the logits in float32, eight times, while a token is chosen;
    - the activations of the widest layer, four times, for the steps that are read at once: one, or the 12 seconds of
      context where a clip is longer than 30.

    On the float32 CPU path the text is also multiplied into the weights of cross-attention (`generation.cpu_steps`),
    once a clip: `2 * layers * heads * words * hidden * 4` bytes, for as many words as half a head is wide at most.

    musicgen-small in float16 takes 0.1 GB a clip of ten seconds, musicgen-large 0.4 GB; on the CPU in float32 0.3 and
    1.7 GB.

    Args:
        config: The model's geometry.
        seconds: Length of the clip.
        itemsize: Bytes of a number of the decoder.
        guided: Guidance is on.
        merged: On the float32 CPU path.
    """
    decoder, rate = config.decoder, config.audio_encoder.frame_rate
    steps = math.ceil(min(seconds, WINDOW_SECONDS) * rate) + decoder.num_codebooks
    beside = _TEXT + (0 if config.melody is None else config.melody.chroma_length)
    positions = math.ceil(steps / CACHE_BLOCK) * CACHE_BLOCK + beside
    cache = 2 * decoder.num_hidden_layers * decoder.hidden_size * positions * itemsize
    logits = _LOGITS * 4 * decoder.num_codebooks * decoder.vocab_size
    read = beside if seconds <= WINDOW_SECONDS else round(CONTEXT_SECONDS * rate)
    activations = _ACTIVATIONS * itemsize * read * max(3 * decoder.hidden_size, decoder.ffn_dim)
    clip = (2 if guided else 1) * (cache + logits + activations)
    if merged and config.melody is None:  # melody models have no cross-attention
        words = decoder.num_attention_heads * (decoder.head_dim // 2)
        clip += 2 * decoder.num_hidden_layers * words * decoder.hidden_size * 4
    return clip


def batch_for(
    config: MusicGenConfig,
    seconds: float,
    memory: int,
    *,
    itemsize: int = 2,
    guided: bool = True,
    merged: bool = False,
) -> int:
    """Return how many clips of a length fit into `memory` bytes together; at least 1. See `clip_bytes`."""
    clip = clip_bytes(config, seconds, itemsize=itemsize, guided=guided, merged=merged)
    return max(1, int(memory) // clip)


def batch_limit(
    models: Sequence[tuple[MusicGenConfig, str]], seconds: float, *, backend: str, guided: bool
) -> int:
    """Return how many clips are best made together on this machine, with what is loaded now; at least 1.

    On the CPU never more than one row tile holds: four with guidance, eight without.

    Args:
        models: Geometry and number type of each decoder that chooses the tokens; each has its own caches.
        seconds: Length of each clip.
        backend: `cpu`, `metal` or `cuda`.
        guided: Guidance is on.
    """
    room = int(_SHARE * device_memory()) - mx.get_active_memory()
    most = _MOST[backend] // (2 if guided and backend == "cpu" else 1)
    clip = sum(
        clip_bytes(
            config,
            seconds,
            itemsize=_BYTES[dtype],
            guided=guided,
            merged=backend == "cpu" and dtype == "float32",
        )
        for config, dtype in models
    )
    return max(1, min(most, room // clip))


def device_memory() -> int:
    """Return the bytes of the device's memory: the GPU's, or this machine's where they share it or there is none."""
    info = mx.device_info()
    for name in ("max_recommended_working_set_size", "total_memory", "memory_size"):
        if info.get(name):
            return int(info[name])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def groups(lengths: Sequence[tuple[int, ...]], limit: int) -> list[list[int]]:
    """Return which clips are made together, by their numbers: at most `limit`, of the same length of text.

    Args:
        lengths: Of each clip's text, for each model that reads it, where that matters; else all the same.
        limit: From `batch_limit`.
    """
    found: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if found and len(found[-1]) < limit and lengths[found[-1][0]] == lengths[i]:
            found[-1].append(i)
        else:
            found.append([i])
    return found

"""Decoder steps on the float32 CPU path: the numbers of `MusicGenDecoder` up to rounding, in a fraction of the time.

Three things make a step dear on a CPU, and each has its remedy (figures in docs/performance.md):

- Products of few rows. A clip's rows (one, or two with guidance) are multiplied as columns, `W x^T`, which reads the
  weights at nearly the memory's speed. Each clip has its own product, so its bits never depend on the others.
- Cross-attention to a few words. The text is multiplied into the weights of queries and outputs once; a step then
  reads a fifth of them.
- Hundreds of small operations. MLX takes 3 to 10 microseconds for each, NumPy half of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from generation import backend
from generation.cpu_layers import FeedForward, SelfAttention, Workspace, attend_text, scale_of, view
from generation.decoder import KVCache, MusicGenDecoder, TextMemory
from generation.layers import Linear, SplitLinear, sinusoidal_positions

Array = npt.NDArray[np.float32]

_LONGEST_PRODUCT = 1536
"""Inputs above which a product is made in parts."""


def threads_for(decoder: MusicGenDecoder) -> AbstractContextManager[None]:
    """One thread for a decoder whose products are too small to be shared out; to be held while it makes steps."""
    narrow = decoder.cpu_steps and decoder.config.hidden_size <= backend.NARROW
    return backend.one_thread() if narrow else nullcontext()


def prepare_decoder(decoder: MusicGenDecoder) -> None:
    """Make a decoder's products the same for any number of clips, and its steps fast.

    Args:
        decoder: In float32, on the CPU. Its weights are laid out anew where that helps.
    """
    for module in decoder.modules():
        if isinstance(module, Linear):
            module.row_tile = backend.CPU_ROW_TILE
    if not isinstance(decoder.heads, Linear):
        return  # quantised
    for layer in decoder.layers:
        width = decoder.config.ffn_dim
        parts = next((n for n in range(1, width) if width % n == 0 and width // n <= _LONGEST_PRODUCT), 1)
        if isinstance(layer.fc2, Linear) and parts > 1:
            layer.fc2 = SplitLinear(layer.fc2, parts)
            mx.eval(layer.fc2.weight)  # one after the other, so that no more than one is there twice
    decoder.cpu_steps = True


class CpuSteps:
    """Steps of one token over the clips of one run, for a decoder whose weights it shares."""

    def __init__(
        self,
        decoder: MusicGenDecoder,
        memories: Sequence[TextMemory],
        cache: Sequence[KVCache],
        *,
        clips: int,
        guided: bool,
        room: int,
    ) -> None:
        """Takes the memory for a run and prepares its products.

        Args:
            decoder: One that `prepare_decoder` has made ready.
            memories: Of one clip each.
            cache: What was read already; it is copied.
            clips: How many.
            guided: With guidance.
            room: Positions at most, what was read counted.
        """
        config = decoder.config
        self.vocabulary = config.vocab_size
        words = max((memory.layers[0][0].shape[2] for memory in memories), default=0)
        self._work = Workspace(
            config, clips=clips, guided=guided, room=room, words=words, epsilon=decoder.norm.eps
        )
        self._embed, self._last = view(decoder.embed.weight), scale_of(decoder.norm)
        self._first_rows = np.arange(config.num_codebooks) * (config.vocab_size + 1)
        self._positions = np.array(sinusoidal_positions(0, room, config.hidden_size))
        self._length = cache[0].length
        self._layers = [
            (
                SelfAttention(self._work, layer, cache[i]),
                [attend_text(self._work, layer, memory, i) for memory in memories],
                FeedForward(self._work, layer),
            )
            for i, layer in enumerate(decoder.layers)
        ]
        logits = self._work.buffer("logits", clips, config.num_codebooks * config.vocab_size, self._work.rows)
        self._heads = self._work.each(view(decoder.heads.weight), self._work.norm.out, logits)
        self._logits = logits.reshape(clips, config.num_codebooks, -1, self._work.rows).transpose(3, 0, 1, 2)

    def __call__(self, tokens: npt.NDArray[np.integer]) -> Array:
        """Logits `(r, C, K, V)` after tokens `(C, K)`, the rows without text second; good until the next step."""
        work, position = self._work, self._length
        embedded = self._embed[tokens + self._first_rows].sum(axis=1) + self._positions[position]
        work.x[...] = embedded[:, None]
        for attend, texts, feed_forward in self._layers:
            attend(position)
            for hear in texts:
                hear()
            feed_forward()
        work.norm(self._last)
        for make in self._heads:
            make()
        self._length += 1
        return self._logits

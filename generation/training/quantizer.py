"""Training side of the residual vector quantiser: straight-through gradients, averaged codebooks, restarts.

Codebooks follow exponential averages of the vectors assigned to them (van den Oord et al. 2017,
arXiv:1711.00937, appendix A.1) and unused codes are placed on current vectors (Défossez et al. 2022,
arXiv:2210.13438, section 3.2).
"""

from __future__ import annotations

from typing import NamedTuple

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Quantized(NamedTuple):
    """What one pass of the quantiser gives; N = B * frames vectors, K books of C codes."""

    latent: mx.array  # (B, frames, D), gradients pass straight through
    commitment: mx.array  # scalar
    error: mx.array  # scalar: squared error of the full depth relative to the latents' energy
    counts: mx.array  # (K, C): vectors that chose each code
    sums: mx.array  # (K, C, D): their sums
    residuals: mx.array  # (K, N, D): what each book was given


def quantize(z: mx.array, embed: mx.array, depth: mx.array) -> Quantized:
    """Quantise latents with the first `depth` books.

    Args:
        z: `(B, frames, D)`.
        embed: `(K, C, D)`.
        depth: `(B,)`, books used for each item; 0 leaves its latents as they are.
    """
    batch, frames, dim = z.shape
    books, codes, _ = embed.shape
    vectors = mx.stop_gradient(z).reshape(-1, dim)
    active = mx.broadcast_to(depth[:, None], (batch, frames)).reshape(-1, 1)
    norms = mx.sum(embed * embed, axis=-1)
    names = mx.arange(codes)
    residual, total = vectors, mx.zeros_like(vectors)
    commitment = mx.array(0.0)
    counts, sums, residuals = [], [], []
    for k in range(books):
        chosen = mx.argmax(2 * (residual @ embed[k].T) - norms[k], axis=-1)
        assigned = (chosen[:, None] == names).astype(z.dtype)
        counts.append(mx.sum(assigned, axis=0))
        sums.append(assigned.T @ residual)
        residuals.append(residual)
        used = (active > k).astype(z.dtype)
        quantized = embed[k][chosen]
        residual = residual - quantized
        total = total + used * quantized
        commitment = commitment + mx.mean(used * (z.reshape(-1, dim) - total) ** 2)
    step = mx.where(active > 0, total - vectors, 0.0).reshape(z.shape)
    error = mx.sum(residual**2) / (mx.sum(vectors**2) + 1e-9)
    return Quantized(z + step, commitment, error, mx.stack(counts), mx.stack(sums), mx.stack(residuals))


class Books(NamedTuple):
    """The codebooks and their running averages."""

    embed: mx.array  # (K, C, D)
    load: mx.array  # (K, C)
    total: mx.array  # (K, C, D)


def update_books(books: Books, counts: mx.array, sums: mx.array, decay: float = 0.99) -> Books:
    """One step of the averages; a code that nothing chose keeps its place."""
    count = decay * books.load + (1 - decay) * counts
    total = decay * books.total + (1 - decay) * sums
    alive = (count > 1e-3)[..., None]
    # The inner floor keeps the branch that is not taken finite.
    embed = mx.where(alive, total / mx.maximum(count, 1e-3)[..., None], books.embed)
    return Books(embed, count, total)


def kmeans(vectors: Floats, codes: int, rng: np.random.Generator, iterations: int = 8) -> Floats:
    """Lloyd's algorithm: `(N, D) -> (codes, D)`, starting from vectors drawn at random; empty clusters are redrawn."""
    centres = vectors[rng.choice(len(vectors), codes, replace=len(vectors) < codes)].copy()
    for _ in range(iterations):
        nearest = _nearest(vectors, centres)
        counts = np.bincount(nearest, minlength=codes)
        order = np.argsort(nearest, kind="stable")
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        filled = counts > 0
        centres[filled] = np.add.reduceat(vectors[order], starts[filled], axis=0) / counts[filled][:, None]
        centres[~filled] = vectors[rng.integers(len(vectors), size=int((~filled).sum()))]
    return centres


def _nearest(vectors: Floats, centres: Floats) -> NDArray[np.intp]:
    scores = 2 * vectors @ centres.T - np.sum(centres * centres, axis=1)
    return np.asarray(np.argmax(scores, axis=1))


def fit_books(vectors: Floats, books: int, codes: int, rng: np.random.Generator) -> Books:
    """Codebooks for `(N, D)` latents, each fitted by k-means to what the ones before it left over."""
    embed, residual = [], vectors
    for _ in range(books):
        centres = kmeans(residual, codes, rng)
        residual = residual - centres[_nearest(residual, centres)]
        embed.append(centres)
    stacked = mx.array(np.stack(embed))
    return Books(stacked, mx.ones(stacked.shape[:2]), stacked)


def restart_codes(
    books: Books, dead: NDArray[np.bool_], residuals: Floats, rng: np.random.Generator
) -> Books:
    """Place the codes marked in `dead` `(K, C)` on random rows of `residuals` `(K, N, D)`."""
    if not dead.any():
        return books
    embed, count, total = (np.array(part) for part in books)
    for k, marks in enumerate(dead):
        rows = rng.integers(residuals.shape[1], size=int(marks.sum()))
        embed[k, marks] = residuals[k, rows]
        count[k, marks] = 1.0
        total[k, marks] = residuals[k, rows]
    return Books(mx.array(embed), mx.array(count), mx.array(total))


def perplexity(usage: Floats) -> list[float]:
    """Effective number of codes for each book of `(K, C)` usage counts."""
    share = usage / np.maximum(usage.sum(axis=1, keepdims=True), 1e-9)
    entropy = -np.sum(share * np.log(np.maximum(share, 1e-12)), axis=1)
    return [float(value) for value in np.exp(entropy)]

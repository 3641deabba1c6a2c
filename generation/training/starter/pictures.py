"""Pictures of sound: a grid of spectrograms, to look at what cannot be listened to.

`python -m generation.training.starter.pictures --out clips.png --first-seed 0 --clips 8`
needs matplotlib (development).
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generation.training.starter.instruments import SAMPLING_RATE
from generation.training.starter.measure import onset_rate, percussive_share, spectral_centroid
from generation.training.starter.render import render_clip

Audio = NDArray[np.float32]


def decibels(audio: Audio, *, size: int = 2048, hop: int = 256) -> NDArray[np.float64]:
    """Log spectrogram `(bins, frames)` in dB below its loudest point, down to -80."""
    padded = np.pad(np.asarray(audio, dtype=np.float64), (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: len(audio) + 1 : hop]
    magnitudes = np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)).T
    return np.asarray(np.maximum(20 * np.log10(magnitudes / max(magnitudes.max(), 1e-9) + 1e-9), -80.0))


def render_pictures(
    path: Path, clips: Sequence[tuple[str, Audio]], *, sampling_rate: int = SAMPLING_RATE, columns: int = 2
) -> None:
    """Draw labelled clips as log-frequency spectrograms with what was measured, into a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(clips) // columns)
    figure = Figure(figsize=(7.5 * columns, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (label, audio) in enumerate(clips):
        axes = figure.add_subplot(rows, columns, number + 1)
        levels = decibels(audio)
        axes.imshow(
            levels,
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=-75,
            vmax=0,
            extent=(0.0, len(audio) / sampling_rate, 0.0, sampling_rate / 2),
        )
        axes.set_yscale("symlog", linthresh=1000.0)
        axes.set_ylim(30.0, sampling_rate / 2)
        figures = (
            f"{onset_rate(audio, sampling_rate):.1f} onsets/s, {spectral_centroid(audio, sampling_rate):.0f} Hz, "
            f"percussive {percussive_share(audio, sampling_rate):.2f}"
        )
        axes.set_title("\n".join(textwrap.wrap(label, 90)) + "\n" + figures, fontsize=8)
    figure.savefig(str(path), dpi=80)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the spectrograms of rendered clips."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="PNG file")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args(arguments)
    seeds = range(options.first_seed, options.first_seed + options.clips)
    rendered = [(seed, render_clip(seed, seconds=options.seconds)) for seed in seeds]
    render_pictures(options.out, [(f"{seed}: {clip.caption}", clip.audio) for seed, clip in rendered])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

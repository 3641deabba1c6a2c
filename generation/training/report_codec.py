"""What a trained codec does to sound: `python -m generation.training.report_codec --codec FILE --data DIR --out DIR`.

Prints figures as JSON and draws originals beside the codec's output as `codec.png` (matplotlib).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from generation.encodec import Encodec
from generation.training.codec_files import load_codec
from generation.training.codec_step import mean_snr, scalars
from generation.training.losses import SpectralLoss
from generation.training.segments import SegmentSource

Floats = NDArray[np.float32]
STRIDE_TONES = (
    50,
    400,
    500,
    2000,
    8000,
)  # Hz: where strides of 640, 80, 64, 16 and 4 samples leave their mark


def through(codec: Encodec, audio: Floats) -> Floats:
    """Audio `(B, samples)` through the codec and back, as long as it was."""
    made = codec.decode(codec.encode(mx.array(audio)[..., None]))[..., 0]
    return np.asarray(np.array(made)[:, : audio.shape[1]], dtype=np.float32)


def stride_tones(audio: Floats, sampling_rate: int) -> dict[int, float]:
    """Level in dB of each stride's frequency over the median around it; about 0 where no tone stands out.

    Args:
        audio: `(B, samples)`, at least half a second.
        sampling_rate: in Hz.
    """
    size = sampling_rate // 2  # bins of 2 Hz
    frames = audio[:, : audio.shape[1] // size * size].reshape(-1, size)
    power = np.mean(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) ** 2, axis=0)
    levels = {}
    for hz in STRIDE_TONES:
        at = round(hz * size / sampling_rate)
        around = np.concatenate([power[at - 15 : at - 3], power[at + 4 : at + 16]])
        levels[hz] = float(10 * np.log10((power[at - 1 : at + 2].max() + 1e-9) / (np.median(around) + 1e-9)))
    return levels


def melody_errors(codec: Encodec, count: int) -> dict[str, float]:
    """Median pitch error in cents of rendered melodies through the codec, over all their voiced frames."""
    from generation.training.starter.instruments import SAMPLING_RATE
    from generation.training.starter.measure import pitch_errors_cents
    from generation.training.starter.melodies import render_melody

    melodies = [render_melody(10_000 + i).audio for i in range(count)]
    made = through(codec, np.stack(melodies))
    cents = np.concatenate(
        [pitch_errors_cents(a, b, SAMPLING_RATE) for a, b in zip(melodies, made, strict=True)]
    )
    if not len(cents):
        return {"frames": 0.0}
    return {
        "frames": float(len(cents)),
        "median": float(np.median(cents)),
        "within_50": float(np.mean(cents < 50)),
    }


def report(codec: Encodec, sampling_rate: int, audio: Floats, *, melodies: int = 8) -> dict[str, object]:
    """All figures for clips `(B, samples)` that the codec was not trained on."""
    made = through(codec, audio)
    terms = scalars(SpectralLoss(sampling_rate)(mx.array(made), mx.array(audio)))
    before, after = stride_tones(audio, sampling_rate), stride_tones(made, sampling_rate)
    codes = np.array(codec.encode(mx.array(audio)[..., None]))
    return {
        "snr_db": mean_snr(audio, made),
        **terms,
        "stride_tones_db": {hz: {"original": before[hz], "codec": after[hz]} for hz in STRIDE_TONES},
        "codes_used": [len(np.unique(codes[:, k])) for k in range(codes.shape[1])],
        "pitch_cents": melody_errors(codec, melodies),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Report on a codec from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m generation.training.report_codec", description=main.__doc__
    )
    parser.add_argument("--codec", type=Path, required=True, help="codec.safetensors")
    parser.add_argument("--data", type=Path, required=True, help="folder of shards pcm-*.npy")
    parser.add_argument("--out", type=Path, required=True, help="folder for report.json and codec.png")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a clip")
    parser.add_argument("--clips", type=int, default=8, help="held-out clips")
    parser.add_argument("--melodies", type=int, default=8, help="melodies to follow the pitch of")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    from generation.training.starter.pictures import render_pictures

    codec, config = load_codec(options.codec)
    samples = round(options.seconds * config.sampling_rate / config.hop_length) * config.hop_length
    audio = SegmentSource(options.data, batch=options.clips, samples=samples, seed=options.seed).held_out()
    figures = report(codec, config.sampling_rate, audio, melodies=options.melodies)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "report.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures), flush=True)
    made = through(codec, audio)
    pairs = [
        (f"{i} {what}", row)
        for i in range(min(4, len(audio)))
        for what, row in (("original", audio[i]), ("codec", made[i]))
    ]
    render_pictures(options.out / "codec.png", pairs, sampling_rate=config.sampling_rate)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

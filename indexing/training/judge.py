"""How well a Whisper model hears synthetic speech, and how often it finds words where there are none.

`python -m indexing.training.judge --model DIR --out FILE [--music DIR ...]`
"""

from __future__ import annotations

import argparse
import json
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from indexing.training import acoustics
from indexing.training.corpus import Spoken, speak
from indexing.training.engines import SAMPLING_RATE, Samples
from indexing.transcribe import Transcriber, Transcript

_log = logging.getLogger(__name__)

JUDGED_SEEDS = 50_000_000
"""The first seed for judging; the corpus takes those from zero on."""
_BATCH = 8
_NOISE_SECONDS = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechScore:
    """Of spoken clips.

    Attributes:
        clips: How many.
        words: Spoken in all.
        error_rate: Substituted, left out and added words of the accepted text over the spoken ones.
        raw_error_rate: The same of everything the model wrote.
        accepted: Share of the clips with accepted text.
        exact: Share of the clips whose accepted text is right in every word.
    """

    clips: int
    words: int
    error_rate: float
    raw_error_rate: float
    accepted: float
    exact: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceScore:
    """Of clips without speech: shares of those with no accepted text, and with no text at all."""

    clips: int
    without_text: float
    without_raw_text: float


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Fewest words to substitute, leave out or add to make one of the other (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        before, row = row, [i]
        for j, other in enumerate(heard, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (word != other)))
    return row[-1]


def words_of(text: str) -> list[str]:
    """A text's words without case and punctuation."""
    return "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split()


def score_speech(transcriber: Transcriber, clips: Sequence[Spoken]) -> SpeechScore:
    """Transcribe spoken clips and count what is wrong."""
    total = errors = raw_errors = accepted = exact = 0
    for clip, found in zip(clips, _transcripts(transcriber, [clip.samples for clip in clips]), strict=True):
        wrong = word_errors(clip.words, words_of(found.text))
        total += len(clip.words)
        errors += wrong
        raw_errors += word_errors(clip.words, words_of(found.raw_text))
        accepted += bool(found.text)
        exact += wrong == 0
        _log.debug("%s %r: %r (%s)", clip.voice.name, " ".join(clip.words), found.raw_text, found.rejected)
    count = len(clips)
    return SpeechScore(
        clips=count,
        words=total,
        error_rate=round(errors / total, 4),
        raw_error_rate=round(raw_errors / total, 4),
        accepted=round(accepted / count, 4),
        exact=round(exact / count, 4),
    )


def score_silence(transcriber: Transcriber, clips: Sequence[Samples]) -> SilenceScore:
    """Transcribe clips in which nobody speaks."""
    found = list(_transcripts(transcriber, clips))
    for one in found:
        if one.raw_text:
            _log.debug("nobody said %r (%s)", one.raw_text, one.rejected)
    return SilenceScore(
        clips=len(found),
        without_text=round(sum(not one.text for one in found) / len(found), 4),
        without_raw_text=round(sum(not one.raw_text for one in found) / len(found), 4),
    )


def over_music(clip: Spoken, music: Samples, decibels: float) -> Spoken:
    """A spoken clip with music `decibels` under it."""
    loop = np.resize(music, len(clip.samples)).astype(np.float32)
    level = 10 * math.log10(float(np.mean(clip.samples**2)) + 1e-12) - decibels
    mixed = clip.samples + acoustics.at_level(loop, level)
    return Spoken(samples=mixed, words=clip.words, starts=clip.starts, voice=clip.voice)


def read_music(folder: Path, limit: int) -> list[Samples]:
    """Up to `limit` clips at 16 kHz of a folder: sound files, or pcm-*.npy of the starter's renderer at 32 kHz."""
    import soundfile
    import soxr

    clips: list[Samples] = []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".npy":
            found = [
                (row.astype(np.float32) / 32768, 2 * SAMPLING_RATE) for row in np.load(path, mmap_mode="r")
            ]
        elif path.suffix in (".wav", ".flac", ".ogg", ".mp3"):
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
            found = [(samples.mean(axis=1), rate)]
        else:
            continue
        clips += [soxr.resample(samples, rate, SAMPLING_RATE) for samples, rate in found]
    return clips[:limit]


def judge(
    model: Path, *, speech: int, silence: int, music: Sequence[Path], seed: int = JUDGED_SEEDS
) -> dict[str, object]:
    """All scores of a model; `music` are folders of clips without speech, each judged by itself."""
    transcriber = Transcriber(model)
    report: dict[str, object] = {"model": transcriber.name}
    seen = [speak(seed + n, held_out=True) for n in range(speech)]
    report["seen voices"] = asdict(score_speech(transcriber, seen))
    unseen = [speak(seed + n, held_out=True, unseen_voice=True) for n in range(speech)]
    report["unseen voices"] = asdict(score_speech(transcriber, unseen))
    for name in sorted({clip.voice.name for clip in unseen}):
        part = [clip for clip in unseen if clip.voice.name == name]
        report[f"unseen voice {name}"] = asdict(score_speech(transcriber, part))
    noises = [
        acoustics.not_speech(_NOISE_SECONDS, np.random.default_rng([seed + n, 12])) for n in range(silence)
    ]
    report["noises and silence"] = asdict(score_silence(transcriber, noises))
    for folder in music:
        clips = read_music(folder, silence)
        report[f"music {folder.name}"] = asdict(score_silence(transcriber, clips))
        mixed = [over_music(clip, clips[n % len(clips)], 10.0) for n, clip in enumerate(seen)]
        report[f"speech 10 dB over {folder.name}"] = asdict(score_speech(transcriber, mixed))
    return report


def _transcripts(transcriber: Transcriber, clips: Sequence[Samples]) -> Iterator[Transcript]:
    for begin in range(0, len(clips), _BATCH):
        part = clips[begin : begin + _BATCH]
        yield from transcriber.transcribe_many([(samples, SAMPLING_RATE) for samples in part])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this stage."""
    parser = argparse.ArgumentParser(prog="python -m indexing.training.judge", description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument(
        "--speech", type=int, default=200, help="spoken clips of seen and of unseen voices each"
    )
    parser.add_argument("--silence", type=int, default=100, help="clips without speech of each kind")
    parser.add_argument(
        "--music", type=Path, action="append", default=[], help="folder of clips without speech"
    )
    parser.add_argument("--out", type=Path, help="where the report is written as JSON")
    parser.add_argument("--verbose", action="store_true", help="show every clip")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.INFO, format="%(message)s")
    logging.getLogger("numba").setLevel(logging.WARNING)
    report = judge(options.model, speech=options.speech, silence=options.silence, music=options.music)
    text = json.dumps(report, indent=2)
    _log.info("%s", text)
    if options.out is not None:
        options.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

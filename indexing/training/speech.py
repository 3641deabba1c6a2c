"""Speech as sound files: one sentence, or held-out clips for tests.

`python -m indexing.training.speech "the happy dog sleeps" --out FILE`
`python -m indexing.training.speech --held-out 8 --out DIR` names each file by what is said in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from indexing.training.corpus import speak
from indexing.training.engines import SAMPLING_RATE, Samples, Voice, say
from indexing.training.judge import JUDGED_SEEDS


def held_out(count: int) -> dict[str, Samples]:
    """The first clips that `judge` takes, by their words joined with hyphens: `(samples,)` at 16 kHz."""
    clips = [speak(JUDGED_SEEDS + number, held_out=True) for number in range(count)]
    return {"-".join(clip.words): clip.samples for clip in clips}


def main(arguments: Sequence[str] | None = None) -> int:
    """Synthesise; the file's ending says the format."""
    import soundfile

    parser = argparse.ArgumentParser(prog="python -m indexing.training.speech", description=__doc__)
    parser.add_argument("sentence", nargs="?")
    parser.add_argument(
        "--held-out", type=int, metavar="N", help="N held-out clips as FLAC into the folder --out"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--engine", choices=("espeak", "flite"), default="espeak")
    parser.add_argument("--voice", default="en-us+f3")
    parser.add_argument("--rate", type=int, default=160, help="words a minute")
    options = parser.parse_args(arguments)
    if (options.sentence is None) == (options.held_out is None):
        parser.error("Give a sentence or --held-out.")
    if options.sentence is not None:
        voice = Voice(engine=options.engine, name=options.voice, rate=options.rate)
        said = say(tuple(options.sentence.split()), voice)
        soundfile.write(options.out, said.samples, SAMPLING_RATE)
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    for words, samples in held_out(options.held_out).items():
        soundfile.write(options.out / f"{words}.flac", samples, SAMPLING_RATE)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

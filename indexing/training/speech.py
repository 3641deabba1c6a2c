"""One sentence as a sound file: `python -m indexing.training.speech "the happy dog sleeps" --out FILE`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from indexing.training.engines import SAMPLING_RATE, Voice, say


def main(arguments: Sequence[str] | None = None) -> int:
    """Synthesise a sentence; the file's ending says the format."""
    import soundfile

    parser = argparse.ArgumentParser(prog="python -m indexing.training.speech", description=__doc__)
    parser.add_argument("sentence")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--engine", choices=("espeak", "flite"), default="espeak")
    parser.add_argument("--voice", default="en-us+f3")
    parser.add_argument("--rate", type=int, default=160, help="words a minute")
    options = parser.parse_args(arguments)
    voice = Voice(engine=options.engine, name=options.voice, rate=options.rate)
    said = say(tuple(options.sentence.split()), voice)
    soundfile.write(options.out, said.samples, SAMPLING_RATE)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

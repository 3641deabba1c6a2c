"""The few rows of Whisper's vocabulary that are trained, and one that stands for all the others.

`python -m indexing.training.vocabulary --out FILE` looks the words' tokens up in mlx_whisper's tokenizer.
The other 51,000 rows of the finished model are one and the same vector. Its logit counts once for each of them in
training, so the softmax over the few rows is exactly the finished model's over all, and none of them wins by chance.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from indexing.training.words import WORDS

OTHER = 0
"""The row that stands for every token that is not trained."""
TIME_STEP = 5
"""Trained timestamps are every fifth of Whisper's, 0.1 s apart."""
_LAST_TIME = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIds:
    """Whisper's ids for what is trained.

    Attributes:
        size: Rows of the whole vocabulary.
        words: Each word's tokens, spoken after a space.
        start, english, transcribe, end, no_speech, first_time: Special tokens; `<|0.00|>` is the last.
    """

    size: int
    words: dict[str, tuple[int, ...]]
    start: int
    english: int
    transcribe: int
    end: int
    no_speech: int
    first_time: int


@dataclass(frozen=True)
class Vocabulary:
    """Rows of the trained embedding and Whisper's ids."""

    ids: TokenIds

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Whisper's id of each row from the second on; the first row is `OTHER`."""
        ids = self.ids
        special = (ids.end, ids.start, ids.english, ids.transcribe, ids.no_speech)
        words = dict.fromkeys(token for tokens in ids.words.values() for token in tokens)
        times = range(ids.first_time, ids.first_time + _LAST_TIME + 1, TIME_STEP)
        return (*special, *words, *times)

    @cached_property
    def _row_of(self) -> dict[int, int]:
        return {token: row for row, token in enumerate(self.rows, start=1)}

    @property
    def others(self) -> int:
        """How many tokens `OTHER` stands for."""
        return self.ids.size - len(self.rows)

    @property
    def others_bias(self) -> float:
        """What many equal logits add to one: the logarithm of their number."""
        return math.log(self.others)

    def row(self, token: int) -> int:
        """The row of one of Whisper's ids."""
        return self._row_of.get(token, OTHER)

    @cached_property
    def word_rows(self) -> tuple[tuple[int, ...], ...]:
        """The rows of each word of `WORDS`."""
        return tuple(tuple(self.row(token) for token in self.ids.words[word]) for word in WORDS)

    def time_row(self, seconds: float) -> int:
        """The row of the trained timestamp nearest to `seconds`."""
        step = min(_LAST_TIME // TIME_STEP, max(0, round(seconds * 10)))
        return self.row(self.ids.first_time + step * TIME_STEP)

    def save(self, path: Path) -> None:
        """Write the ids as JSON."""
        fields = {name: getattr(self.ids, name) for name in TokenIds.__slots__}
        path.write_text(json.dumps(fields) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: Path) -> Vocabulary:
        """Read what `save` wrote."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        words = {word: tuple(tokens) for word, tokens in fields.pop("words").items()}
        return Vocabulary(TokenIds(words=words, **fields))


def from_tokenizer() -> Vocabulary:
    """Look every word up in the multilingual tokenizer that mlx_whisper brings."""
    from mlx_whisper.tokenizer import get_tokenizer

    tokenizer = get_tokenizer(True, num_languages=99, language="en", task="transcribe")
    start, english, transcribe = tokenizer.sot_sequence
    return Vocabulary(
        TokenIds(
            size=tokenizer.encoding.n_vocab,
            words={word: tuple(tokenizer.encode(f" {word}")) for word in WORDS},
            start=start,
            english=english,
            transcribe=transcribe,
            end=tokenizer.eot,
            no_speech=tokenizer.no_speech,
            first_time=tokenizer.timestamp_begin,
        )
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this stage."""
    parser = argparse.ArgumentParser(prog="python -m indexing.training.vocabulary", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    from_tokenizer().save(options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

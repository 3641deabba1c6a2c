"""Prompts to T5's token ids, with the tokenizer file that lies beside the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from generation.errors import CheckpointError


class Tokenizer(Protocol):
    """What the model needs of a tokenizer."""

    def encode(self, text: str) -> list[int]:
        """Token ids, the end token included."""
        ...


class SentencePieceTokenizer:
    """`spiece.model`, as published with every T5 and MusicGen."""

    def __init__(self, path: Path, eos: int) -> None:
        import sentencepiece

        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise CheckpointError(f"{path} cannot be read as a SentencePiece model.") from error
        self.size = int(self._processor.get_piece_size())
        self._eos = eos

    def encode(self, text: str) -> list[int]:
        """Token ids, the end token included."""
        return [*self._processor.encode(text), self._eos]


class FastTokenizer:
    """`tokenizer.json`, for checkpoints that carry no `spiece.model`."""

    def __init__(self, path: Path, eos: int) -> None:
        from tokenizers import Tokenizer as Backend

        try:
            self._backend = Backend.from_file(str(path))
        except Exception as error:  # the Rust library raises plain Exception
            raise CheckpointError(f"{path} cannot be read as a tokenizer.") from error
        # The file may say how others cut and fill; a prompt is neither.
        self._backend.no_truncation()
        self._backend.no_padding()
        self.size = 1 + max(self._backend.get_vocab().values(), default=-1)  # there may be gaps
        self._eos = eos

    def encode(self, text: str) -> list[int]:
        """Token ids, the end token included."""
        return [*self._backend.encode(text, add_special_tokens=False).ids, self._eos]


def load_tokenizer(folder: Path, eos: int, *, most: int | None = None) -> Tokenizer:
    """The tokenizer of the checkpoint in `folder`: `spiece.model`, else `tokenizer.json`.

    Args:
        folder: The checkpoint.
        eos: The end token.
        most: Tokens that the text encoder knows.

    Raises:
        CheckpointError: there is neither, it cannot be read, or it has more tokens than the text encoder.
    """
    kinds = (("spiece.model", SentencePieceTokenizer), ("tokenizer.json", FastTokenizer))
    for name, kind in kinds:
        if (folder / name).is_file():
            tokenizer = kind(folder / name, eos)
            if most is not None and tokenizer.size > most:
                # MLX looks up a row beyond the table without a word, or ends the process.
                raise CheckpointError(
                    f"{folder / name} has {tokenizer.size} tokens, the text encoder knows {most}."
                )
            return tokenizer
    raise CheckpointError(f"{folder} has no spiece.model and no tokenizer.json.")

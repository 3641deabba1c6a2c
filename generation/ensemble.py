"""Several checkpoints as one: at every step their logits are mixed, so that they make one clip together."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from collections.abc import Sequence

from generation.compose import Voice
from generation.composition import Plan
from generation.config import MusicGenConfig
from generation.errors import InvalidRequestError
from generation.musicgen import MusicGen


class Ensemble(MusicGen):
    """Checkpoints with the same codec and codebooks that choose each token together.

    It is used like a `MusicGen`. Text is read by each checkpoint's own encoder; sampling settings, tokenizer and codec
    are the first one's. The clips bear the strictest licence that is known of them.

    Attributes:
        models: The checkpoints.
        weights: How much each counts, as they were given.
        shares: The same, with a sum of 1.
    """

    def __init__(self, models: Sequence[MusicGen], weights: Sequence[float] | None = None) -> None:
        """Puts checkpoints together.

        Args:
            models: Two or more.
            weights: How much each counts, above 0; equally by default. They are scaled to a sum of 1.

        Raises:
            InvalidRequestError: They do not fit together, or the weights make no sense.
        """
        shares = [1.0] * len(models) if weights is None else [float(weight) for weight in weights]
        if len(models) < 2 or len(shares) != len(models):
            raise InvalidRequestError("An ensemble is two models or more, with one weight for each.")
        if not all(math.isfinite(share) and share > 0 for share in shares):
            raise InvalidRequestError("The weights of an ensemble are numbers above 0.")
        first = models[0]
        for other in models[1:]:
            _check_pair(first, other)
        super().__init__(
            first.config,
            first.parts,
            first.tokenizer,
            model_id="+".join(model.model_id for model in models),
            folder=first.folder,
            dtype=first.dtype,
            bits=first.bits,
        )
        self.models = tuple(models)
        self.weights = tuple(shares)
        self.shares = tuple(share / sum(shares) for share in shares)
        restricted = [model.license for model in models if model.license and "nc" in model.license.lower()]
        self.license = restricted[0] if restricted else first.license

    @functools.cached_property
    def weights_digest(self) -> str:
        """`sha256:<hex>` of all checkpoints' digests and their weights."""
        parts = [
            f"{model.weights_digest} {share!r}" for model, share in zip(self.models, self.shares, strict=True)
        ]
        return f"sha256:{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()}"

    def _decoders(self) -> list[tuple[MusicGenConfig, str]]:
        return [(model.config, model.dtype) for model in self.models]

    def _text_blocks(self, prompt: str) -> tuple[int, ...]:
        """Of every model: their tokenizers may differ."""
        return tuple(blocks for model in self.models for blocks in model._text_blocks(prompt))

    def _voices(self, prompts: Sequence[str], plan: Plan) -> list[Voice]:
        voices: list[Voice] = []
        for model, share in zip(self.models, self.shares, strict=True):
            voices += [dataclasses.replace(v, weight=share) for v in model._voices(prompts, plan)]
        return voices


def _check_pair(first: MusicGen, other: MusicGen) -> None:
    ours, theirs = first.config, other.config
    same = (
        ours.audio_encoder == theirs.audio_encoder
        and ours.decoder.num_codebooks == theirs.decoder.num_codebooks
        and ours.decoder.audio_channels == theirs.decoder.audio_channels
        and ours.decoder.bos_token_id == theirs.decoder.bos_token_id
        and (ours.melody is None) == (theirs.melody is None)
        and first.codec_digest == other.codec_digest
    )
    if not same:
        raise InvalidRequestError(
            f"{first.model_id} and {other.model_id} have other codecs or codebooks, so they cannot be mixed."
        )

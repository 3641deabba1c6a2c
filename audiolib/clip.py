"""The values that the library speaks in: a clip, the recipe that made it, a hit of a search."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from audiolib.jsonfields import JsonValue, sparse
from generation.finish import AS_IT_IS, SoundFinish

if TYPE_CHECKING:
    from indexing.query import Explanation

Kind = Literal["generated", "imported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(JsonValue):
    """All that made a generated clip; with the same recipe and backend it can be made again.

    `duration` is the length that was asked for in seconds, `None` where steps were asked for instead;
    `steps` is the number of decoder steps either way. `batch_size` is how many clips were decoded together.
    `bits` is 8 or 4 where the decoder's weights were quantised.

    `continued_from` names the music that the clip goes on from, a clip's id or a file's name: its first
    `given_frames` frames are that music's, and stand in the clip's own codes. `melody_from` names the melody that it
    follows, whose chroma is stored with the codes. `context` is what windows take over, in seconds. Where several
    `models` chose the tokens together, `model` is all their names and `weights_digest` is of all of them;
    `model_weights` and `model_digests` are each one's.

    `finish` is what was done to the sound before it was stored, `sample_format` how it is stored (16 bit where `None`);
    the codes know of neither.
    """

    prompt: str
    model: str
    weights_digest: str
    seed: int
    temperature: float
    top_k: int
    top_p: float
    guidance: float
    steps: int
    duration: float | None
    batch_size: int
    backend: str
    dtype: str
    audiolib_version: str
    parent_id: str | None = None
    bits: int | None = sparse(None)
    continued_from: str | None = sparse(None)
    given_frames: int = sparse(0)
    melody_from: str | None = sparse(None)
    context: float | None = sparse(None)
    models: tuple[str, ...] = sparse(())
    model_weights: tuple[float, ...] = sparse(())
    model_digests: tuple[str, ...] = sparse(())
    finish: SoundFinish = sparse(AS_IT_IS)  # noqa: RUF009  # it is dataclasses.field
    sample_format: str | None = sparse(None)

    @property
    def conditioned(self) -> bool:
        """Whether sound was given besides words."""
        return self.given_frames > 0 or self.melody_from is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip(JsonValue):
    """One audio file of the library. The field names are those of every JSON output; `None` means unknown.

    `path` is absolute, `duration` in seconds, `sample_rate` in Hz, `created_at` ISO 8601 in UTC,
    `tempo_bpm` in beats a minute, `loudness_lufs` in LUFS, `brightness_hz` the spectral centroid in Hz,
    `onset_density` in onsets a second, `energy` and `percussive_share` from 0 to 1. `sha256` is over the file,
    `audio_sha256` over its decoded samples. `transcript` is `None` before anything listened to the clip and
    empty where no words were heard.
    """

    id: str
    path: Path
    prompt: str | None
    title: str
    model: str | None
    seed: int | None
    duration: float
    sample_rate: int
    channels: int
    tags: tuple[str, ...] = ()
    rating: int | None = None
    created_at: str
    kind: Kind
    parent_id: str | None = None
    transcript: str | None = None
    language: str | None = None
    tempo_bpm: float | None = None
    key: str | None = None
    loudness_lufs: float | None = None
    brightness_hz: float | None = None
    energy: float | None = None
    onset_density: float | None = None
    percussive_share: float | None = None
    sha256: str
    audio_sha256: str
    license: str | None = None

    @property
    def has_speech(self) -> bool | None:
        """Whether words were heard; `None` before anything listened."""
        return None if self.transcript is None else bool(self.transcript)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """A clip that a search found.

    Attributes:
        clip: The clip.
        score: max(0, cosine similarity) to the query, 1 is closest; `None` where nothing can compare them, as in a
            search for words on a machine without an embedder.
        why: How it was found, where that was asked for.
    """

    clip: Clip
    score: float | None
    why: "Explanation | None" = None

    def to_json(self) -> dict[str, Any]:
        """Return the clip's JSON object with `score` added, and `why` where it is known."""
        document = {**self.clip.to_json(), "score": self.score}
        return document if self.why is None else {**document, "why": asdict(self.why)}

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> "SearchHit":
        """Read a hit.

        Args:
            document: What `to_json` returned; unknown keys and `why` are ignored.

        Raises:
            ValueError: A field is missing or of the wrong kind.
        """
        score = document.get("score")
        if score is None and "score" in document:
            return cls(clip=Clip.from_json(document), score=None)
        if not isinstance(score, int | float) or isinstance(score, bool) or not 0 <= score <= 1:
            raise ValueError("'score' must be a number from 0 to 1")
        return cls(clip=Clip.from_json(document), score=float(score))

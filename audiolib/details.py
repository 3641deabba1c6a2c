"""All that is known of one clip: its fields, and what its sidecar holds beside them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, cast

from audiolib.clip import Clip, Recipe
from audiolib.jsonfields import is_finite
from audiolib.sidecars import Sidecar
from indexing.transcribe import Segment

TranscriptionState = Literal["done", "rejected", "pending", "failed"]

_STATES: Final = ("done", "rejected", "pending", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcription:
    """What came of listening for words.

    Attributes:
        state: `done`; `rejected`, where there is text and none of it is believed; `pending` before anything listened;
            `failed` where the audio could not be read.
        reason: Why none is believed, why it waits today, or what failed; `None` where it is done.
        model: The Whisper model that listened; `None` where none did, or nobody wrote it down.
        raw_text: Everything that Whisper wrote, believed or not; `None` likewise.
    """

    state: TranscriptionState
    reason: str | None
    model: str | None
    raw_text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipDetails:
    """All that is known of a clip.

    Attributes:
        clip: Its fields.
        recipe: How it was made; `None` for an imported one.
        clipped: As `AudioLibrary.clipped` returns.
        confidence: From 0 to 1, by the name of the measured field; empty where nothing was measured.
        segments: The parts of its transcript that are believed, in order of time.
        transcription: Where the transcript comes from, or why there is none.
    """

    clip: Clip
    recipe: Recipe | None
    clipped: Mapping[str, float] | None
    confidence: Mapping[str, float]
    segments: tuple[Segment, ...]
    transcription: Transcription

    def to_json(self) -> dict[str, Any]:
        """Return the clip's JSON object with what is known besides, each under its name here."""
        return {
            **self.clip.to_json(),
            "recipe": None if self.recipe is None else self.recipe.to_json(),
            "clipped": self.clipped,
            "confidence": dict(self.confidence),
            "segments": [asdict(segment) for segment in self.segments],
            "transcription": asdict(self.transcription),
        }


def details_of(sidecar: Sidecar) -> ClipDetails:
    """Return all that a sidecar tells.

    Args:
        sidecar: The clip.
    """
    return ClipDetails(
        clip=sidecar.clip,
        recipe=sidecar.recipe,
        clipped=clipped_of(sidecar),
        confidence=sidecar.confidence,
        segments=sidecar.segments,
        transcription=_transcription(sidecar),
    )


def clipped_of(sidecar: Sidecar) -> dict[str, float] | None:
    """Return what was cut off when a clip was written; see `AudioLibrary.clipped`.

    Args:
        sidecar: The clip.
    """
    from audiolib.recording import CLIPPED_KEY

    values = _object(sidecar.document.get(CLIPPED_KEY))
    told = {name: values.get(name) for name in ("samples", "over_db")}
    told |= {"limit_db": values["limit_db"]} if "limit_db" in values else {}
    return cast("dict[str, float]", told) if all(is_finite(value) for value in told.values()) else None


def _transcription(sidecar: Sidecar) -> Transcription:
    from audiolib.transcripts import KEY, waiting

    known = _object(sidecar.document.get(KEY))
    # Older sidecars, and those made again from their rows, have no state.
    otherwise: TranscriptionState = "pending" if sidecar.clip.transcript is None else "done"
    state: TranscriptionState = known["state"] if known.get("state") in _STATES else otherwise
    if state == "pending":  # what was missing when the clip came may be here by now
        known = {**known, "reason": waiting()[KEY]["reason"]}
    return Transcription(
        state=state,
        reason=_text(known.get("reason")),
        model=_text(known.get("model")) or _text(sidecar.document.get("transcript_model")),
        raw_text=_text(known.get("raw_text")),
    )


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None

"""What an import is asked to do, and what came of each file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from audiolib.clip import Clip
from audiolib.prompts import clean_prompt, clean_tags

Status = Literal["added", "present", "skipped", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """How files are taken in; words apply to all of them.

    Attributes:
        reference: Leave the audio where it is and keep only its path.
        prompt: Words for what it sounds like; a recipe inside a file keeps its own.
        title: Instead of the title inside the file, or its name.
        tags: Labels, beside those that the file brings.
    """

    reference: bool = False
    prompt: str | None = None
    title: str | None = None
    tags: Sequence[str] = ()

    def checked(self) -> "ImportOptions":
        """Return the options with clean words.

        Raises:
            InvalidInputError: A word is empty, too long or not text.
        """
        return ImportOptions(
            reference=self.reference,
            prompt=None if self.prompt is None else clean_prompt(self.prompt),
            title=None if self.title is None else clean_prompt(self.title, what="title"),
            tags=clean_tags(self.tags),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOutcome:
    """What came of one file.

    Attributes:
        source: The file, as it was found.
        status: `added`; `present`: its sound is in the library already; `skipped`: left alone on purpose; `failed`.
        id: The clip that it is now, or that has this sound.
        clip: The new clip.
        reason: Why it was skipped or failed, in a sentence.
        note: Something to know of a file that was added, or what was put back of a clip that is present.
    """

    source: Path
    status: Status
    id: str | None = None
    clip: Clip | None = None
    reason: str | None = None
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what came of the file, followed by the fields of a new clip, as a JSON object."""
        said = {"status": self.status, "source": str(self.source), "reason": self.reason, "note": self.note}
        return {**said, **({"id": self.id} if self.clip is None else self.clip.to_json())}

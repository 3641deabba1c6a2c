"""What a check finds, as values."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

Severity = Literal["error", "warning", "note"]
"""An error is a clip that is not whole, a warning something that costs or misleads, a note needs nobody."""

Kind = Literal[
    "manifest-missing",
    "manifest-damaged",
    "older-format",
    "sidecar-damaged",
    "sidecar-newer",
    "duplicate-id",
    "audio-missing",
    "audio-moved",
    "audio-changed",
    "audio-damaged",
    "codes-missing",
    "without-sidecar",
    "half-removed",
    "descriptors-missing",
    "stale-temporary",
    "in-progress",
    "odd-file",
    "table-missing",
    "table-damaged",
    "wrong-embedder",
    "row-missing",
    "row-orphaned",
    "row-doubled",
    "row-outdated",
    "vector-missing",
    "sound-vector-missing",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        kind: What it is, for programs.
        severity: How bad it is; notes do not make a library unclean.
        sentence: What it is, for people.
        clip_id: The clip that it is about.
        path: The file or folder that it is about.
        repair: What `--repair` does about it; `None` where it can do nothing.
        by_hand: What a person can do where `--repair` cannot.
        repaired: It was mended, and a second look found it gone.
    """

    kind: Kind
    severity: Severity
    sentence: str
    clip_id: str | None = None
    path: Path | None = None
    repair: str | None = None
    by_hand: str | None = None
    repaired: bool = False

    @property
    def key(self) -> tuple[str, str | None, str | None]:
        """The same for the same thing at the next look."""
        return self.kind, self.clip_id, None if self.path is None else str(self.path)

    def to_json(self) -> dict[str, Any]:
        """Return the finding as a JSON object."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "sentence": self.sentence,
            "clip_id": self.clip_id,
            "path": None if self.path is None else str(self.path),
            "repair": self.repair,
            "by_hand": self.by_hand,
            "repaired": self.repaired,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What `check` found, and mended where that was asked for.

    Attributes:
        clips: Clips with a sidecar.
        findings: In the order in which they were found, the worst places first.
    """

    clips: int
    findings: tuple[Finding, ...]

    @property
    def unrepaired(self) -> tuple[Finding, ...]:
        """What is still wrong; notes are not."""
        return tuple(f for f in self.findings if not f.repaired and f.severity != "note")

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong, or nothing any more."""
        return not self.unrepaired


REBUILD: Final = "The index is made again from the sidecars."
"""What mends a table as a whole."""

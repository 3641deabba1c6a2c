"""The README of an export: a dataset card that says what may be done with the clips and how to load them."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from audiolib.exporting.fields import field_kinds

CARD_NAME: Final = "README.md"
_YAML_KINDS: Final = {"strings": "sequence: string"}
# Licences of weights that we know, as the Hub spells them; any other one is "other" there.
_HUB_LICENSES: Final = frozenset(
    {"mit", "apache-2.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "cc0-1.0"}
)


@dataclass(slots=True, kw_only=True)
class Census:
    """What was counted on the way: clips, seconds, and who made how many under which licence."""

    clips: int = 0
    seconds: float = 0.0
    sources: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count(self, document: Mapping[str, Any]) -> None:
        """Count one clip.

        Args:
            document: Its JSON fields.
        """
        self.clips += 1
        self.seconds += float(document.get("duration") or 0.0)
        generated = document.get("kind") == "generated"
        maker = str(document.get("model") or "") or ("unknown" if generated else "imported")
        self.sources[maker, str(document.get("license") or "unknown")] += 1


def dataset_card(census: Census, *, data_files: tuple[str, ...], version: str) -> str:
    """Return the text of the card.

    The head names the data files, so that playlists and tables beside them are not taken for data, and the kinds of the
    fields, which `datasets` would otherwise guess from the first clips and get wrong where they have no value.

    Args:
        census: What is in the export.
        data_files: Patterns of the data files.
        version: audiolib's.
    """
    licenses = {license for _, license in census.sources}
    (only,) = licenses if len(licenses) == 1 else ("other",)
    features = [f"  - name: {name}\n    {_yaml_kind(kind)}" for name, kind in field_kinds().items()]
    rows = [
        f"| {count:,} | {_cell(maker)} | {_cell(license)} |"
        for (maker, license), count in sorted(census.sources.items(), key=lambda item: (-item[1], item[0]))
    ]
    minutes, seconds = divmod(round(census.seconds), 60)
    number = "1 clip" if census.clips == 1 else f"{census.clips:,} clips"
    return "\n".join(
        [
            "---",
            f"license: {only if only in _HUB_LICENSES else 'other'}",
            "tags:\n- audio\n- music",
            "configs:\n- config_name: default\n  data_files:\n  - split: train\n    path:",
            *(f"    - {json.dumps(pattern)}" for pattern in data_files),
            "dataset_info:\n  features:\n  - name: audio\n    dtype: audio",
            *features,
            "---",
            "",
            "# Audio clips",
            "",
            f"{number}, {minutes:,} min {seconds:02d} s in all, exported by audiolib {version}.",
            "",
            "## Licences",
            "",
            "| clips | made by | licence |\n|---|---|---|",
            *rows,
            "",
            "A generated clip's licence is that of the model's weights; `cc-by-nc-4.0`, Meta's licence for MusicGen,",
            "allows no commercial use. What was imported belongs to whoever made it. Each clip's own is in the field",
            "`license`.",
            "",
            "## Loading",
            "",
            "```python",
            'from datasets import load_dataset\nclips = load_dataset("path/of/this/folder", split="train")',
            "```",
            "",
        ]
    )


def _yaml_kind(kind: str) -> str:
    return _YAML_KINDS.get(kind, f"dtype: {kind}")


def _cell(text: str) -> str:
    """Text of others inside a table: one line, no markup."""
    line = " ".join(text.split())
    return "".join(c if c.isalnum() or c in " ._-/:+()" else "\N{REPLACEMENT CHARACTER}" for c in line)

"""Lines of files of prompts: their names in a library, and the clips that were made for them by earlier runs."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from audiolib.clip import Clip
from audiolib.errors import LibraryError
from audiolib.files import file_sha256
from audiolib.folder import LibraryFolder
from audiolib.promptfiles import BatchLine
from audiolib.recording import LINE_KEY
from audiolib.requests import GenerationRequest
from audiolib.sidecars import Sidecar, read_sidecar

_NOT_ASKED: Final = frozenset(("model", "batch_size", "parent_id", "conditioned_as"))
_SOUNDS: Final = frozenset(("continue_from", "melody"))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutcome:
    """What came of one clip of a batch.

    Attributes:
        line: What was asked for.
        status: `made`, `present` (made for this line by an earlier run) or `failed`.
        clip: The clip, unless it failed.
        reason: Why it failed, as a sentence.
    """

    line: BatchLine
    status: Literal["made", "present", "failed"]
    clip: Clip | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the clip's JSON object with `line` and `status` added; of one that failed the prompt and why."""
        if self.clip is None:
            document = {"prompt": self.line.request.prompt, "reason": self.reason}
        else:
            document = self.clip.to_json()
        return {**document, "line": self.line.number, "status": self.status}


def line_keys(
    requests: Sequence[GenerationRequest], *, seeded: Sequence[bool], digests: Sequence[str]
) -> list[str]:
    """Return a name for each request that it has again in the next run, and shares with no other one of this run.

    It is made from all that is asked for and the weights; of a sound file what it holds counts, not where it is. A seed
    that was drawn does not count, so equal requests without one are told apart by counting them.

    Args:
        requests: What is wanted; checked already.
        seeded: Which of them were asked for with a seed.
        digests: Of the weights of each one's model.

    Raises:
        OSError: A sound file cannot be read.
    """
    seen: Counter[str] = Counter()
    content = cache(file_sha256)  # of a file that many lines go on from, once
    keys = []
    for request, has_seed, digest in zip(requests, seeded, digests, strict=True):
        asked = {
            field.name: _plain(getattr(request, field.name))
            for field in fields(request)
            if field.name not in _NOT_ASKED and getattr(request, field.name) != field.default
        }
        if not has_seed:
            del asked["seed"]
        for name in _SOUNDS & asked.keys():
            if os.path.isabs(asked[name]):  # else a clip's id
                asked[name] = content(Path(asked[name]))
        text = json.dumps({**asked, "weights": digest}, sort_keys=True, ensure_ascii=False)
        seen[text] += 1
        keys.append(hashlib.sha256(f"{text}#{seen[text]}".encode()).hexdigest()[:32])
    return keys


def clips_of_lines(folder: LibraryFolder, keys: Iterable[str]) -> dict[str, Sidecar]:
    """Return the sidecars of clips that were made for lines, by the lines' keys; of two the older one's.

    A clip whose sidecar a killed process could not write any more gets it now.

    Args:
        folder: The library.
        keys: From `line_keys`.

    Raises:
        OSError: A sidecar cannot be written.
    """
    wanted = set(keys)
    if not folder.audio.is_dir():
        return {}
    _adopt(folder, wanted)
    mark = f'"{LINE_KEY}"'.encode()
    found: dict[str, Sidecar] = {}
    for path in folder.sidecar_paths():
        try:
            if mark not in path.read_bytes():  # parsing takes ten times as long as reading
                continue
            sidecar = read_sidecar(path)
        except (LibraryError, OSError):
            continue  # damaged, or removed meanwhile: no clip of a line
        key = sidecar.document.get(LINE_KEY)
        if isinstance(key, str) and key in wanted and key not in found and sidecar.clip.path.is_file():
            found[key] = sidecar
    return found


def _adopt(folder: LibraryFolder, wanted: set[str]) -> None:
    """Complete the clips of these lines whose audio was written and whose sidecar was not.

    Unlike `index`, however young they are: where another process is at this very clip, both write the same, and
    a sidecar that is there by then is kept.
    """
    from audiolib.checking.survey import survey
    from audiolib.recovery import known_rows, line_of, restore_sidecar

    found = survey(folder)
    lost = {
        clip_id: paths[0]
        for clip_id, paths in found.audio.items()
        if clip_id not in found.sidecars and len(paths) == 1 and line_of(paths[0]) in wanted
    }
    rows = known_rows(folder, lost)
    for clip_id, audio in lost.items():
        restore_sidecar(folder, audio, clip_id, row=rows.get(clip_id))


def _plain(value: Any) -> Any:
    """A value of a request as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return list(value) if isinstance(value, tuple) else value

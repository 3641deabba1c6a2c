"""File names made from what people wrote, safe on Linux, macOS, Windows, USB sticks and the Hugging Face Hub."""

import re
import unicodedata
from pathlib import PurePath
from typing import Final

_MAX_CHARACTERS: Final = 60
_MAX_BYTES: Final = 120  # in UTF-8; encrypted home folders take 143, most others 255
_ID_CHARACTERS: Final = 6
# `datasets` takes these words, in lower case and alone between separators or digits, for the names of splits, and
# would load nothing but the clips that have one in their names.
_SPLITS: Final = re.compile(
    r"(?<![^\d-])(train|training|validation|valid|dev|val|test|testing|eval|evaluation)(?![^\d-])"
)
# Marks and letters that are drawn as nothing at all.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_SUFFIX: Final = re.compile(r"\.[a-z0-9]{1,5}")


def file_stem(title: str, clip_id: str) -> str:
    """Return a clip's file name without its suffix: the title's words and the end of the id.

    The words are letters and digits of any script in lower case. So the name starts with neither a dot nor a dash, is
    no device of Windows, holds nothing that a shell or a playlist would need quoted, and two names that differ, differ
    on file systems that ignore case or compose characters otherwise as well.

    Args:
        title: The clip's title or prompt, any text.
        clip_id: The clip's id, which makes the name the same in every export and unlike others' of this title.
    """
    return f"{_words(title) or 'clip'}-{clip_id[-_ID_CHARACTERS:]}"


def file_suffix(name: str) -> str:
    """Return a file name's suffix in lower case, '' where it is none that a sound file has.

    Args:
        name: The name of the clip's file.
    """
    suffix = PurePath(name).suffix.lower()
    return suffix if _SUFFIX.fullmatch(suffix) else ""


def name_key(name: str) -> str:
    """Return what is equal for names that some file system takes for the same.

    Args:
        name: A file name.
    """
    return unicodedata.normalize("NFKD", name).casefold()


def _words(title: str) -> str:
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", title).lower())
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text)
    # A mark without a letter to stand on would be drawn on the dash before it.
    words = [word.lstrip(_marks(word)) for word in kept.split()]
    name = _cut("-".join(word for word in words if word))
    return _SPLITS.sub(lambda match: match[0].capitalize(), name)


def _marks(word: str) -> str:
    return "".join({c for c in word if unicodedata.category(c)[0] == "M"}) or " "


def _cut(name: str) -> str:
    if len(name) <= _MAX_CHARACTERS and len(name.encode()) <= _MAX_BYTES:
        return name
    kept = name[: _MAX_CHARACTERS + 1].encode()[: _MAX_BYTES + 1].decode(errors="ignore")
    whole_words = kept.rpartition("-")[0]
    return whole_words if len(whole_words) > _MAX_CHARACTERS // 3 else kept[:-1]

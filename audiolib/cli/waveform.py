"""A waveform drawn with characters: braille dots, or plain ASCII where the terminal knows no others."""

import math
import os
import shutil
import sys
from typing import TYPE_CHECKING, Final

from audiolib.cli import output

if TYPE_CHECKING:
    from audiolib import Waveform

ROWS: Final = 5
_MAX_WIDTH: Final = 120
_BRAILLE: Final = 0x2800
_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of a braille cell by column and row (Unicode, block Braille Patterns)."""


def width() -> int:
    """Return how many characters wide a waveform may be here."""
    return max(10, min(_MAX_WIDTH, shutil.get_terminal_size().columns - 1))


def columns_for(characters: int) -> int:
    """Return how many parts of the time are drawn on a width: two for each braille character."""
    return 2 * characters


def draw(waveform: "Waveform", *, unicode: bool, rows: int = ROWS) -> list[str]:
    """Return a waveform as lines of text, as high as its own peak, with its time below.

    Args:
        waveform: With two columns for each character.
        unicode: Whether braille can be shown; else ASCII.
        rows: Lines of the picture.
    """
    characters = len(waveform.low) // 2
    scale = 1 / waveform.peak if waveform.peak > 0 else 0.0
    columns = [(low * scale, high * scale) for low, high in zip(waveform.low, waveform.high, strict=True)]
    if unicode:
        lines = _braille(columns, characters, rows)
    else:
        pairs = zip(columns[::2], columns[1::2], strict=False)
        joined = [(min(a[0], b[0]), max(a[1], b[1])) for a, b in pairs]
        lines = _ascii(joined, rows)
    return [*lines, _axis(waveform, characters)]


def show(waveform: "Waveform") -> None:
    """Print a waveform."""
    *picture, axis = draw(waveform, unicode=can_show_braille())
    for line in picture:
        output.result(output.style(line, fg="cyan"))
    output.result(output.style(axis, dim=True))


def can_show_braille() -> bool:
    """Return whether the terminal knows more than ASCII, as far as the environment tells.

    Our own stream always takes UTF-8 and is no witness.
    """
    if sys.platform == "win32":
        return True
    if os.environ.get("TERM") in ("linux", "dumb"):  # the console's font has no braille
        return False
    encoding = os.environ.get("PYTHONIOENCODING") or next(
        (value for name in ("LC_ALL", "LC_CTYPE", "LANG") if (value := os.environ.get(name))), "UTF-8"
    )
    return "utf8" in encoding.lower().replace("-", "")


def _braille(columns: list[tuple[float, float]], characters: int, rows: int) -> list[str]:
    cells = [[0] * characters for _ in range(rows)]
    height = rows * 4
    for x, (low, high) in enumerate(columns[: 2 * characters]):
        top, bottom = _span(low, high, height)
        for y in range(top, bottom + 1):
            cells[y // 4][x // 2] |= _DOTS[x % 2][y % 4]
    return ["".join(chr(_BRAILLE + cell) for cell in row) for row in cells]


def _ascii(columns: list[tuple[float, float]], rows: int) -> list[str]:
    lines = []
    for y in range(rows):
        quiet = "-" if y == rows // 2 else " "
        line = ""
        for low, high in columns:
            top, bottom = _span(low, high, rows)
            line += "#" if low < high and top <= y <= bottom else quiet
        lines.append(line)
    return lines


def _span(low: float, high: float, height: int) -> tuple[int, int]:
    """The first and the last line, from the top, that values from -1 to 1 cover; as much above 0 as below."""
    top = math.floor((1 - high) / 2 * height)
    bottom = math.ceil((1 - low) / 2 * height) - 1
    top = min(height - 1, max(0, top))
    return top, max(top, min(height - 1, bottom))


def _axis(waveform: "Waveform", characters: int) -> str:
    peak = f"peak {20 * math.log10(waveform.peak):.1f} dBFS" if waveform.peak > 0 else "silence"
    left, right = "0", output.seconds(waveform.duration)
    middle = peak.center(max(len(peak) + 2, characters - len(left) - len(right)))
    return f"{left}{middle}{right}"

"""The one place that writes to the terminal: results to stdout; notices, errors and bars to stderr."""

import json
import logging
import os
import shutil
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar, Final

import click

_GAP: Final = "  "
_MIN_TITLE: Final = 20
_MAX_LABEL: Final = 30


def prepare_streams() -> None:
    """Make any text writable, keep libraries' warnings off the terminal and show ours as notices."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    if os.environ.get("AUDIOLIB_DEBUG", "") in ("", "0"):
        warnings.simplefilter("ignore")
    handler = _Notices(level=logging.WARNING)
    for name in ("audiolib", "generation", "indexing"):
        logging.getLogger(name).handlers = [handler]
        logging.getLogger(name).propagate = False


class _Notices(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        notice(record.getMessage())


def result(text: str = "") -> None:
    """Print a line of the result."""
    click.echo(text, color=_color(sys.stdout))


def json_line(document: Mapping[str, Any]) -> None:
    """Print one JSON object as a line, at once: the reader may act on it."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def notice(text: str) -> None:
    """Say something that is no result."""
    if _Line.current is not None:
        sys.stderr.write("\r\x1b[K")  # over a bar, which is drawn again below
    click.echo(style(text, sys.stderr, fg="yellow"), err=True, color=_color(sys.stderr))


def hint(text: str) -> None:
    """Say what could be done next; only to people, that is on a terminal."""
    if is_terminal(sys.stderr):
        click.echo(style(text, sys.stderr, dim=True), err=True, color=_color(sys.stderr))


def error(text: str) -> None:
    """Say what went wrong."""
    click.echo(
        f"{style('Error:', sys.stderr, fg='red', bold=True)} {text}", err=True, color=_color(sys.stderr)
    )


def style(text: str, stream: Any = None, **options: Any) -> str:
    """Return text with colours where the stream is a terminal and `NO_COLOR` is not set."""
    return click.style(text, **options) if _color(stream or sys.stdout) else text


def is_terminal(stream: Any) -> bool:
    """Return whether a person reads along."""
    return bool(stream.isatty())


def _color(stream: Any) -> bool:
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def plain(text: str) -> str:
    """Return text as one line without control characters, which could play tricks on a terminal."""
    line = " ".join(text.split())
    return "".join(
        c if unicodedata.category(c) not in ("Cc", "Cf", "Cs") or c == "\u200d" else "\ufffd" for c in line
    )


def short_path(path: Path) -> str:
    """Return a path relative to the current folder when that is shorter."""
    try:
        relative = os.path.relpath(path)
    except (ValueError, OSError):  # another drive, or the current folder is gone
        return str(path)
    return min(relative, str(path), key=len)


def seconds(value: float) -> str:
    """Return a length like `10.0 s` or `2:05`."""
    if value < 100:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes}:{rest:02d}"


def size(number: int) -> str:
    """Return a number of bytes like `1.2 MB`, in powers of 1000."""
    value = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def clips(number: int) -> str:
    """Return a number of clips like `1 clip`."""
    return counted(number, "clip", "clips")


def counted(number: int, one: str, many: str) -> str:
    """Return a number and the words that go with it, like `1 waits` or `1,200 wait`."""
    return f"{number:,} {one if number == 1 else many}"


def stars(rating: int | None) -> str:
    """Return a rating for people."""
    return "not rated" if rating is None else "★" * rating + "☆" * (5 - rating)


def local_time(text: str) -> str:
    """Return an ISO 8601 moment as people here read it, like `2026-11-22 12:14`; other text as it is."""
    from datetime import datetime

    try:
        return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its heading.
        right: Numbers stand at the right.
        shrink: It may be shortened on a narrow terminal.
        style: Options of `click.style`.
    """

    title: str
    right: bool = False
    shrink: bool = False
    style: Mapping[str, Any] | None = None


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], *, below: Sequence[str | None] = ()
) -> None:
    """Print a table that fits the terminal.

    Where it is too narrow, shrinking columns are shortened first; then the last column goes to a line of its own, so
    that a path can always be copied whole. Output that is no terminal is never shortened.

    Args:
        columns: What the columns are.
        rows: The cells, one text for each column.
        below: A line under each row, `None` for none.
    """
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [
        max([_width(column.title), *(_width(row[i]) for row in cells)]) for i, column in enumerate(columns)
    ]
    available = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else 1 << 30
    shrunk = _shrunk(columns, widths, available)
    stacked = _total(shrunk) > available
    widths = _shrunk(columns[:-1], widths[:-1], available) if stacked else shrunk
    shown = columns[:-1] if stacked else columns
    result(style(_row(shown, [c.title for c in shown], widths), dim=True))
    for row, note in zip_longest(cells, below):
        result(_row(shown, row, widths, styled=True))
        if stacked:
            result(f"{_GAP}{row[-1]}")
        if note is not None:
            result(style(f"{_GAP}{plain(note)}", dim=True))


def fields(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values in two columns.

    Args:
        pairs: The names and the values.
    """
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        result(f"{style(name.ljust(width), dim=True)}{_GAP}{plain(value)}")


@contextmanager
def bar(label: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on stderr while the block runs, on a terminal only.

    Args:
        label: What is being done.
        unit: What is counted.

    Yields:
        A function to be called with how much is done and how much there is in all.
    """
    if not is_terminal(sys.stderr):
        yield lambda _done, _total: None
        return
    from tqdm import tqdm

    bars: list[Any] = []
    line = _Line()

    def update(done: int, total: int) -> None:
        if not bars:
            # Bytes are counted in thousands and millions, steps and clips one by one.
            options = {"unit": unit, "unit_scale": unit == "B", "dynamic_ncols": True, "file": line}
            bars.append(tqdm(desc=_fit(plain(label), _MAX_LABEL), total=total, **options))
        bars[0].total = total  # downloads learn of files on the way
        bars[0].update(done - bars[0].n)

    try:
        yield update
    finally:
        for shown in bars:
            shown.close()
        line.end()


class ClipsBar:
    """One bar for many clips: how many are done, and how long the rest takes at the pace so far."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._reached = 0.0
        self._line = _Line()
        self._bar: Any = None

    def show(self, reached: float, *, done: int | None = None) -> None:
        """Show how far it is; the bar never goes back.

        Args:
            reached: In clips; a part of one counts too.
            done: How many are stored; as many as before when `None`.
        """
        self._done = self._done if done is None else done
        self._reached = max(self._reached, reached)
        if not is_terminal(sys.stderr):
            return
        said = f"{self._done:,} of {clips(self._total)}"
        if self._bar is None:
            from tqdm import tqdm

            shape = "{desc} {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
            options = {"bar_format": shape, "dynamic_ncols": True, "file": self._line, "smoothing": 0}
            # What was there before took no time and tells nothing of the pace.
            self._bar = tqdm(desc=said, total=self._total, initial=self._done, **options)
        self._bar.set_description_str(said, refresh=done is not None)
        self._bar.update(self._reached - self._bar.n)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bar away while the block prints."""
        if self._bar is not None:
            self._bar.clear()
        yield
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """End it."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self._line.end()


class _Line:
    """stderr for a bar, ended in any case: Ctrl+C may come between two of the bar's own writes."""

    encoding = "utf-8"
    current: ClassVar["_Line | None"] = None

    def __init__(self) -> None:
        self._open = False

    def write(self, text: str) -> None:
        self._open = not text.endswith("\n")
        _Line.current = self if self._open else None
        sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def fileno(self) -> int:
        return sys.stderr.fileno()

    def end(self) -> None:
        if self._open:
            self.write("\n")
            self.flush()


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _shrunk(columns: Sequence[Column], widths: Sequence[int], available: int) -> list[int]:
    over = _total(widths) - available
    shrunk = []
    for column, width in zip(columns, widths, strict=True):
        cut = min(max(0, over), max(0, width - _MIN_TITLE)) if column.shrink else 0
        over -= cut
        shrunk.append(width - cut)
    return shrunk


def _row(
    columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int], *, styled: bool = False
) -> str:
    parts = []
    for column, cell, width in zip(columns, cells, widths, strict=False):
        text = _fit(cell, width)
        space = " " * (width - _width(text))
        shown = style(text, **column.style) if styled and column.style else text
        parts.append(space + shown if column.right else shown + space)
    return _GAP.join(parts).rstrip()


def _fit(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    kept = ""
    for character in text:
        if _width(kept + character) > width - 1:
            break
        kept += character
    return kept.rstrip() + "…"


def _width(text: str) -> int:
    """Columns on a terminal: East Asian wide characters take two, combining ones none."""
    return sum(
        0
        if unicodedata.combining(c) or c == "\u200d"
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )

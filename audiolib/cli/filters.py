"""The conditions that `list`, `search`, `similar` and `export` share, and the orders to sort by."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from audiolib.errors import InvalidInputError
from audiolib.selection import SORTS, Condition, filters_of, read_condition

if TYPE_CHECKING:
    from audiolib import AudioLibrary, Filters

Command = TypeVar("Command", bound=Callable[..., Any])


class _Parsed(click.ParamType[Any]):
    """A condition that is typed in many ways."""

    def __init__(self, name: str, condition: Condition) -> None:
        self.name = name
        self._condition = condition

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a value; see `click.ParamType.convert`."""
        try:
            return read_condition(self._condition, value)
        except InvalidInputError as error:
            self.fail(str(error), param, ctx)


_OPTIONS = (
    click.option(
        "--min-duration", type=click.FloatRange(min=0), metavar="S", help="At least so many seconds."
    ),
    click.option(
        "--max-duration", type=click.FloatRange(min=0), metavar="S", help="At most so many seconds."
    ),
    click.option("--bpm", type=_Parsed("range", "bpm"), help="Tempo: 80-120, 120, 80- or -120."),
    click.option("--key", type=_Parsed("key", "key"), help="Like 'A minor', F#m or Bb."),
    click.option("--loudness", type=_Parsed("range", "loudness"), help="LUFS: -20..-14, -14 or -20.. ."),
    click.option("--tag", "tags", multiple=True, metavar="WORD", help="A tag; of several the clip has all."),
    click.option("--rating", type=click.IntRange(1, 5), metavar="N", help="At least this rating, 1 to 5."),
    click.option("--model", metavar="NAME", help="Made by this model, like musicgen-small."),
    click.option("--kind", type=click.Choice(["generated", "imported"]), help="Where the clip comes from."),
    click.option("--since", type=_Parsed("date", "since"), help="Made since: 2026-11-20, 2026-11, 7d."),
    click.option("--until", type=_Parsed("date", "until"), help="Made until then, that day included."),
    click.option("--has-speech/--no-speech", default=None, help="With words in it, or none."),
    click.option("--parent", metavar="CLIP", help="Variations of this clip."),
)
_NAMES = (
    "min_duration max_duration bpm key loudness tags rating model kind since until has_speech parent"
).split()


def filter_options(command: Command) -> Command:
    """Add the conditions to a command, which gets them as one value, `filters`."""

    @wraps(command)
    def run(*args: Any, **values: Any) -> Any:
        filters = _filters({name: values.pop(name) for name in _NAMES})
        return command(*args, filters=filters, **values)

    wrapped: Any = run
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]  # click's decorators give back what they got


def reuse_filter_options(command: Command) -> Command:
    """Add the conditions that a clip in place of a new one may have to meet, as one value, `filters`."""
    names = ("bpm", "key", "loudness", "rating", "since", "until", "has_speech")

    @wraps(command)
    def run(*args: Any, **values: Any) -> Any:
        filters = _filters({name: values.pop(name) for name in names})
        return command(*args, filters=filters, **values)

    wrapped: Any = run
    for name, option in reversed(list(zip(_NAMES, _OPTIONS, strict=True))):
        if name in names:
            wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]  # click's decorators give back what they got


def nothing_found(library: "AudioLibrary", filters: "Filters | None", *, otherwise: str) -> str:
    """Return what to say where no clip was selected: why, as far as that is known here.

    Args:
        library: Where from.
        filters: By which conditions.
        otherwise: What it is where there are clips and no conditions; a notice has told more.
    """
    if library.count() == 0:
        return "The library is empty."
    return "No clip is like that." if filters else otherwise


def sort_options(command: Command) -> Command:
    """Add `--sort` and `--reverse` to a command."""
    command = click.option("--reverse", is_flag=True, help="The other way round.")(command)
    return click.option(
        "--sort", type=click.Choice(list(SORTS)), help="By this; created (newest first) is the default."
    )(command)


def _filters(values: dict[str, Any]) -> "Filters":
    try:
        return filters_of(**values)
    except InvalidInputError as error:
        raise click.UsageError(str(error), click.get_current_context()) from error

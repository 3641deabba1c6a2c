"""The options that say how the sound is finished and stored."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from audiolib import Recipe

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--sample-rate", type=int, metavar="HZ", help="Sample rate, the model's own by default."),
    click.option(
        "--sample-format",
        type=click.Choice(["pcm16", "pcm24", "float"]),
        help="How WAV and FLAC store samples: 16 bit (the default), 24 bit, and in WAV 32-bit floats.",
    ),
    click.option(
        "--normalize",
        type=click.Choice(["peak", "loudness", "rms", "clip", "none"]),
        help="Bring peaks to -1 dB, loudness to -14 LUFS or the mean to -18 dB, or cut peaks off at -1 dB.",
    ),
    click.option(
        "--lufs", "loudness_lufs", type=float, metavar="LUFS", help="The loudness to normalize to, like -16."
    ),
    click.option(
        "--headroom",
        "headroom_db",
        type=float,
        metavar="DB",
        help="dB under full scale to normalize to: peak, rms, clip.",
    ),
    click.option("--fade-in", type=float, metavar="S", help="Seconds from silence."),
    click.option("--fade-out", type=float, metavar="S", help="Seconds to silence."),
    click.option("--dither/--no-dither", default=None, help="Round to 16 or 24 bits with dither."),
)
_FINISH = ("normalize", "loudness_lufs", "headroom_db", "fade_in", "fade_out", "dither")


def sound_options(command: Command) -> Command:
    """Add the options to a command, which gets `sample_rate`, `sample_format` and, where any is given, `finish`."""

    @wraps(command)
    def run(*args: Any, finish_changes: dict[str, Any], **values: Any) -> Any:
        from audiolib import SoundFinish

        if finish_changes:
            values["finish"] = SoundFinish().changed(**finish_changes)
        return command(*args, **values)

    return sound_changes(run)  # type: ignore[return-value]  # click's decorators give back what they got


def sound_changes(command: Command) -> Command:
    """Add the options to a command, which gets `sample_rate`, `sample_format`, and `finish_changes`: what is given."""

    @wraps(command)
    def run(*args: Any, **values: Any) -> Any:
        asked = {name: values.pop(name) for name in _FINISH}
        given = {name: value for name, value in asked.items() if value is not None}
        return command(*args, finish_changes=given, **values)

    wrapped: Any = run
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]  # click's decorators give back what they got


def sound_pairs(recipe: "Recipe") -> list[tuple[str, str]]:
    """Return what was done to a clip's sound, and how it is stored, for people; nothing where nothing was."""
    finish = recipe.finish
    level = "" if finish.loudness_lufs is None else f" of {finish.loudness_lufs:g} LUFS"
    level += "" if finish.headroom_db is None else f", {finish.headroom_db:g} dB under full scale"
    words = [
        recipe.sample_format or "",
        f"normalized to {finish.normalize}{level}" if finish.normalize not in (None, "clip") else "",
        f"clipped{level}" if finish.normalize == "clip" else "",
        f"fade-in {finish.fade_in:g} s" if finish.fade_in else "",
        f"fade-out {finish.fade_out:g} s" if finish.fade_out else "",
        "dither" if finish.dither else "",
    ]
    said = ", ".join(word for word in words if word)
    return [("sound", said)] if said else []

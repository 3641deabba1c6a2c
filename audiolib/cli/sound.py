"""The options that say how the sound is finished and stored."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

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
    click.option("--lufs", type=float, metavar="LUFS", help="The loudness to normalize to, like -16."),
    click.option(
        "--headroom", type=float, metavar="DB", help="dB under full scale to normalize to: peak, rms, clip."
    ),
    click.option("--fade-in", type=float, metavar="S", default=0.0, help="Seconds from silence."),
    click.option("--fade-out", type=float, metavar="S", default=0.0, help="Seconds to silence."),
    click.option("--dither", is_flag=True, help="Round to 16 or 24 bits with dither."),
)
_FINISH = ("normalize", "lufs", "headroom", "fade_in", "fade_out", "dither")


def sound_options(command: Command) -> Command:
    """Add the options to a command, which gets `sample_rate`, `sample_format` and a value `finish`."""

    @wraps(command)
    def run(*args: Any, **values: Any) -> Any:
        from audiolib import SoundFinish

        normalize, lufs, headroom, fade_in, fade_out, dither = (values.pop(name) for name in _FINISH)
        if lufs is not None and normalize is None:
            normalize = "loudness"
        finish = SoundFinish(
            normalize=None if normalize == "none" else normalize,
            headroom_db=headroom,
            loudness_lufs=lufs,
            fade_in=fade_in,
            fade_out=fade_out,
            dither=dither,
        )
        return command(*args, finish=finish, **values)

    wrapped: Any = run
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]  # click's decorators give back what they got

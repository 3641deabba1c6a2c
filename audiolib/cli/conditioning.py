"""What a clip is made from besides words: several models, music to go on from, a melody, context."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--model",
        "models",
        multiple=True,
        help="MusicGen checkpoint: a name or a folder. See `audiolib models list`. Repeated: they choose together.",
    ),
    click.option(
        "--model-weight",
        "model_weights",
        type=float,
        multiple=True,
        metavar="W",
        help="How much a model counts, one for each --model; all the same by default.",
    ),
    click.option(
        "--continue",
        "continue_from",
        metavar="CLIP|FILE",
        help="Begin with the end of this music and go on from it.",
    ),
    click.option(
        "--continue-seconds",
        type=float,
        metavar="S",
        help="How much of its end is given.  [default: all, at most 20]",
    ),
    click.option("--melody", metavar="CLIP|FILE", help="Follow this melody; for melody models."),
    click.option(
        "--context",
        type=float,
        metavar="S",
        help="What each 30 seconds of a longer clip take over from those before.  [default: 12]",
    ),
)


def conditioning_options(command: Command) -> Command:
    """Add the options to a command, which gets them as fields of a `GenerationRequest`."""

    @wraps(command)
    def run(*args: Any, models: tuple[str, ...], model_weights: tuple[float, ...], **values: Any) -> Any:
        # One name is what the request has always had; none leaves the choice to the settings.
        model = models if len(models) > 1 else (models or (None,))[0]
        return command(*args, model=model, model_weights=model_weights or None, **values)

    wrapped: Any = run
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]  # click's decorators give back what they got

"""Options and arguments that several commands share."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from audiolib.cli import output
from audiolib.cli.sound import sound_pairs

if TYPE_CHECKING:
    from audiolib import AudioLibrary, Clip, Recipe

Command = TypeVar("Command", bound=Callable[..., Any])

library_option = click.option(
    "--library",
    "library_path",
    type=click.Path(path_type=Path, file_okay=False),
    help="The library's folder. Default: AUDIOLIB_LIBRARY, the library around this folder, or ./data.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
model_option = click.option(
    "--model", help="MusicGen checkpoint: a name or a folder. See `audiolib models list`."
)
bits_option = click.option(
    "--bits",
    type=click.Choice(["8", "4"]),
    callback=lambda _context, _parameter, value: None if value is None else int(value),
    help="Quantise the decoder's weights, for less memory.",
)
clip_argument = click.argument("clip", metavar="CLIP")


def sampling_options(command: Command) -> Command:
    """Add the options that say how tokens are chosen."""
    for option in (
        click.option("--guidance", type=float, help="How strongly the prompt counts; 1 is no guidance."),
        click.option(
            "--top-p", type=float, help="Choose among the likeliest tokens of this probability in all."
        ),
        click.option("--top-k", type=int, help="Choose among this many of the likeliest tokens."),
        click.option("--temperature", type=float, help="Randomness; 0 always takes the likeliest token."),
    ):
        command = option(command)
    return command


def open_library(path: Path | None) -> "AudioLibrary":
    """Return the library that the options and the settings name; nothing is made yet."""
    from audiolib import AudioLibrary

    return AudioLibrary(path)


def read_prompt(text: str) -> str:
    """Return the prompt, read from standard input when it is `-`."""
    if text != "-":
        return text
    # More than the longest prompt can have, less than what would hurt; broken UTF-8 is refused with the prompt.
    return sys.stdin.buffer.read(1 << 20).decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def print_clip(clip: "Clip", *, details: str) -> None:
    """Print a clip for people: title, path, and a line of details."""
    output.result(output.style(output.plain(clip.title), bold=True))
    output.result(f"  {output.short_path(clip.path)}")
    output.result(f"  {output.style(details, dim=True)}")


def recipe_pairs(recipe: "Recipe") -> list[tuple[str, str]]:
    """Return a recipe's parts as names and values for people."""
    return [
        ("model", f"{recipe.model} ({recipe.weights_digest[:19]}…)"),
        ("seed", str(recipe.seed)),
        (
            "sampling",
            f"temperature {recipe.temperature:g}, top-k {recipe.top_k}, top-p {recipe.top_p:g}, "
            f"guidance {recipe.guidance:g}",
        ),
        ("steps", str(recipe.steps)),
        *_conditions(recipe),
        *sound_pairs(recipe),
        ("made on", f"{recipe.backend}, {_weights(recipe)}, audiolib {recipe.audiolib_version}"),
    ]


def _conditions(recipe: "Recipe") -> list[tuple[str, str]]:
    """What few clips have."""
    given = output.seconds(recipe.given_frames / 50)
    weights = zip(recipe.models, recipe.model_weights, strict=False)
    pairs = [
        ("weights", ", ".join(f"{name} {weight:g}" for name, weight in weights)),
        ("goes on", f"from {given} of {output.plain(recipe.continued_from or '')}"),
        ("melody", output.plain(recipe.melody_from or "")),
        ("context", "" if recipe.context is None else output.seconds(recipe.context)),
    ]
    kept = [
        bool(recipe.models),
        recipe.given_frames > 0,
        bool(recipe.melody_from),
        recipe.context is not None,
    ]
    return [pair for pair, there in zip(pairs, kept, strict=True) if there]


def _weights(recipe: "Recipe") -> str:
    return recipe.dtype if recipe.bits is None else f"{recipe.dtype}, {recipe.bits} bit weights"

"""`audiolib show`: all that is known of one clip."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from audiolib.cli import output
from audiolib.cli.options import clip_argument, json_option, library_option, open_library, recipe_pairs

if TYPE_CHECKING:
    from audiolib import AudioLibrary, Clip


@click.command("show", short_help="Show all that is known of a clip.")
@clip_argument
@click.option(
    "--waveform/--no-waveform",
    "wants_waveform",
    default=None,
    help="Draw its waveform; by default on a terminal only.",
)
@library_option
@json_option
def show_command(clip: str, wants_waveform: bool | None, library_path: Path | None, as_json: bool) -> None:
    """Show all that is known of CLIP: its id, the end of its id, a path, or `last`."""
    library = open_library(library_path)
    found = library.get(clip)
    recipe, clipped = library.recipe(found.id), library.clipped(found.id)
    if as_json:
        told = {"recipe": recipe.to_json() if recipe else None, "clipped": clipped}
        output.json_line({**found.to_json(), **told})
        return
    pairs = [
        ("title", found.title),
        ("prompt", found.prompt if found.prompt != found.title else None),
        ("id", found.id),
        ("path", output.short_path(found.path)),
        ("audio", f"{output.seconds(found.duration)}, {found.sample_rate} Hz, {_channels(found.channels)}"),
        ("made", output.local_time(found.created_at)),
        ("kind", found.kind),
        ("parent", found.parent_id),
        ("tags", ", ".join(found.tags)),
        ("rating", None if found.rating is None else output.stars(found.rating)),
        ("words", found.transcript),
        ("language", found.language),
        ("tempo", None if found.tempo_bpm is None else f"{found.tempo_bpm:.0f} BPM"),
        ("key", found.key),
        ("loudness", None if found.loudness_lufs is None else f"{found.loudness_lufs:.1f} LUFS"),
        ("license", found.license),
        *(recipe_pairs(recipe) if recipe else ()),
        ("cut off", None if clipped is None else _cut_off(clipped)),
    ]
    output.fields([(name, value) for name, value in pairs if value])
    if wants_waveform or (wants_waveform is None and output.is_terminal(sys.stdout)):
        _draw(library, found)


def _cut_off(clipped: dict[str, float]) -> str:
    samples = "1 sample" if clipped["samples"] == 1 else f"{clipped['samples']:,} samples"
    limit = clipped.get("limit_db", 0.0)
    scale = f"{limit:g} dB of full scale" if limit else "full scale"
    return f"{samples} over {scale}, by up to {clipped['over_db']:.1f} dB"


def _draw(library: "AudioLibrary", clip: "Clip") -> None:
    from audiolib import AudioError
    from audiolib.cli import waveform

    try:
        outline = library.waveform(clip, columns=waveform.columns_for(waveform.width()))
    except AudioError as error:  # the rest is shown all the same
        output.notice(str(error))
        return
    output.result()
    waveform.show(outline)


def _channels(number: int) -> str:
    return {1: "mono", 2: "stereo"}.get(number, f"{number} channels")

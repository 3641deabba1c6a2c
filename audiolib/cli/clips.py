"""`audiolib show`: all that is known of one clip."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from audiolib.cli import output
from audiolib.cli.options import clip_argument, json_option, library_option, open_library, recipe_pairs

if TYPE_CHECKING:
    from audiolib import AudioLibrary, Clip, ClipDetails

_SEGMENTS: Final = 8
"""So many are shown; a spoken hour has hundreds."""
_DESCRIPTORS: Final = {  # by the field's name: the words of `generate --want`, and the value with its unit
    "tempo_bpm": ("tempo", "{:.0f} BPM"),
    "key": ("key", "{}"),
    "loudness_lufs": ("loudness", "{:.1f} LUFS"),
    "brightness_hz": ("brightness", "{:,.0f} Hz"),
    "energy": ("energy", "{:.2f}"),
    "onset_density": ("onsets", "{:.1f} a second"),
    "percussive_share": ("percussive", "{:.2f}"),
}


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
    details = library.details(clip)
    if as_json:
        output.json_line(details.to_json())
        return
    output.fields([(name, value) for name, value in _pairs(details) if value])
    if wants_waveform or (wants_waveform is None and output.is_terminal(sys.stdout)):
        _draw(library, details.clip)


def _pairs(details: "ClipDetails") -> list[tuple[str, str | None]]:
    """What is known, as names and values for people."""
    found = details.clip
    return [
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
        *_segments(details),
        ("transcript", _transcript(details)),
        *_descriptors(details),
        ("license", found.license),
        *(recipe_pairs(details.recipe) if details.recipe else ()),
        ("cut off", None if details.clipped is None else _cut_off(details.clipped)),
    ]


def _segments(details: "ClipDetails") -> list[tuple[str, str]]:
    shown = [f"{part.start:.1f} to {part.end:.1f} s: {part.text}" for part in details.segments[:_SEGMENTS]]
    if (more := len(details.segments) - len(shown)) > 0:
        shown.append(f"and {more:,} more; --json has all")
    return [("" if number else "segments", line) for number, line in enumerate(shown)]


def _transcript(details: "ClipDetails") -> str:
    """What came of listening for words, like `rejected (whisper-tiny): more likely no speech than speech`."""
    told = details.transcription
    by = f" ({told.model})" if told.model else ""
    reason = "no words were heard" if told.state == "done" and not details.clip.transcript else told.reason
    return f"{told.state}{by}{f': {reason}' if reason else ''}"


def _descriptors(details: "ClipDetails") -> list[tuple[str, str]]:
    """What was measured, and how sure it is where that is known."""
    pairs = []
    for name, (label, form) in _DESCRIPTORS.items():
        value, sure = getattr(details.clip, name), details.confidence.get(name)
        if value is not None:
            pairs.append((label, form.format(value) + ("" if sure is None else f" (confidence {sure:.2f})")))
    return pairs


def _cut_off(clipped: Mapping[str, float]) -> str:
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

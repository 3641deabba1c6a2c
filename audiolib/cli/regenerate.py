"""`audiolib regenerate`: a clip made again, or a variation of it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audiolib.cli import output
from audiolib.cli.options import (
    clip_argument,
    json_option,
    library_option,
    model_option,
    open_library,
    print_clip,
    read_prompt,
)
from audiolib.cli.sound import sound_changes

if TYPE_CHECKING:
    from audiolib import Recipe, SoundFinish


@click.command("regenerate", short_help="Make a clip again, or a variation of it.")
@clip_argument
@click.option("--seed", type=int, help="Another seed: the same idea, played otherwise.")
@click.option("--prompt", help="Other words; - reads them from standard input.")
@click.option("--duration", type=float, help="Another length in seconds.")
@model_option
@sound_changes
@library_option
@json_option
def regenerate_command(
    clip: str,
    seed: int | None,
    prompt: str | None,
    duration: float | None,
    model: str | None,
    library_path: Path | None,
    as_json: bool,
    finish_changes: dict[str, Any],
    **sound: Any,
) -> None:
    """Make CLIP again and check that it is the same, or with an option make a variation as a new clip.

    CLIP is an id, the end of one, a path, or `last`.
    """
    library = open_library(library_path)
    start = time.perf_counter()
    words = None if prompt is None else read_prompt(prompt)
    found = library.get(clip)  # once: `last` may be another clip in a moment
    if finish_changes:
        sound["finish"] = _finish(library.recipe(found.id), finish_changes)
    varied = any(change is not None for change in (seed, words, duration, model, *sound.values()))
    again = None
    with output.bar(found.title, "step") as update:
        if varied:
            made = library.regenerate(
                found.id,
                seed=seed,
                prompt=words,
                duration=duration,
                model=model,
                **sound,
                progress=lambda at: update(at.done, at.total),
            )
        else:
            again = library.reproduce(found.id, progress=lambda at: update(at.done, at.total))
            made = again.clip
    if as_json:
        output.json_line({**made.to_json(), **({} if again is None else {"reproduction": again.to_json()})})
        return
    took = f"{time.perf_counter() - start:.1f} s"
    if again is None:
        details = f"{output.seconds(made.duration)} of music in {took} · seed {made.seed} · {made.model}"
        print_clip(made, details=f"{details} · a variation of {(made.parent_id or '')[-6:]}")
        return
    compared = "tokens and samples" if again.codes_compared else "samples"
    print_clip(made, details=f"made again in {took}: the same {compared}, bit for bit")
    for path in again.restored:
        output.result(f"  restored {output.short_path(path)}")


def _finish(recipe: "Recipe | None", changes: dict[str, Any]) -> "SoundFinish":
    """What a clip was finished like, but for the changes; an imported one's is not known."""
    from audiolib import SoundFinish

    return (SoundFinish() if recipe is None else recipe.finish).changed(**changes)

"""Hits as `search` and `similar` show them, with the reasons in words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from audiolib.cli import output

if TYPE_CHECKING:
    from audiolib import Explanation, SearchHit

limit_option = click.option(
    "-k", "--limit", type=click.IntRange(min=1), default=10, show_default=True, help="Hits at most."
)
space_option = click.option(
    "--space", metavar="NAME", help="Compare sounds as a CLAP model hears them: clap. See `audiolib index`."
)


def print_hits(hits: Sequence["SearchHit"], *, as_json: bool, none: str) -> None:
    """Print hits for people or as JSON, one a line.

    Args:
        hits: The hits, best first.
        as_json: For programs.
        none: What to say to people when there are none.
    """
    if as_json:
        for hit in hits:
            output.json_line(hit.to_json())
    elif hits:
        output.table(
            (
                output.Column(title="score", right=True, style={"fg": "green"}),
                output.Column(title="title", shrink=True, style={"bold": True}),
                output.Column(title="duration", right=True),
                output.Column(title="path"),
            ),
            [
                (
                    "–" if hit.score is None else f"{hit.score:.2f}",  # noqa: RUF001  # a dash is meant
                    hit.clip.title,
                    output.seconds(hit.clip.duration),
                    output.short_path(hit.clip.path),
                )
                for hit in hits
            ],
            below=[None if hit.why is None else reason(hit.why) for hit in hits],
        )
    else:
        output.notice(none)


def reason(why: "Explanation") -> str:
    """Return why a clip was found, like `meaning: 2nd nearest (0.43); words: 'piano' and 'calm' match, 1st`.

    Args:
        why: The explanation.
    """
    matches = "matches" if len(why.matched) == 1 else "match"
    words = f"{_listed(why.matched)} {matches}" if why.matched else "none match"
    place = "" if why.keyword_rank is None else f", {_ordinal(why.keyword_rank)} by words"
    parts = [f"meaning: {_meaning(why)}", f"words: {words}{place}"]
    parts += [f"has {_listed(why.unwanted)}, not wanted"] if why.unwanted else []
    parts += [f"says it has no {_listed(lacking)}" for lacking in (why.lacks, why.denied) if lacking]
    if why.likeness is not None and why.likeness > 0:
        parts.append(f"like what is not wanted: {why.likeness:.2f}")
    return "; ".join(parts)


def _meaning(why: "Explanation") -> str:
    if why.similarity is None:
        return "not compared"
    if why.semantic_rank is not None:
        return f"{_ordinal(why.semantic_rank)} nearest ({why.similarity:.2f})"
    # Words alone rank nobody by meaning.
    return f"{why.similarity:.2f}" if why.fused is None else f"not among the nearest ({why.similarity:.2f})"


def _listed(names: Sequence[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return " and ".join(filter(None, [", ".join(quoted[:-1]), *quoted[-1:]]))


def _ordinal(number: int) -> str:
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"

"""The command line: thin commands over `AudioLibrary`, each imported only when it is used."""

from typing import Any

import click

from audiolib.cli.app import LazyGroup, version_option

_MODULES = {
    "generate": "audiolib.cli.generate",
    "add": "audiolib.cli.add",
    "watch": "audiolib.cli.watch",
    "search": "audiolib.cli.search",
    "similar": "audiolib.cli.similar",
    "list": "audiolib.cli.list",
    "show": "audiolib.cli.clips",
    "play": "audiolib.cli.play",
    "tag": "audiolib.cli.tag",
    "rate": "audiolib.cli.rate",
    "remove": "audiolib.cli.remove",
    "trash": "audiolib.cli.trash",
    "duplicates": "audiolib.cli.duplicates",
    "stats": "audiolib.cli.stats",
    "export": "audiolib.cli.export",
    "regenerate": "audiolib.cli.regenerate",
    "index": "audiolib.cli.index",
    "check": "audiolib.cli.check",
    "models": "audiolib.cli.models",
    "bench": "audiolib.cli.bench",
}


@click.group(
    cls=LazyGroup,
    modules=_MODULES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Start with: audiolib generate "calm piano"',
)
@version_option
def cli() -> None:
    """Make music from words, and find every clip again by what it is like."""


def main(prog_name: str | None = None, **options: Any) -> None:
    """Run the command line and exit with its code.

    Args:
        prog_name: How the program is called in its own help.
        **options: As for `click.Command.main`.
    """
    cli.main(prog_name=prog_name, **options)

"""`python -m indexing.evaluation`: how well clips are found by words, as a table or JSON."""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from indexing.embed import DEFAULT_EMBEDDER, load_embedder
from indexing.errors import IndexingError
from indexing.evaluation.text.queries import CLASSES, PARTS
from indexing.evaluation.text.run import WAYS, CachedEmbedder, Table, evaluate, shortfalls
from indexing.evaluation.text.templates import TEMPLATES
from indexing.query import MODES


def main(arguments: list[str] | None = None) -> int:
    """Run the evaluation and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m indexing.evaluation", description=__doc__)
    parser.add_argument("--template", choices=TEMPLATES, default="shipped", help="how documents are composed")
    parser.add_argument("--templates", action="store_true", help="compare all templates")
    parser.add_argument("--part", choices=PARTS, default="held-out", help="of the questions")
    parser.add_argument("--embedder", default=DEFAULT_EMBEDDER, metavar="NAME")
    parser.add_argument("--cache", type=Path, default=_cache(), metavar="DIR", help="where vectors are kept")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(arguments)
    embedder = CachedEmbedder(options.cache, lambda: load_embedder(options.embedder), options.embedder)
    for name in TEMPLATES if options.templates else (options.template,):
        ways = MODES if options.templates else WAYS
        try:
            table = evaluate(embedder, template=name, part=options.part, ways=ways, progress=_say)
        except IndexingError as error:
            print(error, file=sys.stderr)
            return 1
        if options.json:
            figures = {way: {kind: asdict(f) for kind, f in kinds.items()} for way, kinds in table.items()}
            print(json.dumps({"template": name, "part": options.part, "figures": figures}), flush=True)
        else:
            _print(name, options.part, table)
    return 0


def _print(template: str, part: str, table: Table) -> None:
    print(f"\ntemplate: {template}, questions: {part}; recall@1, recall@10, MRR in %\n")
    print(f"{'class':<12}{'questions':>10}" + "".join(f"{way:>20}" for way in table))
    for kind in (*CLASSES, "all"):
        row = [table[way][kind] for way in table]
        cells = "".join(
            f"{100 * f.recall_at_1:>8.1f}{100 * f.recall_at_10:>6.1f}{100 * f.mrr:>6.1f}" for f in row
        )
        print(f"{kind:<12}{row[0].queries:>10}{cells}")
    for what, missing in shortfalls(table).items():
        print(f"hybrid is {100 * missing:.2f} points behind: {what}")


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "audiolib" / "evaluation"


if __name__ == "__main__":
    sys.exit(main())

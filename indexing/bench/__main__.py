"""`python -m indexing.bench`: how fast the index is on this machine, beside what is asked of it."""

import argparse
import json
import logging
import resource
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from indexing.bench import measure
from indexing.bench.captions import captions
from indexing.bench.library import build

_QUERIES = 200
_TRUTH = "truth.npy"

logger = logging.getLogger("indexing.bench")


def main() -> None:
    """Builds a table, measures it, prints JSON or a table of the figures."""
    parser = argparse.ArgumentParser(prog="python -m indexing.bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="of the table that is searched (100,000)")
    parser.add_argument("--real", type=int, default=4_000, help="captions that are really embedded (4,000)")
    parser.add_argument("--rounds", type=int, default=50, help="of each measurement (50)")
    parser.add_argument("--add", type=int, default=2_000, help="rows that are embedded and added (2,000)")
    parser.add_argument("--texts", type=int, default=256, help="embedded at each length (256)")
    parser.add_argument(
        "--folder", type=Path, help="keep the table and the vectors here; else a temporary one"
    )
    parser.add_argument(
        "--again", action="store_true", help="measure the table that an earlier run kept there"
    )
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    options = parser.parse_args()
    if options.again and not (options.folder and (options.folder / _TRUTH).is_file()):
        parser.error("--again needs --folder with a table that an earlier run kept there")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("indexing.bench").setLevel(logging.INFO)
    with tempfile.TemporaryDirectory() as temporary:
        figures = _measure(options, options.folder or Path(temporary))
    _print(figures, as_json=options.json)


def _measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    import numpy as np

    from indexing import remembered
    from indexing.embed import load_embedder
    from indexing.store import ClipIndex

    embedder = load_embedder()
    logger.info("embedding %s captions", options.real + _QUERIES)
    texts, asked = captions(options.real), captions(_QUERIES, seed=1)
    queries = remembered.embed(embedder, asked, folder)
    index = ClipIndex(folder / "index")
    figures: dict[str, Any] = {}
    if options.again:
        measure.forget(index)
    else:
        shutil.rmtree(folder / "index", ignore_errors=True)
        vectors = remembered.embed(embedder, texts, folder)
        truth, writing = build(folder / "index", options.rows, texts=texts, vectors=vectors, queries=queries)
        np.save(folder / _TRUTH, truth.rows)
        began = time.perf_counter()
        index.optimise()
        figures = {"write_s": writing, "index_s": time.perf_counter() - began}
    figures |= {
        "rows": index.count(),
        "recall_at_10": measure.recall(index, queries, np.load(folder / _TRUTH)),
    }
    timings = measure.questions(index, asked, queries, rounds=options.rounds)
    logger.info("writing")
    timings |= {
        f"ageing, {name}": timing for name, timing in measure.ageing(index, queries, writes=50).items()
    }
    figures["milliseconds"] = {name: asdict(timing) for name, timing in timings.items()}
    figures["texts_per_s"] = measure.embedding(embedder, texts=options.texts) if options.texts else {}
    figures["adding"] = measure.adding(index, embedder, rows=options.add, words=20) if options.add else {}
    figures["disk_mb"] = sum(f.stat().st_size for f in (folder / "index").rglob("*") if f.is_file()) / 1e6
    figures["max_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000
    return figures


def _print(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    print(f"{'milliseconds':<52}{'p50':>8}{'p90':>8}{'best':>8}")
    for name, timing in figures["milliseconds"].items():
        print(f"{name:<52}{timing['p50']:>8.1f}{timing['p90']:>8.1f}{timing['best']:>8.1f}")
    print()
    for words, speed in figures["texts_per_s"].items():
        print(f"{f'texts of {words} words, a second':<52}{speed:>8.0f}")
    for name, value in figures["adding"].items():
        print(f"{f'adding, {name}':<52}{value:>8.1f}")
    for name in ("rows", "write_s", "index_s", "recall_at_10", "disk_mb", "max_rss_mb"):
        if name in figures:
            print(f"{name:<52}{figures[name]:>8.4g}" if name != "rows" else f"{name:<52}{figures[name]:>8,}")


if __name__ == "__main__":
    main()

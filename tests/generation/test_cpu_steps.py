"""The CPU's own steps against the ordinary ones: the same logits, whatever stands before and beside a clip."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from generation.compose import memories_for
from generation.config import DecoderConfig, MusicGenConfig
from generation.cpu_steps import CpuSteps, prepare_decoder
from generation.decoder import KVCache, MusicGenDecoder, TextMemory
from generation.errors import GenerationError
from generation.layers import Linear, SplitLinear
from generation.musicgen import MusicGen

CONFIG = DecoderConfig(
    vocab_size=64,
    hidden_size=256,
    ffn_dim=3072,
    num_hidden_layers=3,
    num_attention_heads=4,
    pad_token_id=64,
    bos_token_id=64,
)
TOLERANCE = 1e-5


def decoders(config: DecoderConfig = CONFIG) -> tuple[MusicGenDecoder, MusicGenDecoder]:
    """The same random weights twice: as they are, and prepared for the CPU."""
    pair = []
    for _ in range(2):
        mx.random.seed(3)
        decoder = MusicGenDecoder(config, text_dim=config.hidden_size)
        for norm in [module for module in decoder.modules() if "bias" in module and "weight" in module]:
            norm.weight = 1 + 0.3 * mx.random.normal(norm.weight.shape)
            norm.bias = 0.3 * mx.random.normal(norm.bias.shape)
        pair.append(decoder.eval())
    prepare_decoder(pair[1])
    return pair[0], pair[1]


def logits_of(
    decoder: MusicGenDecoder,
    memories: list[TextMemory],
    cache: list[KVCache],
    steps: list[mx.array],
    *,
    guided: bool,
) -> list[np.ndarray]:
    """Logits after each of some steps `(B, K, 1)`, by the CPU's own way where the decoder is prepared for it."""
    if not decoder.cpu_steps:
        return [np.array(decoder.next_logits(step, memories, cache, guided=guided)) for step in steps]
    clips, room = steps[0].shape[0], cache[0].length + len(steps)
    run = CpuSteps(decoder, memories, cache, clips=clips, guided=guided, room=room)
    made = [run(np.array(step[:, :, 0])).copy() for step in steps]
    return [logits.reshape(-1, *logits.shape[2:]) for logits in made]


def texts(*lengths: int | None) -> list[mx.array | None]:
    """Text states of clips; None for one without."""
    return [None if n is None else mx.random.normal((n, 256), key=mx.random.key(n)) for n in lengths]


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("before", [1, 9])
# Texts of more words than half a head's width go through the weights themselves.
@pytest.mark.parametrize("lengths", [(7,), (None,), (5, None, 40, 12), (None, 3)], ids=str)
def test_the_logits_are_the_ordinary_ones(lengths: tuple[int | None, ...], before: int, guided: bool) -> None:
    tokens = mx.random.randint(0, 65, (len(lengths), 4, before + 5), key=mx.random.key(1))
    found = []
    for decoder in decoders():
        memories, cache = memories_for(decoder, texts(*lengths), apart=True), decoder.new_cache()
        steps = [tokens[:, :, :before], *[tokens[:, :, before + i, None] for i in range(5)]]
        made = [np.array(decoder.next_logits(steps[0], memories, cache, guided=guided))]
        made += logits_of(decoder, memories, cache, steps[1:], guided=guided)
        found.append(np.stack(made))
    assert found[0].shape == (6, len(lengths) * (2 if guided else 1), 4, 64)
    np.testing.assert_allclose(found[1], found[0], atol=TOLERANCE * np.abs(found[0]).max())


@pytest.mark.parametrize("guided", [False, True])
def test_a_text_longer_than_all_else(guided: bool) -> None:
    """More words than positions and more than a head's share of the feed-forward layer."""
    config = dataclasses.replace(CONFIG, ffn_dim=1024)
    plain, quick = decoders(config)
    states: list[mx.array | None] = [mx.random.normal((900, config.hidden_size), key=mx.random.key(5))]
    steps = [mx.full((1, config.num_codebooks, 1), token, mx.int32) for token in (64, 3, 9)]
    made = [
        logits_of(one, memories_for(one, states, apart=True), one.new_cache(), steps, guided=guided)
        for one in (plain, quick)
    ]
    for expected, logits in zip(*made, strict=True):
        np.testing.assert_allclose(logits, expected, atol=TOLERANCE)


def test_damaged_weights_are_told(tiny_folder: Path) -> None:
    model = MusicGen.from_pretrained(tiny_folder, dtype="float32")
    model.parts.decoder.layers[0].fc1.weight[0, 0] = float("nan")
    with pytest.raises(GenerationError, match="damaged"):
        model.compose(["calm piano"], seeds=[1], max_steps=8)


def test_a_clip_has_the_same_bits_in_any_company() -> None:
    _, decoder = decoders()
    tokens = mx.random.randint(0, 65, (4, 4, 6), key=mx.random.key(1))
    words = texts(5, None, 40, 12)

    def run(clips: list[int]) -> np.ndarray:
        memories = memories_for(decoder, [words[i] for i in clips], apart=True)
        cache, rows = decoder.new_cache(), tokens[mx.array(clips)]
        made = logits_of(decoder, memories, cache, [rows[:, :, i, None] for i in range(6)], guided=True)
        return np.stack(made).reshape(6, 2, len(clips), -1)

    together = run([0, 1, 2, 3])
    for i in range(4):
        np.testing.assert_array_equal(run([i])[:, :, 0], together[:, :, i])
    np.testing.assert_array_equal(run([3, 1])[:, :, 0], together[:, :, 3])


@pytest.mark.parametrize("rows", [1, 8, 11])
@pytest.mark.parametrize("tile", [None, 8])
def test_a_product_in_parts(rows: int, tile: int | None) -> None:
    linear = Linear(96, 40, bias=False)
    linear.row_tile = tile
    x = mx.random.normal((1, rows, 96), key=mx.random.key(2))
    split = SplitLinear(linear, 3)
    assert split.weight.shape == (3, 40, 32)
    np.testing.assert_allclose(np.array(split(x)), np.array(linear(x)), atol=1e-6)


def test_a_loaded_model_has_them(tiny_model: MusicGen) -> None:
    if tiny_model.backend == "cpu":
        assert tiny_model.parts.decoder.cpu_steps


def test_greedy_tokens_are_those_of_transformers(
    make_reference: Callable[..., Any], store_reference: Callable[..., Path], tmp_path: Path
) -> None:
    import torch

    reference = make_reference(decoder={"hidden_size": 64, "ffn_dim": 1792}, seed=11)
    ids = [5, 17, 40, 1]
    seen: list[np.ndarray] = []
    decode = reference.audio_encoder.decode
    reference.audio_encoder.decode = lambda codes, *rest, **more: (
        seen.append(codes[0].numpy()) or decode(codes, *rest, **more)
    )
    with torch.no_grad():
        given = torch.tensor([ids])
        reference.generate(
            input_ids=given,
            attention_mask=torch.ones_like(given),
            do_sample=False,
            guidance_scale=3.0,
            max_new_tokens=40,
        )
    model = MusicGen.from_pretrained(store_reference(reference, tmp_path), dtype="float32")
    model.tokenizer = type("Fixed", (), {"encode": lambda self, text: ids})()
    (clip,) = model.compose(["anything"], seeds=[0], max_steps=40, temperature=0.0, guidance=3.0)
    np.testing.assert_array_equal(clip.codes, seen[0][0])


def test_what_is_not_made_for_it_is_left_alone() -> None:
    config = MusicGenConfig.tiny().decoder
    decoder = MusicGenDecoder(config, text_dim=config.hidden_size)
    decoder.heads = decoder.heads.to_quantized(group_size=32, bits=8)
    prepare_decoder(decoder)
    assert not decoder.cpu_steps

"""The decoder and its loop: what other implementations got wrong is right here, and each is shown by name."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten
from whole_codes import compose_codes

import generation.compose
import generation.decoder
from generation.compose import memories_for
from generation.config import DecoderConfig, MusicGenConfig
from generation.decoder import CACHE_BLOCK, CrossAttention, KVCache, MusicGenDecoder
from generation.delay import DelayPattern
from generation.musicgen import MusicGen
from generation.parts import Parts
from generation.sampling import SamplingSettings

STEREO = DecoderConfig(
    vocab_size=64,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    ffn_dim=64,
    num_codebooks=8,
    audio_channels=2,
    pad_token_id=64,
    bos_token_id=64,
)
GREEDY = SamplingSettings(temperature=0, guidance=3)


def random_decoder(config: DecoderConfig, dtype: mx.Dtype = mx.float32) -> MusicGenDecoder:
    decoder = MusicGenDecoder(config, text_dim=24)
    flat: dict[str, mx.array] = dict(tree_flatten(decoder.parameters()))
    keys = mx.random.split(mx.random.key(1), len(flat))
    drawn = [
        (name, mx.random.normal(value.shape, key=key) * (0.5 if value.ndim == 1 else value.shape[-1] ** -0.5))
        for key, (name, value) in zip(keys, flat.items(), strict=True)
    ]
    decoder.load_weights(drawn)
    decoder.set_dtype(dtype)
    decoder.eval()
    return decoder


@pytest.fixture(scope="module")
def decoder() -> MusicGenDecoder:
    return random_decoder(DecoderConfig.tiny())


def text(*lengths: int, dtype: mx.Dtype = mx.float32) -> list[mx.array]:
    return [mx.random.normal((n, 32), key=mx.random.key(n)).astype(dtype) for n in lengths]


@pytest.mark.parametrize("chunks", [[1] * 40, [40], [7, 1, 30, 2]], ids=["stepwise", "at once", "mixed"])
def test_prefill_equals_steps(decoder: MusicGenDecoder, chunks: list[int]) -> None:
    """Several tokens at once need a causal mask and their own positions (known error 4)."""
    tokens = mx.random.randint(0, 65, (2, 4, 40), key=mx.random.key(2))
    memories = memories_for(decoder, text(5, 9), apart=False)
    whole = np.array(decoder(tokens, memories))
    cache = decoder.new_cache()
    pieces, start = [], 0
    for size in chunks:
        pieces.append(np.array(decoder(tokens[:, :, start : start + size], memories, cache)))
        start += size
    np.testing.assert_allclose(np.concatenate(pieces, axis=2), whole, atol=1e-5)


def test_later_tokens_do_not_change_earlier_logits(decoder: MusicGenDecoder) -> None:
    tokens = mx.random.randint(0, 64, (1, 4, 12), key=mx.random.key(3))
    other = mx.concatenate([tokens[:, :, :8], (tokens[:, :, 8:] + 1) % 64], axis=2)
    a, b = (np.array(decoder(t, [])) for t in (tokens, other))
    np.testing.assert_allclose(a[:, :, :8], b[:, :, :8], atol=1e-6)
    assert np.abs(a[:, :, 8:] - b[:, :, 8:]).max() > 0.01


def test_the_cache_grows_over_its_block() -> None:
    cache = KVCache()
    parts = [
        mx.random.normal((2, 3, n, 4), key=mx.random.key(n)) for n in (1, CACHE_BLOCK - 1, 1, CACHE_BLOCK + 5)
    ]
    for part in parts:
        keys, values = cache.extend(part, 2 * part)
    expected = np.concatenate([np.array(part) for part in parts], axis=2)
    np.testing.assert_array_equal(np.array(keys), expected)
    np.testing.assert_array_equal(np.array(values), 2 * expected)
    assert cache.length == expected.shape[2]


def test_continuing_a_prompt_is_the_same_as_having_made_it(decoder: MusicGenDecoder) -> None:
    """Windows and continuation read the prompt in one pass (known error 4)."""
    memories = memories_for(decoder, text(6, 3), apart=True)
    options: dict[str, Any] = {"frames": 30, "seeds": [5, 6], "settings": SamplingSettings(top_k=50)}
    whole = compose_codes(decoder, memories, **options)
    for known in (1, 12, 29):
        again = compose_codes(decoder, memories, prompt=whole[:, :, :known], **options)
        np.testing.assert_array_equal(again[:, :, :known], whole[:, :, :known])
        # Codebook k of frame f is drawn at step f + k: the draws are those of the first time.
        np.testing.assert_array_equal(again, whole)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 20])
def test_the_last_frames_are_real_tokens(decoder: MusicGenDecoder, frames: int) -> None:
    """Undoing the delays one step off left stale codes, even the pad, in the last frame (known error 3)."""
    config = decoder.config
    seen: list[np.ndarray] = []
    choose = generation.compose.choose

    def record(*args: Any) -> mx.array:
        seen.append(np.array(choose(*args)))
        return mx.array(seen[-1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation.compose, "choose", record)
        codes = compose_codes(decoder, [], frames=frames, seeds=[1], settings=SamplingSettings(guidance=1))
    assert codes.shape == (1, 4, frames)
    assert codes.min() >= 0
    assert codes.max() < config.vocab_size
    assert len(seen) == frames + 3
    # Codebook k of frame f is what was chosen at step f + k: the last frame's last code is the last step's.
    chosen = np.stack(seen, axis=2)
    for k in range(4):
        np.testing.assert_array_equal(codes[0, k], chosen[0, k, k : k + frames])


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_numbers_stay_16_bit(dtype: mx.Dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text states of another type turned activations and cache to float32 (known error 5)."""
    decoder = random_decoder(DecoderConfig.tiny(), dtype)
    types: set[mx.Dtype] = set()
    extend = KVCache.extend

    def record(self: KVCache, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        out = extend(self, keys, values)
        types.update(array.dtype for array in (keys, values, *out))
        return out

    monkeypatch.setattr(KVCache, "extend", record)
    memories = memories_for(decoder, [decoder.project_text(mx.zeros((3, 24), dtype)), None], apart=False)
    types |= {array.dtype for layer in memories[0].layers for array in layer}
    hidden = decoder.hidden(mx.zeros((2, 4, 3), mx.int32), memories, decoder.new_cache())
    types.add(hidden.dtype)
    types.add(decoder.logits(hidden).dtype)
    compose_codes(decoder, memories, frames=3, seeds=[0, 1], settings=SamplingSettings())
    assert types == {dtype}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_model_in_16_bit(dtype: str, tiny_folder: Any) -> None:
    """The text encoder and the codec stay float32; what the decoder gets of them is 16 bit (known error 5)."""
    model = MusicGen.from_pretrained(tiny_folder, dtype=dtype)
    wanted = getattr(mx, dtype)
    flat: dict[str, mx.array] = dict(tree_flatten(model.parts.parameters()))
    for name, value in flat.items():
        assert value.dtype == (wanted if name.startswith("decoder.") else mx.float32), name
    states = model.encode_text("calm piano")
    assert states is not None
    assert states.dtype == wanted
    audio = model.generate(["calm piano", ""], max_steps=12, seed=3)
    assert all(np.isfinite(clip).all() and np.abs(clip).max() > 0 for clip in audio)


def test_cross_attention_keys_are_made_once(
    decoder: MusicGenDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not change from step to step (known error 7)."""
    calls = 0
    remember = CrossAttention.remember

    def count(self: CrossAttention, states: mx.array) -> tuple[mx.array, mx.array]:
        nonlocal calls
        calls += 1
        return remember(self, states)

    monkeypatch.setattr(CrossAttention, "remember", count)
    memories = memories_for(decoder, text(5, 9), apart=False)
    compose_codes(decoder, memories, frames=20, seeds=[0, 1], settings=GREEDY)
    assert calls == decoder.config.num_hidden_layers


def test_an_empty_prompt_is_no_condition(tiny_model: MusicGen) -> None:
    """Not the encoding of an end token alone (known error 8): guidance then has nothing to weigh."""
    options: dict[str, Any] = {"max_steps": 20, "seed": 4}
    without = tiny_model.generate("", guidance=1, **options)
    for guidance in (1, 3, 7.5):
        np.testing.assert_array_equal(tiny_model.generate("  \n", guidance=guidance, **options), without)
    assert np.abs(tiny_model.generate("calm piano", guidance=1, **options) - without).max() > 1e-3


def test_an_empty_prompt_in_a_batch(decoder: MusicGenDecoder) -> None:
    """In the padded form too a row without text is the unconditional row, and no row's softmax is empty."""
    states = [*text(5), None, *text(2)]
    tokens = mx.random.randint(0, 64, (3, 4, 6), key=mx.random.key(3))
    together = np.array(decoder(tokens, memories_for(decoder, states, apart=False)))
    assert np.isfinite(together).all()
    apart = np.array(decoder(tokens, memories_for(decoder, states, apart=True)))
    np.testing.assert_allclose(together, apart, atol=1e-5)
    np.testing.assert_allclose(together[1:2], np.array(decoder(tokens[1:2], [])), atol=1e-5)
    assert memories_for(decoder, [None, None], apart=False) == []


def test_padding_is_masked(decoder: MusicGenDecoder) -> None:
    """Zeros that pad a prompt must not take a share of the attention (known error 9)."""
    short, long = text(2, 11)
    tokens = mx.random.randint(0, 64, (2, 4, 6), key=mx.random.key(4))
    padded = memories_for(decoder, [short, long], apart=False)
    together = np.array(decoder(tokens, padded))
    alone = np.array(decoder(tokens[:1], memories_for(decoder, [short], apart=False)))
    np.testing.assert_allclose(together[:1], alone, atol=1e-5)
    padded[0].mask = None
    assert np.abs(np.array(decoder(tokens, padded))[:1] - alone).max() > 1e-3


def test_a_stereo_model_runs() -> None:
    """Left and right of a codebook share a delay, and all eight codebooks are used (known error 10)."""
    decoder = random_decoder(STEREO)
    codes = compose_codes(
        decoder, memories_for(decoder, text(4), apart=True), frames=10, seeds=[1], settings=GREEDY
    )
    assert codes.shape == (1, 8, 10)
    assert codes.max() < 64
    assert codes.min() >= 0
    assert DelayPattern.of(8, 2).steps(10) == 13


def test_stereo_matches_transformers(make_reference: Any, store_reference: Any, tmp_path: Any) -> None:
    """The same greedy codes and samples from a stereo checkpoint (known error 10)."""
    import torch

    reference = make_reference(decoder={"num_codebooks": 8, "audio_channels": 2}, seed=8)
    model = MusicGen.from_pretrained(store_reference(reference, tmp_path))
    assert (model.channels, model.num_codebooks) == (2, 8)
    prompt = torch.tensor([model.tokenizer.encode("happy rock")])
    with torch.no_grad():
        expected = reference.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            guidance_scale=3.0,
            max_new_tokens=40,
        ).numpy()[0]
    ours = model.generate("happy rock", max_steps=40, temperature=0, guidance=3.0)
    assert ours.shape == (37 * 640, 2)
    np.testing.assert_allclose(ours.T, np.clip(expected, -1, 1), atol=1e-4)
    assert np.abs(ours[:, 0] - ours[:, 1]).max() > 1e-3


def test_modules_can_be_frozen_and_trained() -> None:
    """Without `super().__init__()` these calls raise (known error 11); LoRA and training need them."""
    parts = Parts(MusicGenConfig.tiny())
    everything = len(tree_flatten(parts.trainable_parameters()))
    assert everything == len(tree_flatten(parts.parameters())) > 50
    parts.freeze()
    assert not tree_flatten(parts.trainable_parameters())
    parts.decoder.unfreeze()
    names = [name for name, _ in tree_flatten(parts.trainable_parameters())]
    assert names
    assert all(name.startswith("decoder.") for name in names)

    tokens = mx.zeros((1, 4, 3), mx.int32)

    def loss(module: MusicGenDecoder) -> mx.array:
        return module(tokens, []).square().mean()

    value, gradients = nn.value_and_grad(parts.decoder, loss)(parts.decoder)
    assert np.isfinite(value.item())
    flat: dict[str, mx.array] = dict(tree_flatten(gradients))
    assert flat["layers.0.self_attn.qkv.weight"].abs().max().item() > 0


@pytest.mark.parametrize(("guidance", "rows"), [(1.0, 2), (3.0, 4), (0.0, 4)])
def test_without_guidance_a_clip_takes_one_row(
    decoder: MusicGenDecoder, guidance: float, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guidance always doubled the batch (known error 14)."""
    seen: set[int] = set()
    hidden = MusicGenDecoder.hidden

    def record(self: MusicGenDecoder, tokens: mx.array, *args: Any, **options: Any) -> mx.array:
        seen.add(tokens.shape[0])
        return hidden(self, tokens, *args, **options)

    monkeypatch.setattr(MusicGenDecoder, "hidden", record)
    memories = memories_for(decoder, text(5, 9), apart=True)
    compose_codes(decoder, memories, frames=4, seeds=[0, 1], settings=SamplingSettings(guidance=guidance))
    assert seen == {rows}


def test_top_k_does_not_sort_everything(decoder: MusicGenDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Selecting the k largest needs no full sort (known error 14)."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("sorted")

    monkeypatch.setattr(mx, "sort", refuse)
    monkeypatch.setattr(mx, "argsort", refuse)
    compose_codes(decoder, [], frames=4, seeds=[0], settings=SamplingSettings(top_k=50))
    with pytest.raises(AssertionError, match="sorted"):  # top-p does sort, so the trap works
        compose_codes(decoder, [], frames=4, seeds=[0], settings=SamplingSettings(top_p=0.5))


def test_the_device_is_never_idle_between_steps(
    decoder: MusicGenDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step is queued before the last one is waited for (known error 14)."""
    events: list[str] = []
    queue, wait = mx.async_eval, mx.eval
    monkeypatch.setattr(mx, "async_eval", lambda *arrays: (events.append("queue"), queue(*arrays))[1])
    monkeypatch.setattr(mx, "eval", lambda *arrays: (events.append("wait"), wait(*arrays))[1])
    compose_codes(decoder, [], frames=7, seeds=[0], settings=GREEDY)
    assert events[:4] == ["queue", "queue", "wait", "queue"]
    assert events.count("queue") == events.count("wait") == 10


NO_TORCH = """
import sys
from generation import MusicGen
model = MusicGen.from_pretrained(sys.argv[1])
audio = model.generate(["calm piano", "happy rock"], max_steps=8, seed=1)
assert audio[0].shape == (5 * 640,)
wrong = {"torch", "transformers", "indexing", "audiolib", "sentence_transformers", "mlx_whisper"} & set(sys.modules)
assert not wrong, wrong
"""


def test_no_torch_at_run_time(tiny_folder: Any) -> None:
    """Neither loading nor generating nor decoding imports it (known error 14)."""
    subprocess.run([sys.executable, "-W", "error", "-c", NO_TORCH, tiny_folder], check=True)

"""musicgen-small's true geometry against transformers: the same checks as at toy size, once."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from whole_codes import compose_codes

from generation.checkpoints import load_config
from generation.compose import memories_for
from generation.cpu_steps import prepare_decoder
from generation.parts import load_parts
from generation.sampling import SamplingSettings

TEXT = {"vocab_size": 32128, "d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12}
CODEC = {
    "num_filters": 64,
    "hidden_size": 128,
    "codebook_dim": 128,
    "codebook_size": 2048,
    "target_bandwidths": [2.2],
}
DECODER = {
    "vocab_size": 2048,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "ffn_dim": 4096,
    "pad_token_id": 2048,
    "bos_token_id": 2048,
}
TOLERANCE = 1e-4
STEPS = 64


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_musicgen_small(
    make_reference: Callable[..., Any], store_reference: Callable[..., Path], tmp_path: Path
) -> None:
    import torch

    model = make_reference(text=TEXT, codec=CODEC, decoder=DECODER, seed=6)
    assert 0.55e9 < sum(p.numel() for p in model.parameters()) < 0.65e9
    torch.set_num_threads(2)
    rng = np.random.default_rng(7)
    prompts = [rng.integers(3, 32128, n) for n in (11, 4)]
    mask = np.arange(11) < np.array([[11], [4]])
    tokens = np.zeros((2, 11), np.int64)
    tokens[mask] = np.concatenate(prompts)
    inputs = rng.integers(0, 2049, (2, 4, 24))
    audio = rng.uniform(-1, 1, (1, 1, 16000)).astype(np.float32)
    found: list[np.ndarray] = []
    with torch.no_grad():
        given, given_mask = torch.tensor(tokens), torch.tensor(mask).long()
        states = model.text_encoder(input_ids=given, attention_mask=given_mask).last_hidden_state.numpy()
        logits = model(
            input_ids=given, attention_mask=given_mask, decoder_input_ids=torch.tensor(inputs.reshape(8, -1))
        ).logits.numpy()
        codes = model.audio_encoder.encode(torch.tensor(audio)).audio_codes[0].numpy()
        samples = model.audio_encoder.decode(torch.tensor(codes)[None], [None]).audio_values.numpy()
        # `generate` hands its tokens to the codec: caught there.
        decode = functools.partial(type(model.audio_encoder).decode, model.audio_encoder)
        model.audio_encoder.decode = lambda codes, *rest, **more: (
            found.append(codes[0].numpy()) or decode(codes, *rest, **more)
        )
        model.generate(
            input_ids=given,
            attention_mask=given_mask,
            do_sample=False,
            guidance_scale=3.0,
            max_new_tokens=STEPS,
        )
    folder = store_reference(model, tmp_path)
    decode = model = None
    gc.collect()

    parts = load_parts(folder, load_config(folder))
    ours = np.array(parts.text_encoder(mx.array(tokens.astype(np.int32)), mx.array(mask)))
    np.testing.assert_allclose(ours[mask], states[mask], atol=TOLERANCE)
    projected = [
        parts.decoder.project_text(parts.text_encoder(mx.array(p[None].astype(np.int32))))[0] for p in prompts
    ]
    memories = memories_for(parts.decoder, projected, apart=True)
    ours = np.array(parts.decoder(mx.array(inputs), memories)).reshape(logits.shape)
    np.testing.assert_allclose(ours, logits, atol=TOLERANCE)
    ours = np.array(parts.codec.encode(mx.array(audio.transpose(0, 2, 1))))
    np.testing.assert_array_equal(ours, codes)
    ours = np.array(parts.codec.decode(mx.array(codes)))[..., 0]
    np.testing.assert_allclose(ours, samples[:, 0], atol=TOLERANCE)
    # The ordinary steps, and those of the CPU.
    for prepare in (lambda decoder: None, prepare_decoder):
        prepare(parts.decoder)
        made = compose_codes(
            parts.decoder,
            memories,
            frames=STEPS - 3,
            seeds=[0, 0],
            settings=SamplingSettings(temperature=0, guidance=3.0),
        )
        np.testing.assert_array_equal(made, np.concatenate(found))

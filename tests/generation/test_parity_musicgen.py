"""The whole model against transformers' `MusicgenForConditionalGeneration`: logits, and greedy tokens with guidance."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from generation.checkpoints import load_config
from generation.compose import memories_for
from generation.musicgen import MusicGen
from generation.parts import Parts, load_parts

TOLERANCE = 1e-4
PROMPTS = ("calm piano", "happy rock guitar drums loop", "dark")


def padded(prompts: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([len(p) for p in prompts])
    mask = np.arange(lengths.max()) < lengths[:, None]
    tokens = np.zeros(mask.shape, np.int64)
    tokens[mask] = np.concatenate(prompts)
    return tokens, mask


def their_logits(model: Any, tokens: np.ndarray, mask: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """`(B, K, T, V)`."""
    import torch

    with torch.no_grad():
        out = model(
            input_ids=torch.tensor(tokens),
            attention_mask=torch.tensor(mask).long(),
            decoder_input_ids=torch.tensor(inputs.reshape(-1, inputs.shape[-1])),
        )
    return out.logits.numpy().reshape(*inputs.shape, -1)


def our_logits(
    parts: Parts, prompts: Sequence[Sequence[int]], inputs: np.ndarray, *, apart: bool
) -> np.ndarray:
    states = [parts.decoder.project_text(parts.text_encoder(mx.array([p])))[0] for p in prompts]
    memories = memories_for(parts.decoder, states, apart=apart)
    return np.array(parts.decoder(mx.array(inputs), memories))


def their_greedy(model: Any, tokens: np.ndarray, mask: np.ndarray, steps: int, guidance: float) -> np.ndarray:
    """Codes `(B, K, steps - 3)` that transformers chooses, caught on their way into its codec."""
    import torch

    captured: list[Any] = []
    decode = model.audio_encoder.decode

    def keep(codes: Any, *args: Any, **kwargs: Any) -> Any:
        captured.append(codes)
        return decode(codes, *args, **kwargs)

    model.audio_encoder.decode = keep
    try:
        with torch.no_grad():
            model.generate(
                input_ids=torch.tensor(tokens),
                attention_mask=torch.tensor(mask).long(),
                do_sample=False,
                guidance_scale=guidance,
                max_new_tokens=steps,
            )
    finally:
        del model.audio_encoder.decode
    return np.concatenate([codes[0].numpy() for codes in captured])


@pytest.mark.parametrize(
    "variant", ["whole", "old spelling", "shards", "no projection", "relu in the decoder"]
)
@pytest.mark.parametrize("apart", [True, False], ids=["a memory a clip", "one padded memory"])
def test_logits_match(
    variant: str,
    apart: bool,
    make_reference: Callable[..., Any],
    store_reference: Callable[..., Path],
    tmp_path: Path,
) -> None:
    decoder: dict[str, Any] = {
        "no projection": {"hidden_size": 32},
        "relu in the decoder": {"activation_function": "relu"},
    }.get(variant, {})
    model = make_reference(decoder=decoder, seed=3)
    folder = store_reference(
        model, tmp_path, old_spelling=variant == "old spelling", shards=variant == "shards"
    )
    assert (len(list(folder.glob("*.safetensors"))) > 3) is (variant == "shards")
    parts = load_parts(folder, load_config(folder))
    rng = np.random.default_rng(4)
    prompts = [rng.integers(3, 99, n).tolist() for n in (5, 1, 12)]
    inputs = rng.integers(0, 65, (3, 4, 20))
    expected = their_logits(model, *padded(prompts), inputs)
    assert expected.std() > 0.5
    ours = our_logits(parts, prompts, inputs, apart=apart)
    np.testing.assert_allclose(ours, expected, atol=TOLERANCE)


@pytest.mark.parametrize("guidance", [3.0, 1.0])
def test_greedy_tokens_match(reference: Any, reference_folder: Path, guidance: float) -> None:
    model = MusicGen.from_pretrained(reference_folder)
    tokens, mask = padded([model.tokenizer.encode(prompt) for prompt in PROMPTS])
    assert len(set(mask.sum(axis=1))) == 3
    expected = their_greedy(reference, tokens, mask, 64, guidance)
    made = model.compose(PROMPTS, max_steps=64, seeds=[0, 0, 0], temperature=0, guidance=guidance)
    codes = np.stack([clip.codes for clip in made])
    assert codes.shape == (3, 4, 61)
    np.testing.assert_array_equal(codes, expected)
    assert len(np.unique(codes)) > 10


def test_the_decoded_audio_matches(reference: Any, reference_folder: Path) -> None:
    import torch

    model = MusicGen.from_pretrained(reference_folder)
    tokens, mask = padded([model.tokenizer.encode(PROMPTS[0])])
    with torch.no_grad():
        expected = reference.generate(
            input_ids=torch.tensor(tokens),
            attention_mask=torch.tensor(mask).long(),
            do_sample=False,
            guidance_scale=3.0,
            max_new_tokens=64,
        ).numpy()[0, 0]
    ours = model.generate(PROMPTS[0], max_steps=64, temperature=0, guidance=3.0)
    np.testing.assert_allclose(ours, np.clip(expected, -1, 1), atol=TOLERANCE)


def test_transformers_loads_our_checkpoint(tiny_folder: Path, tiny_model: MusicGen) -> None:
    """A checkpoint that we write is one for transformers too: same logits, same greedy tokens, same tokenizer."""
    import transformers as hf

    model, report = hf.MusicgenForConditionalGeneration.from_pretrained(tiny_folder, output_loading_info=True)
    # Statistics that only the training of codebooks reads; left out, for they are as large as the codebooks.
    assert all(
        re.search(r"codebook\.(embed_avg|cluster_size|inited)$", key) for key in report["missing_keys"]
    )
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    assert isinstance(model.text_encoder, hf.T5EncoderModel)
    prompts = [tiny_model.tokenizer.encode(prompt) for prompt in PROMPTS]
    expected = their_greedy(model.eval(), *padded(prompts), 64, 3.0)
    made = tiny_model.compose(PROMPTS, max_steps=64, seeds=[0, 0, 0], temperature=0, guidance=3.0)
    np.testing.assert_array_equal(np.stack([clip.codes for clip in made]), expected)
    assert model.generation_config.guidance_scale == 3.0
    assert model.generation_config.decoder_start_token_id == tiny_model.config.decoder.bos_token_id

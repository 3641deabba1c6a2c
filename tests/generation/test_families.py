"""Every published family in every layout that it is published in: found, loaded, the same as transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from generation.checkpoints import find_model, load_config, stored_dtypes, weight_files
from generation.compose import memories_for
from generation.convert import convert
from generation.errors import CheckpointError
from generation.melody import prefix_states
from generation.musicgen import MusicGen

FAMILIES = ("mono", "stereo", "melody", "stereo-melody")
FRAMES = 9
CHROMA = np.eye(12, dtype=np.float32)[[2, 5, 9, 11]]


@pytest.fixture(scope="module", params=FAMILIES)
def theirs(request: pytest.FixtureRequest, make_reference: Callable[..., Any]) -> Any:
    """A random model of a family, transformers' own."""
    family = request.param
    decoder = {"num_codebooks": 8, "audio_channels": 2} if family.startswith("stereo") else {}
    melody = {"chroma_length": FRAMES} if family.endswith("melody") else None
    model = make_reference(decoder=decoder, melody=melody, seed=len(family))
    model.family = family
    return model


@pytest.fixture(scope="module")
def published(
    theirs: Any, store_reference: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Its checkpoint, whole, in safetensors."""
    return store_reference(theirs, tmp_path_factory.mktemp(theirs.family))


def greedy(folder: Path, steps: int = 12) -> tuple[np.ndarray, np.ndarray]:
    model = MusicGen.from_pretrained(folder)
    heard = {"melody": CHROMA} if model.config.melody is not None else {}
    (made,) = model.compose(
        ["happy rock guitar"], max_steps=steps, temperature=0, guidance=3.0, seeds=[0], **heard
    )
    return made.codes, made.audio


def their_greedy(theirs: Any, tokens: list[int]) -> np.ndarray:
    """Codes `(K, frames)` on their way into the codec; left and right of a book lie next to each other."""
    import torch

    captured: list[np.ndarray] = []
    decode = theirs.audio_encoder.decode

    def keep(*args: Any, **options: Any) -> Any:
        codes = options["audio_codes"] if "audio_codes" in options else args[0]
        captured.append(codes[0, 0].numpy())
        return decode(*args, **options)

    theirs.audio_encoder.decode = keep
    heard = {"input_features": torch.tensor(CHROMA[None])} if theirs.family.endswith("melody") else {}
    try:
        with torch.no_grad():
            theirs.generate(
                input_ids=torch.tensor([tokens]),
                attention_mask=torch.ones(1, len(tokens), dtype=torch.long),
                do_sample=False,
                guidance_scale=3.0,
                max_new_tokens=40,
                **heard,
            )
    finally:
        del theirs.audio_encoder.decode
    return np.stack(captured, axis=1).reshape(-1, captured[0].shape[1])


def test_logits_and_greedy_tokens_are_theirs(theirs: Any, published: Path) -> None:
    import torch

    model = MusicGen.from_pretrained(published)
    assert model.config.family == theirs.family
    rng = np.random.default_rng(4)
    books = model.num_codebooks
    text, inputs = rng.integers(3, 99, (2, 7)), rng.integers(0, 65, (2, books, 11))
    heard = {"input_features": torch.tensor(np.stack([CHROMA, CHROMA]))} if model.config.melody else {}
    with torch.no_grad():
        expected = theirs(
            input_ids=torch.tensor(text),
            attention_mask=torch.ones(2, 7, dtype=torch.long),
            decoder_input_ids=torch.tensor(inputs.reshape(2 * books, 11)),
            **heard,
        ).logits.numpy()
    decoder = model.parts.decoder
    states = list(decoder.project_text(model.parts.text_encoder(mx.array(text))))
    if model.config.melody is None:
        made = np.array(decoder(mx.array(inputs), memories_for(decoder, states, apart=True)))
    else:
        prefix = prefix_states(decoder, model.config.melody, states, CHROMA, guided=False)
        made = np.array(decoder.logits(decoder.hidden(mx.array(inputs), [], prefix=prefix)))
    assert expected.std() > 0.5
    np.testing.assert_allclose(made.reshape(expected.shape), expected, atol=1e-4)
    codes, audio = greedy(published, 40)
    np.testing.assert_array_equal(codes, their_greedy(theirs, model.tokenizer.encode("happy rock guitar")))
    assert audio.shape == (((37 * 640), 2) if model.channels == 2 else (37 * 640,))


@pytest.mark.parametrize("layout", ["shards", "half", "pickle", "pickled shards"])
def test_every_layout_is_the_same_model(layout: str, theirs: Any, published: Path, tmp_path: Path) -> None:
    import torch

    expected = greedy(published)
    for name in ("config.json", "generation_config.json", "spiece.model"):
        shutil.copy(published / name, tmp_path)
    state = theirs.state_dict()
    if layout == "shards":
        theirs.save_pretrained(tmp_path, max_shard_size="60KB")
        assert len(weight_files(tmp_path)) > 3
    elif layout == "half":
        theirs.save_pretrained(tmp_path)
        tensors = {k: np.array(v) for k, v in mx.load(str(tmp_path / "model.safetensors")).items()}  # type: ignore[union-attr]
        half = {k: mx.array(v).astype(mx.float16) for k, v in tensors.items()}
        mx.save_safetensors(str(tmp_path / "model.safetensors"), half, {"format": "pt"})
        assert stored_dtypes(weight_files(tmp_path)) == ["float16"]
    elif layout == "pickle":
        torch.save(state, tmp_path / "pytorch_model.bin")
    else:
        names, where = sorted(state), {}
        for number in (1, 2):
            file = f"pytorch_model-0000{number}-of-00002.bin"
            torch.save({name: state[name] for name in names[number - 1 :: 2]}, tmp_path / file)
            where |= dict.fromkeys(names[number - 1 :: 2], file)
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": where}))
    if layout.startswith("pickle"):
        with pytest.raises(CheckpointError, match="models convert"):
            MusicGen.from_pretrained(tmp_path)
        convert(tmp_path)
    codes, audio = greedy(tmp_path)
    assert load_config(tmp_path).family == theirs.family
    assert find_model(tmp_path).path == tmp_path
    if layout == "half":  # other weights, of the same shapes
        assert codes.shape == expected[0].shape
        return
    np.testing.assert_array_equal(codes, expected[0])
    np.testing.assert_array_equal(audio, expected[1])


def test_number_types_are_read_off_the_heads(published: Path, tmp_path: Path) -> None:
    assert stored_dtypes(weight_files(published)) == ["float32"]
    (tmp_path / "model.safetensors").write_bytes(b"\x00")
    with pytest.raises(CheckpointError, match="safetensors"):
        stored_dtypes([tmp_path / "model.safetensors"])

"""What the engine's tests share: random checkpoints of our own and of transformers, small enough for every run."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from generation import backend

# Shared machines stall: how long an example takes says nothing.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Before any test module imports MLX, or it would be bound to the slow reference BLAS.
backend.prepare()

# Set before anything imports the hub's client: the tests must never reach for the network.
os.environ["HF_HUB_OFFLINE"] = "1"

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))  # for the modules that tests share

TEXT = {"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
CODEC = {
    "sampling_rate": 32000,
    "num_filters": 4,
    "hidden_size": 16,
    "codebook_dim": 16,
    "codebook_size": 64,
    "upsampling_ratios": [8, 5, 4, 4],
    "target_bandwidths": [1.2],
    "num_lstm_layers": 2,
    "use_causal_conv": False,
    "use_conv_shortcut": False,
    "pad_mode": "reflect",
    "norm_type": "weight_norm",
    "normalize": False,
}
DECODER = {
    "vocab_size": 64,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "ffn_dim": 96,
    "num_codebooks": 4,
    "pad_token_id": 64,
    "bos_token_id": 64,
}


def randomise(model: Any, seed: int = 0) -> Any:
    """Give every tensor of a torch model random values that neither die nor blow up on their way through."""
    import torch

    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: Any, scale: float, centre: float = 0.0) -> None:
        tensor.copy_(centre + scale * torch.randn(tensor.shape, generator=generator))

    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.ndim == 1:
                draw(tensor, 0.1, centre=0.0 if "bias" in name else 1.0)
            elif name.endswith("original0"):
                draw(tensor, 0.1, centre=1.0)
            elif name.endswith("SelfAttention.q.weight"):
                # T5 divides nothing by the root of the head's width; its queries are drawn smaller instead.
                draw(tensor, (tensor.shape[1] * model.config.text_encoder.d_kv) ** -0.5)
            else:
                # Heads are drawn wide, so that the likeliest token leads clearly.
                draw(tensor, (4.0 if "lm_heads" in name else 1.0) * tensor[0].numel() ** -0.5)
        for name, tensor in model.named_buffers():
            if name.endswith("codebook.embed"):
                draw(tensor, 0.5)
    return model.eval()


def build_reference(
    text: dict[str, Any] | None = None,
    codec: dict[str, Any] | None = None,
    decoder: dict[str, Any] | None = None,
    seed: int = 0,
    melody: dict[str, Any] | None = None,
) -> Any:
    """A random `MusicgenForConditionalGeneration` of transformers; the dicts change the small default shapes.

    With `melody` it is a `MusicgenMelodyForConditionalGeneration` with these settings.
    """
    import torch
    import transformers as hf

    torch.set_num_threads(1)  # for shapes as small as these, threads only get in each other's way
    decoders = hf.MusicgenDecoderConfig if melody is None else hf.MusicgenMelodyDecoderConfig
    parts = {
        "text_encoder": hf.T5Config(**{**TEXT, **(text or {})}).to_dict(),
        "audio_encoder": hf.EncodecConfig(**{**CODEC, **(codec or {})}).to_dict(),
        "decoder": decoders(**{**DECODER, **(decoder or {})}).to_dict(),
    }
    if melody is None:
        return randomise(hf.MusicgenForConditionalGeneration(hf.MusicgenConfig(**parts)), seed)
    config = hf.MusicgenMelodyConfig(**parts, **melody)
    return randomise(hf.MusicgenMelodyForConditionalGeneration(config), seed)


def save_reference(model: Any, folder: Path, *, old_spelling: bool = False, shards: bool = False) -> Path:
    """`save_pretrained`, plus a tokenizer; `old_spelling` writes weight norm as `weight_g` and `weight_v`."""
    from safetensors.numpy import load_file, save_file

    from generation.tiny import write_word_tokenizer

    model.save_pretrained(folder, max_shard_size="60KB" if shards else "50GB")
    if old_spelling:
        (path,) = folder.glob("*.safetensors")
        tensors = load_file(path)
        renamed = {
            name.replace("parametrizations.weight.original0", "weight_g").replace(
                "parametrizations.weight.original1", "weight_v"
            ): value
            for name, value in tensors.items()
        }
        assert renamed.keys() != tensors.keys(), "transformers has changed its spelling"
        save_file(renamed, path, metadata={"format": "pt"})
    write_word_tokenizer(folder / "spiece.model", model.config.text_encoder.vocab_size)
    return folder


@pytest.fixture(scope="session")
def make_reference() -> Callable[..., Any]:
    """`build_reference` for tests that want other shapes."""
    return build_reference


@pytest.fixture(scope="session")
def store_reference() -> Callable[..., Path]:
    """`save_reference`."""
    return save_reference


@pytest.fixture(scope="session")
def reference() -> Any:
    """The default small random model of transformers."""
    return build_reference()


@pytest.fixture(scope="session")
def reference_folder(reference: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its checkpoint."""
    return save_reference(reference, tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of our own."""
    from generation.tiny import make_tiny_checkpoint

    return make_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> Any:
    """It, loaded."""
    from generation.musicgen import MusicGen

    return MusicGen.from_pretrained(tiny_folder)


@pytest.fixture
def edit_json() -> Callable[[Path, Callable[[dict[str, Any]], object]], None]:
    """Change a JSON file in place."""

    def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
        values = json.loads(path.read_text(encoding="utf-8"))
        change(values)
        path.write_text(json.dumps(values), encoding="utf-8")

    return edit


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty machine: no checkpoint anywhere, no variables that name one."""
    for name in ("AUDIOLIB_MODEL", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("AUDIOLIB_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    # The starter of the checkout is out of the picture here.
    monkeypatch.setattr("generation.checkpoints.__file__", str(tmp_path / "generation" / "checkpoints.py"))
    return tmp_path

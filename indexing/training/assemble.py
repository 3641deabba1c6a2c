"""The trained weights as a checkpoint in mlx-whisper's format, its embedding in 4 bits.

`python -m indexing.training.assemble --weights FILE --vocabulary FILE --out DIR`
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from indexing.training.network import Geometry
from indexing.training.vocabulary import OTHER, Vocabulary

EMBEDDING = "decoder.token_embedding"
GROUP_SIZE, BITS = 64, 4
_HELPERS = ("frame_words.",)


def config_of(geometry: Geometry, vocabulary: Vocabulary) -> dict[str, object]:
    """mlx_whisper's `ModelDimensions`, and how the embedding is stored."""
    return {
        "model_type": "whisper",
        "n_mels": geometry.bands,
        "n_audio_ctx": geometry.sound_positions,
        "n_audio_state": geometry.width,
        "n_audio_head": geometry.heads,
        "n_audio_layer": geometry.encoder_layers,
        "n_vocab": vocabulary.ids.size,
        "n_text_ctx": geometry.text_positions,
        "n_text_state": geometry.width,
        "n_text_head": geometry.heads,
        "n_text_layer": geometry.decoder_layers,
        "quantization": {"group_size": GROUP_SIZE, "bits": BITS},
    }


def tensors_of(trained: dict[str, mx.array], vocabulary: Vocabulary) -> dict[str, mx.array]:
    """mlx_whisper's tensors: float16, every row of the vocabulary, the embedding quantised."""
    tensors = {
        name: value.astype(mx.float16) for name, value in trained.items() if not name.startswith(_HELPERS)
    }
    short = trained[f"{EMBEDDING}.weight"]
    places = [OTHER] * vocabulary.ids.size
    for row, token in enumerate(vocabulary.rows, start=1):
        places[token] = row
    full = short[mx.array(places)].astype(mx.float16)
    weight, scales, biases = mx.quantize(full, group_size=GROUP_SIZE, bits=BITS)
    tensors[f"{EMBEDDING}.weight"] = weight
    tensors[f"{EMBEDDING}.scales"], tensors[f"{EMBEDDING}.biases"] = scales, biases
    return tensors


def assemble(weights: Path, vocabulary: Vocabulary, out: Path) -> None:
    """Write `config.json` and `weights.safetensors` of what `indexing.training.train` saved."""
    loaded: Any = mx.load(str(weights), return_metadata=True)
    trained, metadata = loaded
    geometry = Geometry(**json.loads(metadata["geometry"]))
    out.mkdir(parents=True, exist_ok=True)
    temporary = out / f".weights.{os.getpid()}.safetensors"
    mx.save_safetensors(str(temporary), tensors_of(trained, vocabulary), {"format": "mlx"})
    temporary.replace(out / "weights.safetensors")
    config = json.dumps(config_of(geometry, vocabulary), indent=2)
    (out / "config.json").write_text(config + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this stage."""
    parser = argparse.ArgumentParser(prog="python -m indexing.training.assemble", description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="whisper.safetensors of the training")
    parser.add_argument("--vocabulary", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    assemble(options.weights, Vocabulary.load(options.vocabulary), options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Last stage: codec, language model and vocabulary into one checkpoint in the Hugging Face layout, float16.

`python -m generation.training.starter.assemble --codec codec.safetensors --language-model language_model.safetensors
--vocabulary spiece.model --out mlx-models/starter`
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

import mlx.core as mx

from generation.config import DecoderConfig, MusicGenConfig, T5Config
from generation.parts import Parts, save_checkpoint
from generation.training.codec_files import load_codec, read_tensors

GUIDANCE = 4.0
TOP_K = 250


def assemble(codec: Path, language_model: Path, vocabulary: Path, out: Path) -> None:
    """Write config, weights, sampling defaults and tokenizer to `out`.

    Args:
        codec: What `generation.training.codec` wrote, or a checkpoint's folder; it carries its own geometry.
        language_model: What `generation.training.language_model` wrote; so does it.
        vocabulary: The SentencePiece model that its captions were read with.
        out: Folder of the checkpoint; is made where it does not exist.

    Raises:
        CheckpointError: a file cannot be read, or the two do not fit together.
    """
    tensors, geometry = read_tensors(language_model)
    trained, codec_config = load_codec(codec)
    config = MusicGenConfig(
        text_encoder=T5Config(**json.loads(geometry["text_encoder"])),
        audio_encoder=codec_config,
        decoder=dataclasses.replace(DecoderConfig(**json.loads(geometry["decoder"])), dropout=0.0),
    )
    parts = Parts(config)
    parts.load_weights(list(tensors.items()), strict=False)
    parts.codec = trained
    save_checkpoint(out, config, parts, dtype=mx.float16)
    settings = out / "generation_config.json"
    values = json.loads(settings.read_text(encoding="utf-8")) | {"guidance_scale": GUIDANCE, "top_k": TOP_K}
    settings.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    if vocabulary.resolve() != (out / "spiece.model").resolve():
        shutil.copyfile(vocabulary, out / "spiece.model")


def main(arguments: list[str] | None = None) -> int:
    """The command line of this stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--codec", "--language-model", "--vocabulary", "--out"):
        parser.add_argument(name, type=Path, required=True)
    options = parser.parse_args(arguments)
    assemble(options.codec, options.language_model, options.vocabulary, options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

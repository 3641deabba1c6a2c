"""Last stage: codec, language model and vocabulary into one checkpoint in the Hugging Face layout, float16.

`python -m generation.training.starter.assemble --codec codec.safetensors --language-model language_model.safetensors
--vocabulary spiece.model --out mlx-models/starter`
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import mlx.core as mx

from generation.config import MusicGenConfig
from generation.musicgen import Parts
from generation.tiny import save_checkpoint
from generation.training.starter.config import STARTER

GUIDANCE = 3.0
TOP_K = 250


def assemble(
    config: MusicGenConfig, codec: Path, language_model: Path, vocabulary: Path, out: Path, *, guidance: float = GUIDANCE
) -> None:
    """Write config, weights, sampling defaults and tokenizer to `out`.

    Raises:
        ValueError: a stage's weights are not those of `config`.
    """
    parts = Parts(config)
    tensors = {f"codec.{name}": value for name, value in mx.load(str(codec)).items()}
    tensors |= mx.load(str(language_model))
    parts.load_weights(list(tensors.items()))
    save_checkpoint(out, config, parts, dtype=mx.float16)
    settings = out / "generation_config.json"
    values = json.loads(settings.read_text(encoding="utf-8")) | {"guidance_scale": guidance, "top_k": TOP_K}
    settings.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    if vocabulary.resolve() != (out / "spiece.model").resolve():
        shutil.copyfile(vocabulary, out / "spiece.model")


def main(arguments: list[str] | None = None) -> int:
    """The command line of this stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--codec", "--language-model", "--vocabulary", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--toy", action="store_true", help="the smallest model, to try the stage")
    options = parser.parse_args(arguments)
    config = MusicGenConfig.tiny() if options.toy else STARTER
    assemble(
        config, options.codec, options.language_model, options.vocabulary, options.out, guidance=options.guidance
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

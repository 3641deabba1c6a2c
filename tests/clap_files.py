"""A small CLAP model for tests."""

from pathlib import Path
from typing import Any


def write_tiny_clap(folder: Path) -> None:
    """Write a random CLAP of a few thousand parameters, as transformers saves it.

    Args:
        folder: Where.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        ClapConfig,
        ClapFeatureExtractor,
        ClapModel,
        ClapProcessor,
        PreTrainedTokenizerFast,
    )

    words = ["<s>", "<pad>", "</s>", "<unk>", "calm", "piano", "loud", "drums", "a", "dog"]
    special = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), words[:4], strict=True))
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token=words[3]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    config = ClapConfig(
        text_config={
            "vocab_size": len(words),
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "projection_dim": 8,
        },
        audio_config={
            "hidden_size": 8,
            "patch_embeds_hidden_size": 4,
            "depths": [1, 1],
            "num_attention_heads": [1, 1],
            "num_hidden_layers": 2,
            "spec_size": 256,
            "num_mel_bins": 64,
            "window_size": 8,
            "projection_dim": 8,
        },
        projection_dim=8,
    )
    make_processor: Any = ClapProcessor  # they have no types
    make_tokenizer: Any = PreTrainedTokenizerFast
    torch.manual_seed(0)
    ClapModel(config).save_pretrained(folder)
    processor = make_processor(
        feature_extractor=ClapFeatureExtractor(truncation="rand_trunc"),
        tokenizer=make_tokenizer(tokenizer_object=tokenizer, **special),
    )
    processor.save_pretrained(folder)

"""From a name to a folder and from a folder to weights: found where it should be, refused where it is not whole."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from generation import weights
from generation.checkpoints import (
    load_config,
    load_generation_config,
    load_tensors,
    weight_digest,
    weight_files,
)
from generation.config import DecoderConfig, EncodecConfig, MusicGenConfig, T5Config
from generation.errors import CheckpointError
from generation.musicgen import MusicGen
from generation.parts import Parts, load_parts, save_checkpoint
from generation.sampling import sampling_defaults
from generation.text import load_tokenizer
from generation.tiny import make_tiny_checkpoint

Edit = Callable[[Path, Callable[[dict[str, Any]], object]], None]


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may break."""
    return shutil.copytree(tiny_folder, tmp_path / "model")


def rewrite(folder: Path, change: Callable[[dict[str, mx.array]], object]) -> None:
    path = folder / "model.safetensors"
    tensors = {name: mx.array(np.array(value)) for name, value in load_tensors(folder).items()}
    change(tensors)
    mx.save_safetensors(str(path), tensors, {"format": "pt"})


class TestStrictLoading:
    NAME = "decoder.model.decoder.layers.1.fc1.weight"

    def test_a_missing_tensor_is_named(self, folder: Path) -> None:
        rewrite(folder, lambda tensors: tensors.pop(self.NAME))
        with pytest.raises(CheckpointError, match=rf"lacks 1 tensor\(s\): {self.NAME}"):
            MusicGen.from_pretrained(folder)

    def test_an_unexpected_tensor_is_named(self, folder: Path) -> None:
        rewrite(folder, lambda tensors: tensors.update({"decoder.extra.weight": mx.zeros((2,))}))
        with pytest.raises(CheckpointError, match=r"1 unexpected tensor\(s\): decoder\.extra\.weight"):
            MusicGen.from_pretrained(folder)

    def test_a_misshapen_tensor_is_named(self, folder: Path) -> None:
        rewrite(folder, lambda tensors: tensors.update({self.NAME: tensors[self.NAME].T}))
        with pytest.raises(
            CheckpointError, match=rf"{self.NAME} has shape \(32, 64\), its config says \(64, 32\)"
        ):
            MusicGen.from_pretrained(folder)

    @pytest.mark.parametrize("part", ["text_encoder.", "audio_encoder.", "decoder.", "enc_to_dec"])
    def test_every_tensor_is_needed(self, tiny_folder: Path, part: str) -> None:
        config = load_config(tiny_folder)
        # A projection exists only where the widths differ.
        config = MusicGenConfig(
            text_encoder=T5Config(vocab_size=99, d_model=24, d_kv=8, d_ff=48, num_layers=2, num_heads=3),
            audio_encoder=config.audio_encoder,
            decoder=config.decoder,
        )
        parts = Parts(config)
        rules = weights.plan(config, parts)
        flat: dict[str, mx.array] = dict(tree_flatten(parts.parameters()))
        tensors = weights.to_hugging_face(flat, rules)
        names = [name for name in tensors if name.startswith(part)]
        assert names
        for name in names:
            with pytest.raises(CheckpointError, match="lacks 1 tensor"):
                weights.from_hugging_face({k: v for k, v in tensors.items() if k != name}, rules)

    def test_training_buffers_and_tied_copies_are_left_out(self, folder: Path) -> None:
        def add(tensors: dict[str, mx.array]) -> None:
            tensors["audio_encoder.quantizer.layers.0.codebook.inited"] = mx.ones((1,))
            tensors["audio_encoder.quantizer.layers.0.codebook.cluster_size"] = mx.ones((64,))
            tensors["decoder.model.decoder.embed_positions.weights"] = mx.ones((4, 32))
            tensors["text_encoder.encoder.embed_tokens.weight"] = tensors["text_encoder.shared.weight"]

        plain = MusicGen.from_pretrained(folder).generate("calm piano", max_steps=8, seed=1)
        rewrite(folder, add)
        np.testing.assert_array_equal(
            MusicGen.from_pretrained(folder).generate("calm piano", max_steps=8, seed=1), plain
        )
        rewrite(folder, lambda tensors: tensors.pop("text_encoder.shared.weight"))
        np.testing.assert_array_equal(
            MusicGen.from_pretrained(folder).generate("calm piano", max_steps=8, seed=1), plain
        )

    @pytest.mark.parametrize("length", [0, 5, 100, 5000, -1])
    def test_a_truncated_file(self, folder: Path, length: int) -> None:
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            MusicGen.from_pretrained(folder)

    def test_no_weights(self, folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(b"pickle")
        with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
            MusicGen.from_pretrained(folder)


class TestShards:
    @pytest.fixture
    def sharded(self, folder: Path) -> Path:
        tensors = load_tensors(folder)
        names = sorted(tensors)
        index: dict[str, str] = {}
        for i, part in enumerate((names[::2], names[1::2]), start=1):
            file = f"model-0000{i}-of-00002.safetensors"
            mx.save_safetensors(str(folder / file), {name: tensors[name] for name in part})
            index |= dict.fromkeys(part, file)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
        (folder / "model.safetensors").unlink()
        return folder

    def test_shards_are_the_whole(self, sharded: Path, tiny_folder: Path) -> None:
        whole, parts = load_tensors(tiny_folder), load_tensors(sharded)
        assert whole.keys() == parts.keys()
        assert all((whole[name] == parts[name]).all() for name in whole)
        assert weight_digest(sharded) != weight_digest(tiny_folder)
        MusicGen.from_pretrained(sharded)

    def test_a_missing_shard_is_named(self, sharded: Path) -> None:
        (sharded / "model-00002-of-00002.safetensors").unlink()
        with pytest.raises(CheckpointError, match="model-00002-of-00002"):
            MusicGen.from_pretrained(sharded)

    def test_a_shard_outside_the_folder_is_refused(self, sharded: Path, edit_json: Edit) -> None:
        index = sharded / "model.safetensors.index.json"
        edit_json(index, lambda values: values["weight_map"].update(x="../elsewhere.safetensors"))
        with pytest.raises(CheckpointError):
            weight_files(sharded)

    def test_a_tensor_in_two_shards(self, sharded: Path) -> None:
        shard = sharded / "model-00001-of-00002.safetensors"
        other = sharded / "model-00002-of-00002.safetensors"
        first = mx.load(str(shard))
        assert isinstance(first, dict)
        name = sorted(first)[0]
        second = mx.load(str(other))
        assert isinstance(second, dict)
        mx.save_safetensors(
            str(other), {**{k: mx.array(np.array(v)) for k, v in second.items()}, name: first[name]}
        )
        with pytest.raises(CheckpointError, match=name):
            load_tensors(sharded)

    @pytest.mark.parametrize(
        "content", ["{}", '{"weight_map": {}}', "[]", "{", '{"weight_map": []}', '{"weight_map": {"x": 5}}']
    )
    def test_a_broken_index(self, sharded: Path, content: str) -> None:
        (sharded / "model.safetensors.index.json").write_text(content)
        with pytest.raises(CheckpointError):
            load_tensors(sharded)


class TestConfig:
    @pytest.mark.parametrize(
        "content", ["", "{", "[]", "null", "{}", '{"model_type": "t5"}', "\ufeff{}", "\x00"]
    )
    def test_no_config_of_ours(self, folder: Path, content: str) -> None:
        (folder / "config.json").write_text(content)
        with pytest.raises(CheckpointError, match=r"config\.json"):
            MusicGen.from_pretrained(folder)

    def test_a_config_in_another_encoding(self, folder: Path) -> None:
        (folder / "config.json").write_bytes(b"\xff\xfe{\x00}\x00")
        with pytest.raises(CheckpointError, match=r"config\.json"):
            MusicGen.from_pretrained(folder)

    @pytest.mark.parametrize("part", ["text_encoder", "audio_encoder", "decoder"])
    def test_a_missing_section(self, folder: Path, edit_json: Edit, part: str) -> None:
        edit_json(folder / "config.json", lambda values: values.pop(part))
        with pytest.raises(CheckpointError, match=part):
            load_config(folder)

    @pytest.mark.parametrize(
        ("part", "key", "value", "sentence"),
        [
            (
                "text_encoder",
                "feed_forward_proj",
                "gated-swish",
                "feed_forward_proj 'gated-swish' is not known",
            ),
            ("text_encoder", "num_heads", -4, "text_encoder.num_heads cannot be -4"),
            ("text_encoder", "eos_token_id", 40_000, "eos_token_id and pad_token_id must be below"),
            ("audio_encoder", "norm_type", "time_group_norm", "norm_type 'time_group_norm' is not supported"),
            ("audio_encoder", "pad_mode", "replicate", "pad_mode 'replicate' is not supported"),
            ("audio_encoder", "normalize", True, "normalise or work in chunks"),
            ("audio_encoder", "chunk_length_s", 1.0, "normalise or work in chunks"),
            ("audio_encoder", "codebook_dim", 7, "codebook_dim must equal hidden_size"),
            ("audio_encoder", "codebook_size", 128, "128 codes a book"),
            ("audio_encoder", "audio_channels", 2, "audio_channels must be 1"),
            ("audio_encoder", "trim_right_ratio", 0.5, "needs causal convolutions"),
            ("audio_encoder", "upsampling_ratios", 8, "upsampling_ratios cannot be 8"),
            ("audio_encoder", "upsampling_ratios", [], "upsampling_ratios cannot be"),
            ("audio_encoder", "target_bandwidths", [], "target_bandwidths cannot be"),
            ("audio_encoder", "target_bandwidths", [0.6], "2 codebooks a channel"),
            ("audio_encoder", "sampling_rate", 0, "sampling_rate cannot be 0"),
            ("decoder", "num_attention_heads", 5, "no multiple of 5 heads"),
            ("decoder", "num_attention_heads", 0, "num_attention_heads cannot be 0"),
            ("decoder", "activation_function", "tanh", "activation_function 'tanh' is not known"),
            ("decoder", "audio_channels", 4, "audio_channels must be 1 or 2"),
            ("decoder", "bos_token_id", 5_000, "bos_token_id and pad_token_id must be at most"),
            ("decoder", "hidden_size", "large", "hidden_size cannot be 'large'"),
            ("decoder", "hidden_size", None, "hidden_size cannot be None"),
        ],
    )
    def test_values_that_cannot_be(
        self, folder: Path, edit_json: Edit, part: str, key: str, value: Any, sentence: str
    ) -> None:
        edit_json(folder / "config.json", lambda values: values[part].update({key: value}))
        with pytest.raises(CheckpointError, match=rf"^config\.json: .*{re.escape(sentence)}"):
            load_config(folder)

    def test_an_odd_width_and_books_that_channels_cannot_share(self) -> None:
        with pytest.raises(CheckpointError, match="must be even"):
            DecoderConfig(hidden_size=33, num_attention_heads=3)
        with pytest.raises(CheckpointError, match="shared evenly"):
            DecoderConfig(audio_channels=2, num_codebooks=3)

    def test_settings_of_another_kind(self, folder: Path) -> None:
        for content in ('{"temperature": "hot"}', '{"top_k": [1]}', '{"top_k": Infinity}', '{"top_p": 5}'):
            (folder / "generation_config.json").write_text(content)
            with pytest.raises(CheckpointError, match=r"^generation_config\.json: "):
                MusicGen.from_pretrained(folder)

    def test_a_tokenizer_of_another_model(self, folder: Path) -> None:
        with pytest.raises(CheckpointError, match="the text encoder knows 5"):
            load_tokenizer(folder, 1, most=5)

    def test_unknown_keys_are_a_newer_writers_business(self, folder: Path, edit_json: Edit) -> None:
        edit_json(folder / "config.json", lambda values: values["decoder"].update(new_thing=1))
        assert load_config(folder) == MusicGenConfig.tiny()

    def test_the_defaults_are_musicgen_small(self) -> None:
        config = MusicGenConfig(
            text_encoder=T5Config(), audio_encoder=EncodecConfig(), decoder=DecoderConfig()
        )
        assert config.audio_encoder.hop_length == 640
        assert config.audio_encoder.frame_rate == 50
        assert config.audio_encoder.num_quantizers == 4
        assert config.decoder.head_dim == 64

    def test_sampling_defaults(self, folder: Path) -> None:
        assert sampling_defaults(load_generation_config(folder)).top_k == 250
        assert sampling_defaults({}).guidance == 3.0
        own = sampling_defaults(
            {"do_sample": True, "temperature": 0.9, "top_k": 40, "top_p": 0.8, "guidance_scale": 2.0}
        )
        assert (own.temperature, own.top_k, own.top_p, own.guidance) == (0.9, 40, 0.8, 2.0)
        assert sampling_defaults({"do_sample": False}).temperature == 0
        assert sampling_defaults({"top_k": 0, "top_p": None}) == replace(sampling_defaults({}), top_k=0)
        (folder / "generation_config.json").unlink()
        assert MusicGen.from_pretrained(folder).settings.guidance == 3.0


class TestTokenizer:
    def test_neither_file(self, folder: Path) -> None:
        (folder / "spiece.model").unlink()
        with pytest.raises(CheckpointError, match=r"spiece\.model"):
            MusicGen.from_pretrained(folder)

    def test_a_broken_file(self, folder: Path) -> None:
        (folder / "spiece.model").write_bytes(b"not a model")
        with pytest.raises(CheckpointError, match=r"spiece\.model"):
            load_tokenizer(folder, 1)
        (folder / "spiece.model").unlink()
        (folder / "tokenizer.json").write_text("{}")
        with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
            load_tokenizer(folder, 1)

    def test_the_same_ids_as_transformers_and_from_either_file(self, folder: Path, tmp_path: Path) -> None:
        import sentencepiece
        import transformers as hf

        # transformers reads spiece.model with protobuf only, so it gets the pieces themselves.
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
        vocab = [(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(pieces.get_piece_size())]
        theirs = hf.T5Tokenizer(vocab=vocab, extra_ids=0)
        slow = load_tokenizer(folder, 1)
        theirs.save_pretrained(tmp_path / "fast")
        fast = load_tokenizer(tmp_path / "fast", 1)
        assert not (tmp_path / "fast" / "spiece.model").exists()
        for prompt in ("calm piano", "HAPPY  rock!\n", "ünï 🎹 strings", " leading", "a", "loop " * 40):
            expected = theirs(prompt).input_ids
            assert slow.encode(prompt) == expected
            assert fast.encode(prompt) == expected
            assert expected[-1] == 1

    def test_a_file_that_cuts_fills_and_has_gaps(self, tmp_path: Path) -> None:
        from tokenizers import Tokenizer, models, pre_tokenizers

        ids = {"<unk>": 2, "calm": 3, "piano": 200}
        words = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))  # noqa: S106  # a token of text
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        words.enable_truncation(2)
        words.enable_padding(length=8)
        words.save(str(tmp_path / "tokenizer.json"))
        assert load_tokenizer(tmp_path, 1, most=201).encode("calm piano calm") == [3, 200, 3, 1]
        with pytest.raises(CheckpointError, match="has 201 tokens, the text encoder knows 200"):
            load_tokenizer(tmp_path, 1, most=200)


class TestSaving:
    @pytest.mark.parametrize(
        "config",
        [
            MusicGenConfig.tiny(),
            MusicGenConfig(
                text_encoder=T5Config(
                    vocab_size=99,
                    d_model=24,
                    d_kv=8,
                    d_ff=32,
                    num_layers=1,
                    num_heads=3,
                    feed_forward_proj="gated-gelu",
                ),
                audio_encoder=EncodecConfig(
                    num_filters=2,
                    hidden_size=8,
                    codebook_size=64,
                    target_bandwidths=(1.2,),
                    use_conv_shortcut=True,
                    use_causal_conv=True,
                    num_residual_layers=2,
                ),
                decoder=DecoderConfig.tiny(),
            ),
        ],
        ids=["tiny", "every branch"],
    )
    def test_what_is_saved_is_loaded(self, tmp_path: Path, config: MusicGenConfig) -> None:
        make_tiny_checkpoint(tmp_path / "a", config=config)
        assert load_config(tmp_path / "a") == config
        parts = load_parts(tmp_path / "a", config)
        save_checkpoint(tmp_path / "b", config, parts)
        again = load_parts(tmp_path / "b", config)
        for (name, first), (_, second) in zip(
            tree_flatten(parts.parameters()), tree_flatten(again.parameters()), strict=True
        ):
            np.testing.assert_allclose(np.array(first), np.array(second), rtol=1e-6, atol=1e-7, err_msg=name)

    def test_16_bit_is_half_the_size(self, tmp_path: Path, tiny_folder: Path) -> None:
        config = load_config(tiny_folder)
        parts = load_parts(tiny_folder, config)
        save_checkpoint(tmp_path, config, parts, dtype=mx.float16)
        assert all(value.dtype == mx.float16 for value in load_tensors(tmp_path).values())
        shutil.copy(tiny_folder / "spiece.model", tmp_path)
        assert MusicGen.from_pretrained(tmp_path).generate("calm piano", max_steps=6).shape == (1920,)

    def test_the_seed_makes_the_weights(self, tmp_path: Path, tiny_folder: Path) -> None:
        assert weight_digest(make_tiny_checkpoint(tmp_path / "a")) == weight_digest(tiny_folder)
        assert weight_digest(make_tiny_checkpoint(tmp_path / "b", seed=1)) != weight_digest(tiny_folder)

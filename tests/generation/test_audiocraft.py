"""audiocraft's exports, read without audiocraft and without torch: the same model as the published layout of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from audiocraft_files import export, language_model_state, save

from generation.audiocraft import read_export
from generation.checkpoints import STYLE_REFUSED, load_config, load_tensors
from generation.convert import convert
from generation.errors import CheckpointError, ModelNotFoundError
from generation.musicgen import MusicGen

FAMILIES = ("mono", "stereo", "melody", "stereo-melody")
CHROMA_FRAMES = 9  # of 4,096 samples in a second and a tenth at 32 kHz


def make(family: str, make_reference: Callable[..., Any]) -> Any:
    stereo = {"num_codebooks": 8, "audio_channels": 2} if family.startswith("stereo") else {}
    melody = {"chroma_length": CHROMA_FRAMES} if family.endswith("melody") else None
    return make_reference(decoder=stereo, melody=melody, seed=len(family))


def place_t5(model: Any, reference: Path, home: Path, name: str = "t5-base") -> Path:
    """T5 alone, as its own repository has it."""
    model.text_encoder.save_pretrained(home / "models" / name)
    shutil.copy(reference / "spiece.model", home / "models" / name)
    return home / "models" / name


def outcome(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Greedy codes and their sound, and codes of a given sound."""
    model = MusicGen.from_pretrained(folder)
    extra: dict[str, Any] = {}
    if model.config.melody is not None:
        extra["melody"] = np.eye(12, dtype=np.float32)[[2, 5, 9]]
    (made,) = model.compose(["calm piano"], seeds=[0], max_steps=24, temperature=0, guidance=3.0, **extra)
    noise = np.random.default_rng(0).normal(0, 0.3, 6400).astype(np.float32)
    return made.codes, made.audio, model.encode(noise, 32_000)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_comes_out_as_published(
    family: str, make_reference: Callable[..., Any], store_reference: Callable[..., Path], here: Path
) -> None:
    model = make(family, make_reference)
    published = store_reference(model, here / "published")
    place_t5(model, published, here)
    folder = here / "models" / "musicgen-mine"
    export(model, folder)
    done = convert(folder)
    assert [path.name for path in done.files] == [
        "model.safetensors",
        "generation_config.json",
        "config.json",
    ]
    assert done.notes == ("The text encoder (t5-base) and its tokenizer come from google-t5/t5-base.",)
    config = load_config(folder)
    assert config.decoder.audio_channels == (2 if family.startswith("stereo") else 1)
    assert (config.melody is not None) is family.endswith("melody")
    expected = load_config(published)
    assert config == expected
    for ours, theirs in zip(outcome(folder), outcome(published), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # The checkpoint's own guidance comes along.
    assert MusicGen.from_pretrained(folder).settings.guidance == 2.5


def test_tensors_keep_their_bits_and_their_type(reference: Any, reference_folder: Path, here: Path) -> None:
    place_t5(reference, reference_folder, here)
    export(reference, here / "mine", half=True)
    convert(here / "mine")
    published, ours = load_tensors(reference_folder), load_tensors(here / "mine")
    for name, tensor in ours.items():
        spelled = name.replace("weight_g", "parametrizations.weight.original0")
        theirs = published[spelled.replace("weight_v", "parametrizations.weight.original1")]
        language_model = name.startswith(("decoder.", "enc_to_dec"))
        assert tensor.dtype == (mx.float16 if language_model else theirs.dtype), name
        assert mx.array_equal(tensor, theirs.astype(tensor.dtype)), name


@pytest.mark.parametrize("way", ["found", "named", "a folder"])
def test_parts_from_another_musicgen(way: str, reference: Any, reference_folder: Path, here: Path) -> None:
    """As the stereo models are published: the codec is only named, T5 is not there at all."""
    name = {"found": "musicgen-small", "named": "someones", "a folder": "elsewhere"}[way]
    lender = here / ("models" if way != "a folder" else "deep") / name
    shutil.copytree(reference_folder, lender)
    folder = here / "mine"
    export(reference, folder, codec="//pretrained/facebook/encodec_32khz")
    given = {"found": None, "named": "someones", "a folder": str(lender)}[way]
    done = convert(folder, text_encoder=given, codec=given)
    shown = "facebook/musicgen-small" if way == "found" else name
    assert done.notes == (
        f"The text encoder (t5-base) and its tokenizer come from {shown}.",
        f"The codec comes from {shown}.",
    )
    for ours, theirs in zip(outcome(folder), outcome(reference_folder), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_codec_of_its_own_repository(reference: Any, reference_folder: Path, here: Path) -> None:
    place_t5(reference, reference_folder, here)
    reference.audio_encoder.save_pretrained(here / "models" / "encodec_32khz")
    export(reference, here / "mine", codec=False)
    assert convert(here / "mine").notes[1] == "The codec comes from facebook/encodec_32khz."
    for ours, theirs in zip(outcome(here / "mine"), outcome(reference_folder), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_missing_is_said_with_the_way_out(reference: Any, reference_folder: Path, here: Path) -> None:
    export(reference, here / "mine", codec="facebook/encodec_32khz")
    with pytest.raises(CheckpointError, match=r"models pull google-t5/t5-base.*models convert .*mine"):
        convert(here / "mine")
    t5 = place_t5(reference, reference_folder, here)
    with pytest.raises(CheckpointError, match=r"models pull facebook/encodec_32khz"):
        convert(here / "mine")
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        convert(here / "mine", codec="nowhere")
    with pytest.raises(CheckpointError, match="no audio encoder"):
        convert(here / "mine", codec="t5-base")
    (t5 / "spiece.model").unlink()
    export(reference, here / "mine")
    with pytest.raises(CheckpointError, match="no tokenizer"):
        convert(here / "mine")
    # Nothing that could pass for a model is left behind.
    assert not (here / "mine" / "config.json").exists()
    with pytest.raises(ModelNotFoundError, match=r"models convert .*mine"):
        MusicGen.from_pretrained(here / "mine")


def test_another_t5_is_not_taken(
    reference: Any, reference_folder: Path, make_reference: Callable[..., Any], here: Path
) -> None:
    place_t5(make_reference(text={"d_model": 24, "num_heads": 3}), reference_folder, here)
    export(reference, here / "mine")
    with pytest.raises(CheckpointError, match=r"24 wide, the export needs 32.*--text-encoder"):
        convert(here / "mine")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("lm_model", "transformer_lm_magnet"),
        ("transformer_lm.norm_first", False),
        ("transformer_lm.positional_embedding", "rope"),
        ("transformer_lm.layer_scale", 0.1),
        ("transformer_lm.kv_repeat", 2),
        ("transformer_lm.num_heads", "many"),
        ("transformer_lm.dim", "${transformer_lm.dim}"),
        ("transformer_lm.dim", None),
        ("transformer_lm.num_layers", 2),
        ("codebooks_pattern.modeling", "parallel"),
        ("codebooks_pattern.delay.delays", [0, 0, 0, 0]),
        ("interleave_stereo_codebooks.per_timestep", True),
        ("conditioners.description.model", "lut"),
        ("conditioners.chords", {"model": "chords_emb"}),
        ("fuser.cross", []),
        # No tensor tells of these.
        ("transformer_lm.causal", False),
        ("transformer_lm.past_context", 256),
        ("transformer_lm.positional_scale", 0.5),
        ("transformer_lm.max_period", 2000),
        ("codebooks_pattern.delay.flatten_first", 2),
        ("codebooks_pattern.delay.empty_initial", 1),
        ("fuser.cross_attention_pos_emb", True),
        ("fuser.sum", ["description"]),
        ("fuser.input_interpolate", ["description"]),
        ("conditioners.description.t5.normalize_text", True),
    ],
    ids=str,
)
def test_models_of_another_kind_are_refused(
    setting: str, value: Any, reference: Any, reference_folder: Path, here: Path
) -> None:
    place_t5(reference, reference_folder, here)
    settings = export(reference, here / "mine")
    table = settings
    for part in setting.split(".")[:-1]:
        table = table[part]
    table[setting.split(".")[-1]] = value
    save(here / "mine" / "state_dict.bin", language_model_state(reference.state_dict()), settings)
    with pytest.raises(CheckpointError) as caught:
        convert(here / "mine")
    assert "\n" not in str(caught.value)
    told_otherwise = ("conditioners.chords", "transformer_lm.num_layers")  # by its conditions, by its tensors
    assert setting in str(caught.value) or setting in told_otherwise
    assert not (here / "mine" / "config.json").exists()


def test_settings_that_are_left_out_are_the_usual_ones(
    reference: Any, reference_folder: Path, here: Path
) -> None:
    """Older exports do not name all of them."""
    place_t5(reference, reference_folder, here)
    settings = export(reference, here / "mine")
    for table, name in (
        (settings["transformer_lm"], "causal"),
        (settings["codebooks_pattern"]["delay"], "flatten_first"),
        (settings["codebooks_pattern"]["delay"], "empty_initial"),
        (settings["fuser"], "cross_attention_pos_emb"),
        (settings["conditioners"]["description"]["t5"], "normalize_text"),
    ):
        del table[name]
    save(here / "mine" / "state_dict.bin", language_model_state(reference.state_dict()), settings)
    convert(here / "mine")
    np.testing.assert_array_equal(outcome(here / "mine")[0], outcome(reference_folder)[0])


def test_melodies_as_more_than_one_pitch_at_a_time_are_refused(
    make_reference: Callable[..., Any], store_reference: Callable[..., Path], here: Path
) -> None:
    model = make("melody", make_reference)
    place_t5(model, store_reference(model, here / "published"), here)
    settings = export(model, here / "mine")
    settings["conditioners"]["self_wav"]["chroma_stem"]["argmax"] = False
    save(here / "mine" / "state_dict.bin", language_model_state(model.state_dict()), settings)
    with pytest.raises(CheckpointError, match=r"self_wav\.chroma_stem\.argmax = False"):
        convert(here / "mine")


def test_style_is_refused_in_a_sentence(reference: Any, reference_folder: Path, here: Path) -> None:
    place_t5(reference, reference_folder, here)
    settings = export(reference, here / "mine")
    settings["conditioners"]["self_wav"] = {"model": "style", "style": {"model_name": "mert"}}
    save(here / "mine" / "state_dict.bin", language_model_state(reference.state_dict()), settings)
    with pytest.raises(CheckpointError) as caught:
        convert(here / "mine")
    assert str(caught.value) == STYLE_REFUSED
    for name in ("musicgen-style", "facebook/musicgen-style"):
        with pytest.raises(ModelNotFoundError, match=r"MERT.*musicgen-melody"):
            MusicGen.from_pretrained(name)


def test_tensors_of_another_kind_are_named(reference: Any, reference_folder: Path, here: Path) -> None:
    import torch

    place_t5(reference, reference_folder, here)
    settings = export(reference, here / "mine")
    state = language_model_state(reference.state_dict())
    for name in ("transformer.layers.0.self_attn.in_proj_bias", "extra.weight"):
        save(here / "mine" / "state_dict.bin", {**state, name: torch.ones(3)}, settings)
        with pytest.raises(CheckpointError, match=re.escape(name)):
            convert(here / "mine")
    lost = {name: value for name, value in state.items() if name != "transformer.layers.1.norm2.bias"}
    save(here / "mine" / "state_dict.bin", lost, settings)
    with pytest.raises(CheckpointError, match=r"lacks 1 tensor.*layers\.1\.final_layer_norm\.bias"):
        convert(here / "mine")


@pytest.mark.parametrize("text", ["a: [", "- 1", "7", "a: !!python/object/apply:os.system ['true']"])
def test_a_configuration_that_is_none(text: str, tmp_path: Path) -> None:
    save(tmp_path / "state_dict.bin", {}, text)
    with pytest.raises(CheckpointError, match="configuration"):
        read_export(tmp_path / "state_dict.bin")


def test_a_malicious_export_runs_nothing(tmp_path: Path) -> None:
    import os
    import pickle
    import zipfile

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'was-here'}",)

    with zipfile.ZipFile(tmp_path / "state_dict.bin", "w") as file:
        file.writestr(
            "archive/data.pkl", pickle.dumps({"best_state": {"emb.0.weight": Evil()}, "xp.cfg": ""})
        )
    with pytest.raises(CheckpointError, match="malicious"):
        convert(tmp_path)
    assert not (tmp_path / "was-here").exists()


def test_a_file_that_is_no_export(tmp_path: Path) -> None:
    import torch

    for content in ({"model": {}}, [1, 2], {"best_state": {}, "xp.cfg": {}}):
        torch.save(content, tmp_path / "state_dict.bin")
        with pytest.raises(CheckpointError, match="no export"):
            read_export(tmp_path / "state_dict.bin")

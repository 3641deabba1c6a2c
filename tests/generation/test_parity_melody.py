"""Melody models against transformers' `MusicgenMelodyForConditionalGeneration`: chroma, logits, greedy tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from generation import composition
from generation.checkpoints import load_config
from generation.config import MelodyConfig, MusicGenConfig
from generation.errors import InvalidRequestError
from generation.melody import HOP, WINDOW, chroma_filters, hear_chroma, prefix_states
from generation.musicgen import MusicGen
from generation.parts import load_parts

TOLERANCE = 1e-4
FRAMES = 9


@pytest.fixture(scope="module")
def theirs(make_reference: Callable[..., Any]) -> Any:
    return make_reference(melody={"chroma_length": FRAMES}, seed=6)


@pytest.fixture(scope="module")
def folder(
    theirs: Any, store_reference: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return store_reference(theirs, tmp_path_factory.mktemp("melody"))


@pytest.fixture(scope="module")
def ours(folder: Path) -> MusicGen:
    return MusicGen.from_pretrained(folder)


def chroma_of(notes: Sequence[int]) -> np.ndarray:
    return np.eye(12, dtype=np.float32)[list(notes)]


def test_the_filter_bank_is_theirs() -> None:
    from transformers.audio_utils import chroma_filter_bank

    expected = chroma_filter_bank(sampling_rate=32_000, num_frequency_bins=WINDOW, tuning=0, num_chroma=12)
    np.testing.assert_allclose(chroma_filters(12), expected, atol=1e-10)


@pytest.mark.parametrize("seconds", [0.1, 0.6, 4.0, 31.0])
def test_chroma_matches(seconds: float) -> None:
    """Their extractor needs torchaudio; this is its arithmetic in torch."""
    import torch
    from transformers.audio_utils import chroma_filter_bank

    rng = np.random.default_rng(1)
    count = round(seconds * 32_000)
    time = np.arange(count) / 32_000
    pitch = 220 * 2 ** (rng.integers(0, 24, count // 8_000 + 1) / 12)
    sound = (0.3 * np.sin(2 * np.pi * pitch[np.arange(count) // 8_000] * time)).astype(np.float32)
    sound += rng.normal(0, 0.02, count).astype(np.float32)
    wave = torch.tensor(sound[: 30 * 32_000])
    if (missing := WINDOW - len(wave)) > 0:
        wave = torch.nn.functional.pad(wave, (missing // 2, missing - missing // 2))
    spectrum = torch.stft(
        wave,
        WINDOW,
        HOP,
        window=torch.hann_window(WINDOW),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    bank = torch.tensor(chroma_filter_bank(WINDOW, 12, 32_000, 0)).float()
    raw = bank @ spectrum.abs() ** 2
    expected = np.eye(12, dtype=np.float32)[raw.argmax(0).numpy()]
    np.testing.assert_array_equal(hear_chroma(sound, MelodyConfig()), expected)
    assert seconds < 1 or len(np.unique(expected.argmax(1))) > 3


def test_a_melody_is_heard_at_any_rate_and_in_stereo(ours: MusicGen) -> None:
    time = np.arange(3 * 44_100) / 44_100
    tone = (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)  # an A
    heard = ours.hear_melody(np.stack([tone, tone], axis=1), 44_100)
    assert heard.shape == (1 + 96_000 // HOP, 12)
    assert (heard.argmax(axis=1) == 9).all()


@pytest.mark.parametrize("notes", [(0, 4, 7), tuple(range(12)), tuple(range(12)) * 3], ids=len)
def test_logits_match(theirs: Any, folder: Path, notes: tuple[int, ...]) -> None:
    import torch

    config = load_config(folder)
    assert config.melody == MelodyConfig(num_chroma=12, chroma_length=FRAMES)
    parts = load_parts(folder, config)
    rng = np.random.default_rng(4)
    text, inputs = rng.integers(3, 99, (2, 7)), rng.integers(0, 65, (2, 4, 11))
    chroma = chroma_of(notes)
    with torch.no_grad():
        expected = theirs(
            input_ids=torch.tensor(text),
            attention_mask=torch.ones(2, 7, dtype=torch.long),
            input_features=torch.tensor(np.stack([chroma, chroma])),
            decoder_input_ids=torch.tensor(inputs.reshape(8, 11)),
        ).logits.numpy()
    states = list(parts.decoder.project_text(parts.text_encoder(mx.array(text))))
    prefix = prefix_states(parts.decoder, config.melody, states, chroma, guided=False)
    hidden = parts.decoder.hidden(mx.array(inputs), [], prefix=prefix)
    made = np.array(parts.decoder.logits(hidden)).reshape(8, FRAMES + 7 + 11, -1)
    assert expected.std() > 0.5
    np.testing.assert_allclose(made, expected, atol=TOLERANCE)


@pytest.mark.parametrize("guidance", [3.0, 1.0])
@pytest.mark.parametrize("notes", [(2, 5, 9, 11), None], ids=["melody", "text alone"])
def test_greedy_tokens_match(
    theirs: Any, ours: MusicGen, guidance: float, notes: tuple[int, ...] | None
) -> None:
    import torch

    chroma = None if notes is None else chroma_of(notes)
    tokens = torch.tensor([ours.tokenizer.encode("happy rock guitar")])
    captured: list[Any] = []
    decode = theirs.audio_encoder.decode

    def keep(*args: Any, **kwargs: Any) -> Any:
        captured.append(kwargs.get("audio_codes", args[0] if args else None))
        return decode(*args, **kwargs)

    theirs.audio_encoder.decode = keep
    try:
        with torch.no_grad():
            theirs.generate(
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                input_features=None if chroma is None else torch.tensor(chroma[None]),
                do_sample=False,
                guidance_scale=guidance,
                max_new_tokens=64,
            )
    finally:
        del theirs.audio_encoder.decode
    (made,) = ours.compose(
        ["happy rock guitar"], max_steps=64, temperature=0, guidance=guidance, melody=chroma, seeds=[0]
    )
    np.testing.assert_array_equal(made.codes, captured[0][0, 0].numpy())
    assert len(np.unique(made.codes)) > 5


def test_clips_of_a_batch_are_what_they_are_alone(ours: MusicGen) -> None:
    prompts = ["calm piano", "", "happy rock guitar drums loop", "sad piano"]
    chroma = chroma_of((0, 7))
    together = ours.compose(prompts, max_steps=12, seeds=[1, 2, 3, 4], melody=chroma)
    for prompt, seed, clip in zip(prompts, (1, 2, 3, 4), together, strict=True):
        (alone,) = ours.compose([prompt], max_steps=12, seeds=[seed], melody=chroma)
        assert (clip.prompt, clip.seed) == (prompt, seed)
        np.testing.assert_array_equal(clip.codes, alone.codes)


def test_a_later_window_hears_its_own_part_of_the_melody(
    ours: MusicGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composition, "WINDOW_SECONDS", 1.28)  # 64 frames of 640 samples: ten of chroma
    seen: list[int] = []
    monkeypatch.setattr(
        "generation.melody.prefix_states",
        lambda *args, **options: (seen.append(options["first"]), prefix_states(*args, **options))[1],
    )
    ours.compose(["calm"], duration=2.56, context=0.64, seeds=[1], melody=chroma_of((0, 7)))
    assert seen == [0, 5, 10]


def test_a_config_survives(folder: Path) -> None:
    config = load_config(folder)
    assert MusicGenConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    "chroma", [np.zeros((0, 12), np.float32), np.zeros((3, 11), np.float32), np.zeros(12)]
)
def test_a_melody_of_another_shape_is_refused(ours: MusicGen, chroma: Any) -> None:
    with pytest.raises(InvalidRequestError, match="frame by frame"):
        ours.compose(["calm"], melody=chroma)


def test_other_models_say_that_they_follow_no_melody(tiny_model: MusicGen) -> None:
    with pytest.raises(InvalidRequestError, match="melody model"):
        tiny_model.compose(["calm"], melody=chroma_of((0, 7)))
    with pytest.raises(InvalidRequestError, match="melody model"):
        tiny_model.hear_melody(np.zeros(100, np.float32), 32_000)


@pytest.mark.parametrize("audio", [np.zeros(0, np.float32), np.array([np.nan], np.float32)])
def test_no_sound_is_no_melody(ours: MusicGen, audio: Any) -> None:
    with pytest.raises(InvalidRequestError, match="empty"):
        ours.hear_melody(audio, 32_000)

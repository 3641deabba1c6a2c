"""MusicGen as a caller sees it: exact lengths, batches that change nothing, clear refusals."""

from __future__ import annotations

import ctypes.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generation import backend
from generation.audio import save_audio
from generation.checkpoints import weight_digest
from generation.composition import LIMIT_SECONDS, MAX_SEED, length_of
from generation.config import DecoderConfig, EncodecConfig, MusicGenConfig, T5Config
from generation.errors import InvalidRequestError
from generation.musicgen import MusicGen
from generation.sampling import SamplingSettings

HOP = 640
PROMPTS = [
    "calm piano",
    "happy rock guitar drums and a fast dark loop",
    "",
    "dark",
    "slow strings",
    "ambient",
]


def test_a_duration_is_exact(tiny_model: MusicGen) -> None:
    (clip,) = tiny_model.compose(["calm piano"], duration=10, seeds=[1])
    assert clip.audio.shape == (320_000,)
    assert clip.audio.dtype == np.float32
    assert np.abs(clip.audio).max() <= 1
    assert clip.codes.shape == (4, 500)
    assert clip.codes.dtype == np.int16
    assert clip.steps == 503


def test_what_is_over_full_scale_is_cut_off_with_a_word(
    tiny_model: MusicGen, caplog: pytest.LogCaptureFixture
) -> None:
    (clip,) = tiny_model.compose(["calm piano"], duration=1, seeds=[1], clip=False)
    over = int((np.abs(clip.audio) > 1).sum())
    assert over > 0  # a random codec shouts
    audio = tiny_model.generate("calm piano", duration=1, seed=1)
    np.testing.assert_array_equal(audio, np.clip(clip.audio, -1, 1))
    (record,) = caplog.records
    assert f"{over:,} of 32,000 samples were over full scale" in record.getMessage()
    np.testing.assert_array_equal(tiny_model.decode(clip.codes), audio)
    np.testing.assert_array_equal(tiny_model.decode(clip.codes, clip=False), clip.audio)


def test_steps_leave_three_frames_less(tiny_model: MusicGen, tmp_path: Path) -> None:
    """300 steps are 297 frames: 190,080 samples, 380,160 bytes of PCM, as the first sketch recorded."""
    (clip,) = tiny_model.compose(["calm piano"], max_steps=300, seeds=[1])
    assert clip.codes.shape == (4, 297)
    assert clip.audio.shape == (190_080,)
    assert clip.steps == 300
    save_audio(tmp_path / "a.wav", clip.audio, tiny_model.sampling_rate)
    data = (tmp_path / "a.wav").read_bytes()
    assert data[data.index(b"data") + 4 :][:4] == (380_160).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("seconds", "samples"),
    [(0.5, 16_000), (0.0199, 637), (0.02, 640), (0.0201, 643), (1 / 3, 10_667), (1, 32_000), (1e-9, 1)],
)
def test_durations_between_frames(tiny_model: MusicGen, seconds: float, samples: int) -> None:
    (clip,) = tiny_model.compose(["calm piano"], duration=seconds, seeds=[1])
    assert clip.audio.shape == (samples,)
    assert clip.codes.shape[1] == math.ceil(samples / HOP)
    assert clip.steps == clip.codes.shape[1] + 3


def test_the_default_is_ten_seconds(tiny_model: MusicGen) -> None:
    assert length_of(tiny_model.config, None, None, LIMIT_SECONDS) == (500, 320_000)


def test_a_longer_clip_begins_like_a_shorter_one(tiny_model: MusicGen) -> None:
    short, long = (tiny_model.compose(["calm piano"], max_steps=n, seeds=[5])[0].codes for n in (20, 40))
    np.testing.assert_array_equal(long[:, :17], short)


@pytest.mark.parametrize(
    "length",
    [
        {"max_steps": 3},
        {"max_steps": 0},
        {"max_steps": -1},
        {"max_steps": 30_004},
        {"duration": -1},
        {"duration": 0},
        {"duration": math.nan},
        {"duration": math.inf},
        {"duration": 600.1},
        {"duration": 30, "limit": 20},
        {"duration": 1e12},
        {"duration": 5, "max_steps": 100},
    ],
    ids=str,
)
def test_lengths_that_cannot_be_made(tiny_model: MusicGen, length: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        tiny_model.compose(["calm piano"], **length)


def test_the_longest_clip_is_allowed(tiny_model: MusicGen) -> None:
    assert length_of(tiny_model.config, 600, None, LIMIT_SECONDS) == (30_000, 19_200_000)
    assert length_of(tiny_model.config, None, 30_003, LIMIT_SECONDS) == (30_000, 19_200_000)


@pytest.mark.parametrize("prompts", [[], "calm piano"])
def test_prompts_that_are_no_list(tiny_model: MusicGen, prompts: Any) -> None:
    """A string must not be taken for a list of letters."""
    with pytest.raises(InvalidRequestError, match="prompt"):
        tiny_model.compose(prompts, max_steps=5)


@pytest.mark.parametrize("seeds", [[1], [1, 2, 3], [1, -1], [MAX_SEED + 1, 0]])
def test_seeds_that_do_not_fit(tiny_model: MusicGen, seeds: list[int]) -> None:
    with pytest.raises(InvalidRequestError, match="seed"):
        tiny_model.compose(["calm piano", "dark"], max_steps=5, seeds=seeds)


@pytest.mark.parametrize(
    "options", [{"temperature": -1}, {"top_k": -5}, {"top_p": 2}, {"guidance": math.nan}]
)
def test_settings_that_make_no_sense(tiny_model: MusicGen, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        tiny_model.generate("calm piano", max_steps=5, **options)


def test_one_prompt_or_several(tiny_model: MusicGen) -> None:
    one = tiny_model.generate("calm piano", max_steps=6, seed=3)
    assert one.shape == (3 * HOP,)
    several = tiny_model.generate(["calm piano", "dark"], max_steps=6, seed=[3, 9])
    assert isinstance(several, list)
    np.testing.assert_array_equal(several[0], one)
    counted = tiny_model.generate(["dark", "calm piano"], max_steps=6, seed=2)
    np.testing.assert_array_equal(counted[1], one)  # seed + 1
    np.testing.assert_array_equal(tiny_model.generate("calm piano", max_steps=6, seed=np.int64(3)), one)


def test_every_setting_is_told(tiny_model: MusicGen) -> None:
    made = tiny_model.compose(["calm piano", "dark"], max_steps=6, temperature=0.7, top_k=9)
    for clip, prompt in zip(made, ("calm piano", "dark"), strict=True):
        assert clip.prompt == prompt
        assert clip.settings == SamplingSettings(temperature=0.7, top_k=9, top_p=0.0, guidance=3.0)
        assert clip.batch_size == 2
        assert 0 <= clip.seed < 2**32
    assert made[0].seed != made[1].seed
    again = tiny_model.compose(
        [clip.prompt for clip in made],
        max_steps=6,
        seeds=[clip.seed for clip in made],
        temperature=0.7,
        top_k=9,
    )
    for first, second in zip(made, again, strict=True):
        np.testing.assert_array_equal(first.audio, second.audio)


def test_codes_decode_to_the_audio(tiny_model: MusicGen) -> None:
    (clip,) = tiny_model.compose(["calm piano"], max_steps=20, seeds=[2])
    np.testing.assert_array_equal(tiny_model.decode(clip.codes), clip.audio)


def test_progress_reaches_its_end(tiny_model: MusicGen) -> None:
    seen: list[tuple[int, int]] = []
    tiny_model.generate(["dark"] * 5, max_steps=6, progress=lambda done, total: seen.append((done, total)))
    dones = [done for done, _ in seen]
    assert dones == sorted(set(dones))
    assert seen[-1] == (12, 12)  # five clips are two batches of six steps
    assert {total for _, total in seen} == {12}


def test_an_exception_in_progress_stops_it(tiny_model: MusicGen) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny_model.generate("dark", max_steps=50, progress=stop)
    assert tiny_model.generate("dark", max_steps=6).shape == (3 * HOP,)  # and it still works


def test_what_a_model_tells_of_itself(tiny_model: MusicGen, tiny_folder: Path) -> None:
    assert tiny_model.model_id == tiny_folder.name
    assert tiny_model.weights_digest == weight_digest(tiny_folder)
    assert (tiny_model.sampling_rate, tiny_model.frame_rate) == (32000, 50)
    assert (tiny_model.num_codebooks, tiny_model.channels) == (4, 1)
    assert tiny_model.backend in ("cpu", "metal", "cuda")
    assert tiny_model.dtype == ("float32" if tiny_model.backend == "cpu" else "float16")
    assert tiny_model.license is None


def test_damaged_weights_are_noticed(tiny_model: MusicGen, monkeypatch: pytest.MonkeyPatch) -> None:
    from generation.errors import GenerationError

    bias = tiny_model.parts.codec.decoder.layers[0].conv.bias
    monkeypatch.setattr(tiny_model.parts.codec.decoder.layers[0].conv, "bias", bias * float("nan"))
    with pytest.raises(GenerationError, match="no numbers"):
        tiny_model.generate("dark", max_steps=5)


# One clip alone and in a batch, at a size where a matrix library changes its kernel with the number of rows.

WIDE = MusicGenConfig(
    text_encoder=T5Config(vocab_size=99, d_model=256, d_kv=64, d_ff=512, num_layers=2, num_heads=4),
    audio_encoder=EncodecConfig.tiny(),
    decoder=DecoderConfig(
        vocab_size=64,
        hidden_size=384,
        ffn_dim=3072,
        num_hidden_layers=3,
        num_attention_heads=6,
        pad_token_id=64,
        bos_token_id=64,
    ),
)
EXACT = """
import hashlib, json, sys
import numpy as np
from generation import backend
if sys.argv[2] == "reference":
    backend.prepare = lambda: "the wheel's own"
if sys.argv[2] == "openblas":
    backend._torch_blas = lambda: None
from generation import musicgen
from generation import compose, cpu_loop
prompts = json.loads(sys.argv[3])
model = musicgen.MusicGen.from_pretrained(sys.argv[1], dtype="float32")
# The logits' bits are compared too: another last bit changes a token only now and then.
logits, stream_codes = [], musicgen.stream_codes
def recorded(choose):
    def record(batch, *rest):
        logits[-1].append(np.array(batch))
        return choose(batch, *rest)
    return record
def begin(*args, **options):
    logits.append([])
    return stream_codes(*args, **options)
musicgen.stream_codes = begin
for loop in (compose, cpu_loop):
    loop.choose = recorded(loop.choose)
def digests(made):
    seen = np.concatenate([np.stack(batch, axis=1) for batch in logits])
    logits.clear()
    parts = [(clip.codes, clip.audio, own) for clip, own in zip(made, seen, strict=True)]
    return [hashlib.sha256(b"".join(array.tobytes() for array in part)).hexdigest() for part in parts]
seeds = list(range(40, 40 + len(prompts)))
options = {"max_steps": 12, "top_k": 0}
together = digests(model.compose(prompts, seeds=seeds, **options))
three = digests(model.compose(prompts[1:4], seeds=seeds[1:4], **options))
alone = [digests(model.compose([p], seeds=[s], **options))[0] for p, s in zip(prompts, seeds)]
found = {"backend": model.backend, "blas": backend.prepare()}
print(json.dumps({**found, "together": together, "three": three, "alone": alone}))
"""


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from generation.tiny import make_tiny_checkpoint

    return make_tiny_checkpoint(tmp_path_factory.mktemp("wide"), config=WIDE)


def exact_run(folder: Path, blas: str, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", EXACT, folder, blas, json.dumps(PROMPTS)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    result: dict[str, Any] = json.loads(done.stdout)
    if result["backend"] != "cpu":
        pytest.skip("exactness across batch shapes is promised on the CPU only")
    return result


@pytest.mark.parametrize("blas", ["found", "openblas", "reference"])
def test_a_clip_is_the_same_alone_in_a_batch_and_in_another_process(wide_folder: Path, blas: str) -> None:
    if blas == "openblas" and ctypes.util.find_library("openblas") is None:
        pytest.skip("OpenBLAS is not on this machine")
    first = exact_run(wide_folder, blas)
    names = {"found": backend.prepare(), "openblas": "OpenBLAS", "reference": "the wheel's own"}
    assert first["blas"] == names[blas]
    assert len(set(first["alone"])) == len(PROMPTS)
    assert first["together"] == first["alone"]  # six clips are batches of four and two
    assert first["three"] == first["alone"][1:4]
    if blas == "found":
        assert exact_run(wide_folder, blas) == first


def test_without_the_row_tile_a_batch_does_change_a_clip(wide_folder: Path) -> None:
    """Shows that the tests above could fail: products of other numbers of rows have other last bits."""
    import mlx.core as mx

    model = MusicGen.from_pretrained(wide_folder, dtype="float32")
    if model.backend != "cpu" or sys.platform != "linux":
        pytest.skip("a statement about matrix libraries on Linux")
    from generation.layers import Linear

    if backend.prepare().startswith("reference"):
        pytest.skip("the reference library works row by row")
    # PyTorch's library shows it in every shape, OpenBLAS in the second one.
    differed = False
    for width, out in ((384, 1536), (1536, 384)):
        layer = Linear(width, out, bias=False)
        rows = mx.random.normal((8, width), key=mx.random.key(0))
        counts = range(1, 9)
        plain = [np.array(layer(rows[:n])[0]) for n in counts]
        layer.row_tile = backend.CPU_ROW_TILE
        tiled = [np.array(layer(rows[:n])[0]) for n in counts]
        differed = differed or any((result != plain[0]).any() for result in plain)
        assert all((result == tiled[0]).all() for result in tiled)
    assert differed


def test_rows_that_fill_a_batch_change_nothing(tiny_model: MusicGen) -> None:
    """`batch_size` is how a 16-bit backend makes the shape of an earlier batch again."""
    (alone,) = tiny_model.compose(["calm piano"], max_steps=12, seeds=[3])
    (filled,) = tiny_model.compose(["calm piano"], max_steps=12, seeds=[3], batch_size=3)
    assert (alone.batch_size, filled.batch_size) == (1, 3)
    np.testing.assert_array_equal(alone.audio, filled.audio)

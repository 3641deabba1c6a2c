"""The kernels of a decoder step: their twins make the ordinary loop's tokens, and on NVIDIA they equal their twins."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest
from mlx import nn

from generation import cuda_kernels, portable_kernels
from generation.backend import backend_name
from generation.compose import Voice, decode_steps, memories_for
from generation.config import DecoderConfig, MelodyConfig
from generation.decoder import Block, MusicGenDecoder
from generation.delay import UNKNOWN, DelayPattern
from generation.portable_kernels import Text
from generation.quantise import quantise
from generation.quick_steps import _LastQueued, suits
from generation.sampling import SamplingSettings

TEXT_DIM = 32
SETTINGS = {
    "greedy": SamplingSettings(temperature=0),
    "sampled": SamplingSettings(top_k=20),
    "all tokens, hot": SamplingSettings(top_k=0, temperature=1.7),
    "without guidance": SamplingSettings(guidance=1, top_k=5),
}
on_nvidia = pytest.mark.skipif(backend_name() != "cuda", reason="there is no NVIDIA GPU")


@pytest.fixture(scope="module")
def decoder() -> MusicGenDecoder:
    mx.random.seed(8)
    made = MusicGenDecoder(DecoderConfig.tiny(), text_dim=TEXT_DIM)
    made.eval()
    return made


def tokens(
    voice: Voice,
    known: npt.NDArray[np.int32],
    settings: SamplingSettings,
    *,
    prefilled: int,
    quick: bool,
    first: int = 0,
) -> npt.NDArray[np.int32]:
    steps = decode_steps(
        [voice],
        known=known,
        prefilled=prefilled,
        seeds=list(range(len(known))),
        settings=settings,
        first=first,
        kernels=portable_kernels if quick else None,
    )
    return np.array(list(steps))


def plan(decoder: MusicGenDecoder, clips: int, frames: int, given: int) -> npt.NDArray[np.int32]:
    pattern = DelayPattern.of(decoder.config.num_codebooks)
    prompt = np.arange(4 * given, dtype=np.int32).reshape(4, given) % decoder.config.vocab_size
    return np.stack([pattern.plan(frames, decoder.config.pad_token_id, prompt)] * clips)


@pytest.mark.parametrize("prefilled", [0, 6])
@pytest.mark.parametrize("words", [(5,), (5, None, 9), (None,)], ids=str)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_tokens_are_the_ordinary_loops(
    decoder: MusicGenDecoder,
    settings: SamplingSettings,
    words: tuple[int | None, ...],
    prefilled: int,
) -> None:
    mx.random.seed(3)
    states = [
        None if n is None else decoder.project_text(mx.random.normal((1, n, TEXT_DIM)))[0] for n in words
    ]
    voice = Voice(decoder, memories_for(decoder, states, apart=False))
    known = plan(decoder, len(words), frames=70, given=prefilled)
    ordinary = tokens(voice, known, settings, prefilled=prefilled, quick=False, first=11)
    quick = tokens(voice, known, settings, prefilled=prefilled, quick=True, first=11)
    np.testing.assert_array_equal(quick, ordinary)
    # What was known beforehand is kept: the delay pattern's pads at the end.
    expected = known.transpose(2, 0, 1)[prefilled:]
    np.testing.assert_array_equal(quick[expected != UNKNOWN], expected[expected != UNKNOWN])


def test_states_before_the_tokens_are_seen() -> None:
    """A melody model's prefix lies in the caches, before the first step's position."""
    mx.random.seed(4)
    config = dataclasses.replace(DecoderConfig.tiny(), cross_attention=False)
    decoder = MusicGenDecoder(config, text_dim=config.hidden_size, melody=MelodyConfig())
    prefix = mx.random.normal((2, 7, config.hidden_size))
    voice = Voice(decoder, [], lambda _frame: prefix)
    known = plan(decoder, 1, frames=20, given=0)
    greedy = SamplingSettings(temperature=0)
    ordinary = tokens(voice, known, greedy, prefilled=0, quick=False)
    np.testing.assert_array_equal(tokens(voice, known, greedy, prefilled=0, quick=True), ordinary)
    other = Voice(decoder, [], lambda _frame: -prefix)
    assert (tokens(other, known, greedy, prefilled=0, quick=True) != ordinary).any()


def test_two_runs_take_turns(decoder: MusicGenDecoder) -> None:
    """In one thread, and in threads that pass a run on: each makes the tokens it makes alone."""
    states = decoder.project_text(mx.random.normal((1, 5, TEXT_DIM)))[0]
    voice = Voice(decoder, memories_for(decoder, [states], apart=False))
    known, settings = plan(decoder, 1, frames=30, given=0), SETTINGS["sampled"]
    alone = tokens(voice, known, settings, prefilled=0, quick=True)

    def run() -> Iterator[npt.NDArray[np.int32]]:
        return decode_steps(
            [voice], known=known, prefilled=0, seeds=[0], settings=settings, kernels=portable_kernels
        )

    for one, other, expected in zip(run(), run(), alone, strict=True):
        np.testing.assert_array_equal(one, expected)
        np.testing.assert_array_equal(other, expected)
    passed_on = run()
    first = [next(passed_on) for _ in range(3)]
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(lambda own: np.array(list(own)), own) for own in (passed_on, run())]
        rest, whole = (future.result() for future in waiting)
    np.testing.assert_array_equal(np.concatenate([first, rest]), alone)
    np.testing.assert_array_equal(whole, alone)


def test_another_run_waits_for_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kernels whose blocks wait for each other must not share the device."""
    waited: list[mx.array] = []
    monkeypatch.setattr(mx, "eval", waited.append)
    last, made = _LastQueued(), [mx.full((1,), i) for i in range(4)]
    for run, tokens in zip(("one", "one", "other", "one"), made, strict=True):
        last.queue(run, lambda own=tokens: (own, own))
    assert [int(tokens.item()) for tokens in waited] == [1, 2]


def test_no_two_threads_queue_at_once() -> None:
    """Between the wait for another run's kernels and the queueing of one's own, nobody else may come."""
    last, inside, leave, events = _LastQueued(), threading.Event(), threading.Event(), []

    def step(name: str) -> tuple[mx.array, mx.array]:
        events.append(f"{name} begins")
        if name == "one":
            inside.set()
            leave.wait(10)
        events.append(f"{name} ends")
        return mx.zeros((1,)), mx.zeros((1,))

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(last.queue, "one", lambda: step("one"))]
        assert inside.wait(10)
        runs.append(pool.submit(last.queue, "other", lambda: step("other")))
        time.sleep(0.2)
        leave.set()
        for run in runs:
            run.result(10)
    assert events == ["one begins", "one ends", "other begins", "other ends"]


def test_what_the_kernels_are_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.gpu))
    monkeypatch.setattr(mx.metal, "is_available", lambda: False)
    config = DecoderConfig(hidden_size=256, num_hidden_layers=1, num_attention_heads=4, ffn_dim=1024)

    def fits(
        settings: SamplingSettings = SETTINGS["sampled"], *, dtype: mx.Dtype = mx.float16, **changes: Any
    ) -> bool:
        made = MusicGenDecoder(dataclasses.replace(config, **changes), text_dim=TEXT_DIM)
        made.set_dtype(dtype)
        return suits(made, [], settings)

    assert fits()
    assert fits(dtype=mx.bfloat16)
    assert not fits(dtype=mx.float32)
    assert not fits(activation_function="relu")
    assert not fits(num_attention_heads=8)
    assert not fits(SamplingSettings(top_p=0.9))
    quantised = MusicGenDecoder(config, text_dim=TEXT_DIM)
    quantised.set_dtype(mx.float16)
    quantise(quantised, 8)
    assert not suits(quantised, [], SETTINGS["sampled"])


def test_the_cpu_does_without_them(decoder: MusicGenDecoder) -> None:
    if backend_name() == "cpu":
        assert not suits(decoder, [], SamplingSettings())


@on_nvidia
@pytest.mark.parametrize("clips", [1, 4, 6], ids=["a kernel a layer", "eight rows", "products"])
def test_the_loop_in_sixteen_bits(clips: int) -> None:
    """The kernels of the device make the ordinary loop's tokens, but for what rounding decides."""
    mx.random.seed(2)
    config = DecoderConfig(hidden_size=256, num_hidden_layers=3, num_attention_heads=4, ffn_dim=1024)
    decoder = MusicGenDecoder(config, text_dim=TEXT_DIM)
    decoder.eval()
    decoder.set_dtype(mx.float16)
    states = [
        decoder.project_text(normal(1, 4 + 7 * clip, TEXT_DIM))[0] if clip != 1 else None
        for clip in range(clips)
    ]
    voice = Voice(decoder, memories_for(decoder, states, apart=False))
    known = plan(decoder, clips, frames=12, given=0)
    for settings in (SamplingSettings(temperature=0), SamplingSettings(top_k=50)):
        assert suits(decoder, voice.memories, settings)
        ours = tokens(voice, known, settings, prefilled=0, quick=False)  # the device's own kernels
        plain = tokens(voice, known, settings, prefilled=0, quick=True)
        assert np.mean(ours == plain) > 0.9


def normal(*shape: int, scale: float = 1.0, dtype: mx.Dtype = mx.float16) -> mx.array:
    return (mx.random.normal(shape) * scale).astype(dtype)


def near(one: mx.array, other: mx.array, tolerance: float = 0.02) -> None:
    ours, theirs = (np.array(a.astype(mx.float32)) for a in (one, other))
    np.testing.assert_allclose(ours, theirs, atol=tolerance * max(1.0, float(np.abs(theirs).max())))


def sizes(clips: int, room: int, known: int = 0, noise: int = 0, text: int = 0) -> mx.array:
    return mx.array([clips, room, known, noise, text], mx.int32)


def block(width: int, inner: int, dtype: mx.Dtype) -> Block:
    """A layer whose states stay as large as they come in."""
    made = Block(DecoderConfig(hidden_size=width, num_attention_heads=width // 64, ffn_dim=inner))
    made.eval()
    for norm in (made.self_attn_norm, made.cross_attn_norm, made.ffn_norm):
        norm.weight, norm.bias = 1 + normal(width, scale=0.1), normal(width, scale=0.1)
    made.set_dtype(dtype)
    return made


def text(clips: int, heads: int, room: int, lengths: list[int], dtype: mx.Dtype) -> Text:
    own = mx.array(lengths, mx.int32)
    mask = (mx.arange(room)[None] < own[:, None])[:, None, None]
    return Text(*(normal(clips, heads, room, 64, dtype=dtype) for _ in range(2)), own, mask)


@on_nvidia
@pytest.mark.parametrize(
    ("width", "inner", "dtype"),
    [
        (256, 1024, mx.float16),
        (1024, 4096, mx.float16),
        (1024, 4096, mx.bfloat16),
        (1536, 6144, mx.float16),
        (2048, 8192, mx.float16),
        (512, 5120, mx.float16),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("rows", "lengths", "length"),
    [
        (2, [12], 0),
        (2, [33], 511),
        (1, [5], 300),
        (8, [1, 40, 64, 7], 511),
        (6, [64, 2, 9], 100),
        (3, None, 70),
        (10, [3] * 5, 9),
    ],
    ids=str,
)
def test_layer(
    rows: int, lengths: list[int] | None, length: int, width: int, inner: int, dtype: mx.Dtype
) -> None:
    """Several times with one barrier; the caches are written alike."""
    heads, room = width // 64, 512
    layer, x, clock = (
        block(width, inner, dtype),
        normal(rows, width, dtype=dtype),
        mx.array([length], mx.int32),
    )
    words = None if lengths is None else text(len(lengths), heads, 64, lengths, dtype)
    cache = tuple(normal(rows, heads, room, 64, dtype=dtype) for _ in range(2))
    copy = tuple(mx.array(part.astype(mx.float32)).astype(dtype) for part in cache)
    barrier = cuda_kernels.new_barrier()
    mx.eval(layer.parameters(), x, words, cache, copy, barrier)
    more = clock, sizes(rows, room, text=64), barrier
    theirs = portable_kernels.layer(x, layer, copy, words, *more)
    for _ in range(3):
        ours = cuda_kernels.layer(x, layer, cache, words, *more)
        near(ours, theirs)
    for one, other in zip(cache, copy, strict=True):
        near(one, other)


@on_nvidia
@pytest.mark.parametrize(("width", "outputs"), [(256, 768), (1024, 8192), (2048, 8192)])
@pytest.mark.parametrize("rows", [1, 2, 8, 9])
def test_project(rows: int, width: int, outputs: int) -> None:
    x, weight = normal(rows, width), normal(outputs, width, scale=width**-0.5)
    norm = nn.LayerNorm(width)
    norm.weight, norm.bias = 1 + normal(width, scale=0.1), normal(width, scale=0.1)
    near(cuda_kernels.project(x, weight, norm), portable_kernels.project(x, weight, norm))


@on_nvidia
@pytest.mark.parametrize(
    ("rows", "room", "length"), [(2, 512, 0), (2, 512, 1), (2, 512, 511), (1, 1536, 1500), (64, 256, 100)]
)
def test_attend(rows: int, room: int, length: int) -> None:
    qkv = normal(rows, 3 * 1024)
    caches = [normal(rows, 16, room, 64) for _ in range(2)]
    copies = [mx.array(np.array(cache)) for cache in caches]
    mx.eval(qkv, caches, copies)
    clock = mx.array([length], mx.int32)
    ours = cuda_kernels.attend(qkv, *caches, clock, sizes(rows, room))
    near(ours, portable_kernels.attend(qkv, *copies, clock, sizes(rows, room)))
    for cache, copy in zip(caches, copies, strict=True):
        near(cache, copy, tolerance=0)


@on_nvidia
@pytest.mark.parametrize(("clips", "repeats"), [(1, 2), (3, 1), (5, 2)])
def test_embed(clips: int, repeats: int) -> None:
    chosen = mx.random.randint(0, 2049, (clips, 4)).astype(mx.int32)
    given = (chosen, normal(4 * 2049, 1024), normal(64, 1024), mx.array([5], mx.int32), sizes(clips, 64))
    near(cuda_kernels.embed(*given, repeats=repeats), portable_kernels.embed(*given, repeats=repeats))


@on_nvidia
@pytest.mark.parametrize("clips", [1, 3, 256])
@pytest.mark.parametrize("top_k", [0, 1, 250, 2047])
@pytest.mark.parametrize(("guided", "greedy"), [(True, False), (False, False), (True, True)])
def test_sample(clips: int, top_k: int, guided: bool, greedy: bool) -> None:
    logits = normal(clips * (2 if guided else 1), 4 * 2048, scale=3)
    known = np.full((6, clips, 4), UNKNOWN, np.int32)
    known[4, :, 1] = 77
    given = (logits, mx.random.gumbel((3, clips, 4, 2048)), mx.array(known), mx.array([7], mx.int32))
    more = (sizes(clips, 64, known=3, noise=6), mx.array([3.0, 0.8]))
    options = {"guided": guided, "greedy": greedy, "top_k": top_k}
    ours, clock = cuda_kernels.sample(*given, *more, **options)
    theirs, _ = portable_kernels.sample(*given, *more, **options)
    assert (
        int(np.array(cuda_kernels.sample(given[0] * float("nan"), *given[1:], *more, **options)[0]).max())
        < 2048
    )
    # The last bit of a quotient may decide between two tokens.
    assert np.mean(np.array(ours) == np.array(theirs)) > 0.99
    assert (np.array(ours)[:, 1] == 77).all()
    assert int(clock[0]) == 8

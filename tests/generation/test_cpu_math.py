"""NumPy's part of the CPU path: MLX's own functions, products and choices, with the same bits."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest

from generation import backend
from generation.compose import Voice, decode_steps, memories_for
from generation.config import DecoderConfig
from generation.cpu_loop import choose
from generation.cpu_math import Elementwise
from generation.cpu_products import Attention, columns, product, rows
from generation.cpu_steps import prepare_decoder
from generation.decoder import MusicGenDecoder
from generation.layers import activation
from generation.sampling import SamplingSettings, clip_keys, gumbel_noise, step_keys
from generation.sampling import choose as choose_with_mlx

# Elsewhere MLX computes several numbers at once, or on a GPU, and adds in another order.
_SAME_BITS = sys.platform == "linux" and platform.machine() == "x86_64" and backend.backend_name() == "cpu"


def check(found: np.ndarray, wanted: mx.array) -> None:
    """The same bits where that is promised, else the same up to rounding."""
    if _SAME_BITS:
        np.testing.assert_array_equal(found, np.array(wanted))
    else:
        np.testing.assert_allclose(found, np.array(wanted), atol=2e-6)


@pytest.fixture(params=["the library", "numpy"])
def _sgemm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products by the library that was loaded, and by NumPy where there is none."""
    if request.param == "numpy":
        monkeypatch.setattr(backend, "sgemm", lambda: None)


@pytest.mark.parametrize("length", [1, 2, 17, 503])
def test_softmax_is_that_of_mlx(length: int) -> None:
    whole = np.random.default_rng(length).normal(0, 6, (8, 600)).astype(np.float32)
    x = whole[:, :length]
    wanted = mx.softmax(mx.array(np.ascontiguousarray(x)), axis=-1)
    Elementwise(8 * 600).softmax(x, x)
    check(x, wanted)


def test_softmax_of_what_lies_far_apart() -> None:
    x = np.array([[0, -87.5, -104, -3e4], [1e30, 0, -1e30, 5]], np.float32)
    Elementwise(8).softmax(x, x)
    np.testing.assert_allclose(x, [[1, 0, 0, 0], [1, 0, 0, 0]], atol=1e-37)


@pytest.mark.parametrize("scale", [0.1, 1, 30])
def test_gelu_is_that_of_mlx(scale: float) -> None:
    x = np.random.default_rng(0).normal(0, scale, (3, 2000)).astype(np.float32)
    x[0, :4] = 0, -0.0, 1e-30, -1e-30
    wanted = activation("gelu", mx.array(x))
    Elementwise(x.size).gelu(x, x)
    check(x, wanted)


@pytest.mark.usefixtures("_sgemm")
def test_products_are_made_of_what_the_arrays_hold_when_they_are_called() -> None:
    numbers = np.random.default_rng(0)
    weight, x = (numbers.normal(size=shape).astype(np.float32) for shape in ((5, 7), (2, 7)))
    wide, tall, one = (np.zeros(shape, np.float32) for shape in ((5, 2), (2, 5), (1, 1)))
    made = [
        columns(weight, x, wide),
        rows(x, weight, tall),
        product(x[:1], x[:1].reshape(7, 1), one, scale=0.5, add=True),
    ]
    x += 1
    one += 3
    for make in made:
        make()
    np.testing.assert_allclose(wide, weight @ x.T, rtol=1e-5)
    np.testing.assert_allclose(tall, x @ weight.T, rtol=1e-5)
    np.testing.assert_allclose(one, 3 + 0.5 * (x[:1] @ x[:1].T), rtol=1e-5)


@pytest.mark.usefixtures("_sgemm")
def test_attention_over_a_growing_number_of_positions() -> None:
    numbers, room = np.random.default_rng(0), 9
    queries, heard = (numbers.normal(size=(2, 3, 4)).astype(np.float32) for _ in range(2))
    keys, values = (numbers.normal(size=(2, 3, room, 4)).astype(np.float32) for _ in range(2))
    weights = np.zeros((2, 3, room), np.float32)
    attention = Attention(queries, keys, values, weights, heard)
    for length in (1, 4, 9):
        attention.score(length)
        wanted = np.einsum("rhd,rhtd->rht", queries, keys[:, :, :length])
        np.testing.assert_allclose(weights[:, :, :length], wanted, atol=1e-5)
        attention.sum(length)
        np.testing.assert_allclose(
            heard, np.einsum("rht,rhtd->rhd", wanted, values[:, :, :length]), atol=1e-4
        )


def test_what_is_no_product_is_refused() -> None:
    if backend.sgemm() is None:
        pytest.skip("NumPy checks that itself")
    weight, x = np.zeros((5, 7), np.float32), np.zeros((2, 7), np.float32)
    with pytest.raises(ValueError, match="No product"):
        columns(weight, x, np.zeros((5, 3), np.float32))
    with pytest.raises(ValueError, match="lie in a row"):
        columns(weight, x, np.zeros((2, 5), np.float32).T)
    with pytest.raises(ValueError, match="float32"):
        columns(weight, x, np.zeros((5, 2)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        SamplingSettings(temperature=0),
        SamplingSettings(top_k=0),
        SamplingSettings(top_k=1),
        SamplingSettings(top_k=20, temperature=0.7),
        SamplingSettings(top_k=0, top_p=0.6),
        SamplingSettings(top_k=30, top_p=0.9, temperature=1.3),
    ],
    ids=str,
)
def test_tokens_are_chosen_as_mlx_chooses_them(settings: SamplingSettings) -> None:
    keys = step_keys(clip_keys([5, 6]), 3)
    logits = np.random.default_rng(1).normal(0, 3, (2, 4, 64)).astype(np.float32)
    logits[0, 0, 10:20] = 9.0  # ties
    noise = np.array(gumbel_noise(keys, (4, 64))) if settings.temperature else None
    wanted = np.array(choose_with_mlx(mx.array(logits), settings, keys))
    np.testing.assert_array_equal(choose(logits, settings, noise), wanted)


@pytest.mark.parametrize("prefilled", [0, 5])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_loop_makes_the_tokens_of_the_ordinary_one(prefilled: int, guidance: float) -> None:
    """Forty steps take their noise from three blocks; some tokens are known beforehand."""
    config, found = DecoderConfig.tiny(), []
    known = np.full((2, config.num_codebooks, 40), -1, np.int32)
    known[:, :, :prefilled] = 3
    known[1, 0, 20] = 7
    for prepared in (False, True):
        mx.random.seed(2)
        decoder = MusicGenDecoder(config, text_dim=config.hidden_size)
        decoder.eval()
        if prepared:
            prepare_decoder(decoder)
        states = [mx.random.normal((6, config.hidden_size), key=mx.random.key(1)), None]
        steps = decode_steps(
            [Voice(decoder, memories_for(decoder, states, apart=True))],
            known=known,
            prefilled=prefilled,
            seeds=[1, 2],
            settings=SamplingSettings(guidance=guidance, top_k=20),
        )
        found.append(np.stack(list(steps), axis=2))
    assert found[0].shape == (2, config.num_codebooks, 40 - prefilled)
    np.testing.assert_array_equal(found[1], found[0])


_ENVIRONMENT = """
import json, os
before = dict(os.environ)
from generation import backend
backend.prepare()
others = backend.environment_of_others()
policies = os.environ.get("OMP_WAIT_POLICY"), others.get("OMP_WAIT_POLICY")
print(json.dumps([before == others, *policies, os.environ.get("MKL_CBWR")]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is set elsewhere")
@pytest.mark.parametrize("own", [None, "ACTIVE"])
def test_settings_for_our_own_threads_are_kept_from_other_programs(own: str | None) -> None:
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_CBWR")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    if own is not None:
        environment["OMP_WAIT_POLICY"] = own
    done = subprocess.run(
        [sys.executable, "-c", _ENVIRONMENT], check=True, capture_output=True, text=True, env=environment
    )
    # The last is what makes MKL's bits the same wherever in memory the numbers lie; some processors need it.
    assert json.loads(done.stdout) == [True, own or "PASSIVE", own, "AUTO,STRICT"]

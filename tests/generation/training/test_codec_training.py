"""Training of the codec: losses, quantiser, state, checkpoints. Everything at toy size on the CPU."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from generation.encodec import LSTM, Encodec
from generation.errors import AudioError, CheckpointError
from generation.training.codec import TOY_CODEC, CodecLoop, CodecRun, parse
from generation.training.codec_files import load_codec, load_state, save_codec
from generation.training.codec_step import CodecTrainer, StepSettings, run_layers
from generation.training.encode import encode_clips, encode_folder, write_encoded
from generation.training.flat import FlatParameters
from generation.training.losses import SpectralLoss, frame, mel_filterbank
from generation.training.quantizer import (
    Books,
    fit_books,
    kmeans,
    perplexity,
    quantize,
    restart_codes,
    update_books,
)
from generation.training.segments import Prefetcher, SegmentSource

SAMPLES = 6400
TINY = dataclasses.replace(
    TOY_CODEC,
    num_filters=2,
    hidden_size=8,
    codebook_size=16,
    target_bandwidths=(0.4,),
    upsampling_ratios=(8, 8, 10),
)


def tone(hz: float, samples: int = SAMPLES) -> np.ndarray:
    t = np.arange(samples) / 32000
    return (0.5 * np.sin(2 * np.pi * hz * t)).astype(np.float32)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    folder.mkdir()
    for number in range(2):
        clips = np.stack([tone(200 + 40 * i + 300 * number, 9600) for i in range(6)])
        np.save(folder / f"pcm-{number:05d}.npy", (clips * 32767).astype(np.int16))
        (folder / f"captions-{number:05d}.json").write_text(json.dumps([[f"tone {i}"] for i in range(6)]))
    return folder


def tiny_run(shards: Path, out: Path, steps: int = 8) -> CodecRun:
    return CodecRun(
        data=shards,
        out=out,
        config=TINY,
        steps=steps,
        batch=2,
        seconds=SAMPLES / 32000,
        rate=3e-3,
        warm_up=2,
        quantise_from=3,
        restart_every=5,
        fit_batches=2,
        log_every=2,
        evaluate_every=100,
        lstm_from=0.75,
    )


class TestLosses:
    def test_equal_signals_cost_nothing(self) -> None:
        x = mx.array(np.stack([tone(440), tone(100)]))
        terms = SpectralLoss(32000)(x, x)
        assert {name: float(value) for name, value in terms.items()} == pytest.approx(
            dict.fromkeys(terms, 0.0), abs=1e-6
        )

    def test_a_larger_shift_of_pitch_costs_more(self) -> None:
        loss = SpectralLoss(32000)
        wanted = mx.array(tone(440)[None])
        costs = [float(loss(mx.array(tone(hz)[None]), wanted)["linear"]) for hz in (440, 450, 470, 880)]
        assert costs == sorted(costs)
        assert costs[1] > 0.05

    def test_linear_terms_see_high_harmonics_better_than_mel_bands(self) -> None:
        loss = SpectralLoss(32000)
        terms = loss(mx.array(tone(6100)[None]), mx.array(tone(6000)[None]))
        assert float(terms["linear"]) > 2 * float(terms["mel"])

    def test_gradient_of_equal_and_silent_signals_is_finite(self) -> None:
        loss = SpectralLoss(32000)
        for wanted in (mx.zeros((1, SAMPLES)), mx.array(tone(300)[None])):

            def total(x: mx.array, wanted: mx.array = wanted) -> mx.array:
                return sum(loss(x, wanted).values(), mx.array(0.0))

            for made in (wanted, mx.zeros((1, SAMPLES))):
                assert bool(mx.all(mx.isfinite(mx.grad(total)(made))))

    def test_frames_are_those_of_a_sliding_window(self) -> None:
        x = np.arange(2 * 70, dtype=np.float32).reshape(2, 70)
        want = np.lib.stride_tricks.sliding_window_view(x, 16, axis=1)[:, ::4][:, : 70 // 4 - 3]
        np.testing.assert_array_equal(np.array(frame(mx.array(x), 16, 4)), want)

    def test_every_mel_band_is_an_average(self) -> None:
        filters = mel_filterbank(2048, 32000, 64)
        assert filters.shape == (1025, 64)
        np.testing.assert_allclose(filters.sum(axis=0), 1, rtol=1e-5)


class TestQuantizer:
    embed = mx.array(np.random.default_rng(0).normal(size=(3, 8, 4)).astype(np.float32))
    z = mx.array(np.random.default_rng(1).normal(size=(2, 5, 4)).astype(np.float32))

    def test_gradient_passes_straight_through(self) -> None:
        weight = mx.array(np.random.default_rng(2).normal(size=self.z.shape).astype(np.float32))
        for books in (0, 1, 3):
            depth = mx.full((2,), books)
            gradient = mx.grad(lambda z, d=depth: (quantize(z, self.embed, d).latent * weight).sum())(self.z)
            np.testing.assert_allclose(np.array(gradient), np.array(weight), rtol=1e-6)

    def test_values_are_those_of_the_codec(self) -> None:
        model = Encodec(TINY)
        embed = mx.stack([layer.embed for layer in model.quantizer.layers])
        z = mx.random.normal((2, 5, TINY.hidden_size))
        want = model.quantizer.decode(model.quantizer.encode(z))
        made = quantize(z, embed, mx.full((2,), TINY.num_quantizers))
        np.testing.assert_allclose(np.array(made.latent), np.array(want), atol=1e-5)
        assert made.counts.sum(axis=1).tolist() == [10.0] * TINY.num_quantizers

    def test_each_item_has_its_own_depth(self) -> None:
        made = quantize(self.z, self.embed, mx.array([0, 3])).latent
        np.testing.assert_array_equal(np.array(made[0]), np.array(self.z[0]))
        full = quantize(self.z, self.embed, mx.array([3, 3])).latent
        np.testing.assert_allclose(np.array(made[1]), np.array(full[1]), atol=1e-6)
        assert float(mx.abs(full[1] - self.z[1]).max()) > 1e-3

    def test_commitment_pulls_latents_to_their_codes(self) -> None:
        def commitment(z: mx.array) -> mx.array:
            return quantize(z, self.embed[:1], mx.full((2,), 1)).commitment

        moved = self.z - 0.5 * mx.grad(commitment)(self.z)
        assert float(commitment(moved)) < float(commitment(self.z))

    def test_averages_reach_the_means_of_what_is_assigned(self) -> None:
        books = Books(self.embed, mx.ones((3, 8)), self.embed)
        counts = mx.array(np.tile([4.0] * 7 + [0.0], (3, 1)).astype(np.float32))
        sums = counts[..., None] * 2.5 * mx.ones((3, 8, 4))
        for _ in range(60):
            books = update_books(books, counts, sums, decay=0.8)
        np.testing.assert_allclose(np.array(books.embed[:, :7]), 2.5, atol=1e-3)
        np.testing.assert_allclose(np.array(books.embed[:, 7]), np.array(self.embed[:, 7]), atol=1e-5)

    def test_kmeans_finds_clusters(self) -> None:
        rng = np.random.default_rng(0)
        centres = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
        vectors = (centres[np.arange(300) % 3] + rng.normal(size=(300, 2)) * 0.1).astype(np.float32)
        found = kmeans(vectors, 6, rng, iterations=10)
        distance = np.linalg.norm(vectors[:, None] - found, axis=-1).min(axis=1)
        assert distance.mean() < 0.2

    def test_fitted_books_quantise_better_than_random_ones(self) -> None:
        vectors = np.random.default_rng(3).normal(size=(400, 4)).astype(np.float32) * 3
        fitted = fit_books(vectors, 3, 8, np.random.default_rng(0))
        errors = [
            float(quantize(mx.array(vectors)[None], embed, mx.array([3])).error)
            for embed in (self.embed, fitted.embed)
        ]
        assert errors[1] < 0.5 * errors[0]

    def test_dead_codes_move_onto_residuals_and_live_ones_stay(self) -> None:
        books = Books(self.embed, mx.ones((3, 8)), self.embed)
        dead = np.zeros((3, 8), bool)
        dead[1, [2, 5]] = True
        residuals = np.random.default_rng(4).normal(size=(3, 20, 4)).astype(np.float32)
        moved = restart_codes(books, dead, residuals, np.random.default_rng(0))
        embed = np.array(moved.embed)
        np.testing.assert_array_equal(embed[~dead], np.array(self.embed)[~dead])
        for row in embed[dead]:
            assert (row == residuals[1]).all(axis=1).any()

    def test_perplexity(self) -> None:
        usage = np.array([[5, 5, 5, 5], [9, 0, 0, 0]], np.float32)
        assert perplexity(usage) == pytest.approx([4.0, 1.0])


class TestStep:
    def test_vector_of_weights_round_trips(self) -> None:
        model, other = Encodec(TINY), Encodec(TINY)
        flat = FlatParameters(model, skip="quantizer.")
        flat.bind(other, flat.gather(model))
        want = dict(tree_flatten(model.parameters()))
        for name, value in tree_flatten(other.parameters()):
            assert name.startswith("quantizer.") or bool(mx.array_equal(value, want[name])), name

    def test_zero_lstm_is_the_identity_and_can_still_learn(self) -> None:
        lstm = LSTM(6, 1)
        x = mx.random.normal((2, 4, 6))
        assert float(mx.abs(lstm(x) - x).max()) > 1e-3
        lstm.apply(mx.zeros_like)
        np.testing.assert_array_equal(np.array(lstm(x)), np.array(x))
        trainer = CodecTrainer(TINY, StepSettings())
        state = trainer.initial_state(0)
        trainer.flat.bind(trainer.model, state["weights"])
        z = mx.random.normal((1, 10, TINY.hidden_size))
        outputs = [run_layers(trainer.model.decoder, z, lstm=flag) for flag in (False, True)]
        np.testing.assert_array_equal(np.array(outputs[0]), np.array(outputs[1]))
        audio, depth = tone(300)[None], np.array([2], np.int32)
        state, _, _ = trainer.step(state, audio, number=0, rate=1e-3, depth=depth, lstm=True)
        trainer.flat.bind(trainer.model, state["weights"])
        moved = next(layer for layer in trainer.model.decoder.layers if isinstance(layer, LSTM))
        assert float(mx.abs(moved.layers[0].weight_ih).max()) > 0

    def test_overflowing_gradient_changes_nothing(self) -> None:
        trainer = CodecTrainer(TINY, StepSettings())
        state = trainer.initial_state(0)
        audio = np.full((1, SAMPLES), np.nan, np.float32)
        new, metrics, _ = trainer.step(
            state, audio, number=0, rate=1e-3, depth=np.array([2], np.int32), lstm=False
        )
        assert float(metrics["skipped"]) == 1
        for name in ("weights", "embed", "load", "square", "average"):
            assert bool(mx.all(mx.isfinite(new[name]))), name
        np.testing.assert_array_equal(np.array(new["weights"]), np.array(state["weights"]))

    def test_tones_are_learnt(self) -> None:
        trainer = CodecTrainer(TINY, StepSettings())
        state = trainer.initial_state(0)
        audio, depth = np.stack([tone(300), tone(500)]), np.zeros(2, np.int32)
        losses = []
        for number in range(45):
            state, metrics, _ = trainer.step(state, audio, number=number, rate=1e-2, depth=depth, lstm=False)
            losses.append(float(metrics["loss"]))
        assert np.mean(losses[-5:]) < 0.3 * losses[0]


class TestRun:
    def test_going_on_gives_the_same_as_one_run(self, shards: Path, tmp_path: Path) -> None:
        whole = CodecLoop(tiny_run(shards, tmp_path / "whole"))
        whole.train()
        half = CodecLoop(tiny_run(shards, tmp_path / "half"))
        real_fraction = type(half).fraction.fget
        assert real_fraction is not None

        class Interrupted(CodecLoop):
            @property
            def fraction(self) -> float:
                if self.number == 4:
                    raise KeyboardInterrupt
                return float(real_fraction(self))

        half.__class__ = Interrupted
        half.train()
        assert half.number == 4
        rest = CodecLoop(tiny_run(shards, tmp_path / "rest"), resume=tmp_path / "half" / "state.safetensors")
        rest.train()
        assert rest.number == whole.number == 8
        for name, value in whole.state.items():
            np.testing.assert_allclose(np.array(rest.state[name]), np.array(value), atol=1e-6, err_msg=name)

    def test_checkpoint_is_a_codec_and_log_tells_of_it(self, shards: Path, tmp_path: Path) -> None:
        loop = CodecLoop(tiny_run(shards, tmp_path / "out"))
        loop.train()
        codec, config = load_codec(tmp_path / "out" / "codec.safetensors")
        assert config == TINY
        strict = Encodec(TINY)
        strict.load_weights(str(tmp_path / "out" / "codec.safetensors"), strict=True)
        audio = mx.array(loop.held)[..., None]
        made = codec.decode(codec.encode(audio))[..., 0]
        best = min(
            float(
                np.abs(
                    np.array(made) - loop.trainer.evaluate(loop.state, loop.held, averaged=a, lstm=True)[1]
                ).max()
            )
            for a in (False, True)
        )
        assert best < 1e-4
        events = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
        assert [e["step"] for e in events if "gradient" in e] == [2, 4, 6, 8]
        assert any(e.get("event") == "codebooks" for e in events)
        assert any(np.isfinite(e["snr"]) for e in events if e.get("event") == "held_out")

    def test_run_ends_on_time(self, shards: Path, tmp_path: Path) -> None:
        run = dataclasses.replace(tiny_run(shards, tmp_path / "out"), steps=None, minutes=1 / 60)
        loop = CodecLoop(run)
        loop.train()
        assert 1 <= loop.seconds < 10
        assert loop.number > 0
        assert (tmp_path / "out" / "codec.safetensors").is_file()

    def test_schedule(self, tmp_path: Path) -> None:
        run, resume = parse(["--data", "a", "--out", "b", "--minutes", "2", "--toy"])
        assert resume is None
        assert run.samples % run.config.hop_length == 0
        assert run.learning_rate(0, 0) < 0.1 * run.rate
        assert run.learning_rate(10**6, 0) == pytest.approx(run.rate)
        assert run.learning_rate(10**6, 1) == pytest.approx(run.final_rate)
        assert run.depth(run.quantise_from - 1).max() == 0
        assert run.depth(run.quantise_from).min() == run.config.num_quantizers
        assert [run.waveform_weight(f) for f in (0.0, 0.5, 1.0, 1.1)] == [30.0, 20.0, 10.0, 10.0]
        shallow = dataclasses.replace(run, shallow=0.5, batch=100).depth(run.quantise_from)
        assert 20 < (shallow < run.config.num_quantizers).sum() < 80

    def test_unusable_files_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "x.safetensors").write_bytes(b"no")
        with pytest.raises(CheckpointError, match=r"x\.safetensors"):
            load_codec(tmp_path / "x.safetensors")
        with pytest.raises(CheckpointError, match=r"none\.safetensors"):
            load_state(tmp_path / "none.safetensors")


class TestData:
    def test_batches_are_repeatable_and_quieter_than_the_clips(self, shards: Path) -> None:
        source = SegmentSource(shards, batch=16, samples=3200, seed=1)
        np.testing.assert_array_equal(source.batch(3), source.batch(3))
        peaks = np.abs(source.batch(3)).max(axis=1)
        assert not np.array_equal(source.batch(3), source.batch(4))
        assert 0.09 < peaks.min() < peaks.max() <= 0.5
        assert peaks.max() / peaks.min() > 1.5

    def test_held_out_clip_is_never_drawn(self, shards: Path) -> None:
        pcm = np.zeros((6, 9600), np.int16)
        pcm[-1] = 1000
        np.save(shards / "pcm-00000.npy", pcm)
        np.save(shards / "pcm-00001.npy", pcm * 0)
        source = SegmentSource(shards, batch=64, samples=640, seed=0)
        assert all(np.abs(source.batch(i)).max() == 0 for i in range(10))
        assert np.abs(source.held_out()).min() > 0

    def test_new_shards_join(self, shards: Path) -> None:
        source = SegmentSource(shards, batch=2, samples=640, seed=0)
        assert source.clips == 12
        np.save(shards / "pcm-00002.npy", np.zeros((3, 9600), np.int16))
        source._rescan()
        assert source.clips == 15

    def test_prefetcher_gives_the_steps_in_order_and_raises_what_failed(self, shards: Path) -> None:
        source = SegmentSource(shards, batch=2, samples=640, seed=0)
        ahead = Prefetcher(source, 5)
        for step in (5, 6, 7):
            np.testing.assert_array_equal(ahead.next(), source.batch(step))
        ahead.close()
        broken = Prefetcher(source, -1)
        with pytest.raises(ValueError, match="negative"):
            broken.next()
        broken.close()

    def test_no_shard(self, tmp_path: Path) -> None:
        with pytest.raises(AudioError, match="No shard"):
            SegmentSource(tmp_path, batch=1, samples=640, seed=0, patience=0.0)

    def test_encoding_a_folder(self, shards: Path, tmp_path: Path) -> None:
        codec = Encodec(TINY)
        save_codec(tmp_path / "codec.safetensors", codec, TINY)
        loaded, _ = load_codec(tmp_path / "codec.safetensors")
        codes, captions = encode_folder(loaded, shards, batch=4)
        assert codes.shape == (12, TINY.num_quantizers, 15)
        assert codes.dtype == np.int16
        assert captions[7] == ["tone 1"]
        pcm = np.load(shards / "pcm-00001.npy")
        alone = codec.encode(mx.array(pcm[5:6].astype(np.float32) / 32768)[..., None])
        assert (np.array(alone)[0] == codes[11]).mean() > 0.95
        assert encode_clips(codec, pcm[:1], batch=4).shape[0] == 1
        write_encoded(tmp_path / "codes", codes, captions)
        np.testing.assert_array_equal(np.load(tmp_path / "codes" / "codes.npy"), codes)

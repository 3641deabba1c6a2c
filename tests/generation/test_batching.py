"""Batches sized by memory: the estimate against what clips take, and who is made with whom."""

from __future__ import annotations

from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest

from generation import batching
from generation.backend import CPU_ROW_TILE
from generation.batching import batch_for, batch_limit, device_memory, groups
from generation.config import DecoderConfig, MelodyConfig, MusicGenConfig
from generation.decoder import MusicGenDecoder, TextMemory
from generation.musicgen import MusicGen

GB = 1 << 30
SMALL = MusicGenConfig.tiny()
SMALL = replace(
    SMALL,
    decoder=DecoderConfig(),
    audio_encoder=replace(SMALL.audio_encoder, codebook_size=2048, target_bandwidths=(2.2,)),
)
LARGE = replace(
    SMALL,
    decoder=replace(
        SMALL.decoder, hidden_size=2048, num_hidden_layers=48, num_attention_heads=32, ffn_dim=8192
    ),
)


def test_known_geometries() -> None:
    """As docs/batches.md tells: 0.1 and 0.4 GB a clip of ten seconds in 16 bits."""
    assert 8 * GB // batch_for(SMALL, 10, 8 * GB) == pytest.approx(0.11 * GB, rel=0.15)
    assert 40 * GB // batch_for(LARGE, 10, 40 * GB) == pytest.approx(0.43 * GB, rel=0.15)


def test_more_of_everything_is_fewer_clips() -> None:
    here = batch_for(SMALL, 10, 8 * GB)
    assert batch_for(SMALL, 10, 16 * GB) in (2 * here, 2 * here + 1)
    assert batch_for(SMALL, 10, 8 * GB, guided=False) in (2 * here, 2 * here + 1)
    assert batch_for(SMALL, 10, 8 * GB, itemsize=4) == pytest.approx(here / 2, rel=0.1)
    assert batch_for(SMALL, 25, 8 * GB) < here
    assert batch_for(LARGE, 10, 8 * GB) < here / 3
    assert batch_for(replace(SMALL, melody=MelodyConfig()), 10, 8 * GB) < here
    # Past its window a model sees no more, but reads 12 seconds at once.
    assert batch_for(SMALL, 31, 8 * GB) == batch_for(SMALL, 600, 8 * GB) < batch_for(SMALL, 30, 8 * GB)
    assert batch_for(LARGE, 30, 0) == batch_for(LARGE, 30, -GB) == 1


def test_the_estimate_covers_what_the_caches_take() -> None:
    """The keys and values of two rows for ten seconds, as the decoder makes them, are most of a clip's estimate."""
    config = replace(SMALL, decoder=replace(SMALL.decoder, num_hidden_layers=2))
    decoder = MusicGenDecoder(config.decoder, 16)
    decoder.set_dtype(mx.float16)
    mx.eval(decoder.parameters())
    cache = decoder.new_cache()
    before = mx.get_active_memory()
    for layer in cache:
        some = mx.zeros((2, 16, 503, 64), mx.float16)
        mx.eval(layer.extend(some, some))
    del some
    taken = mx.get_active_memory() - before
    estimated = 8 * GB / batch_for(config, 10, 8 * GB)
    assert taken < estimated < 2 * taken


def test_the_estimate_covers_the_text_that_the_cpu_merges(
    tiny_model: MusicGen, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tiny_model.backend != "cpu":
        pytest.skip("only there it is merged")
    remember, memories = MusicGenDecoder.remember, list[TextMemory]()

    def remembering(decoder: MusicGenDecoder, memory: TextMemory) -> TextMemory:
        memories.append(remember(decoder, memory))
        return memories[-1]

    monkeypatch.setattr(MusicGenDecoder, "remember", remembering)
    tiny_model.compose(["calm"], seeds=[1], max_steps=8)
    config, lots = tiny_model.config, 1 << 60
    words = memories[0].layers[0][0].shape[2]
    most = config.decoder.head_dim // 2
    taken = sum(part.nbytes for layer in memories[0].merged for part in layer)
    assert len(memories[0].merged) == config.decoder.num_hidden_layers
    plain, merged = (lots / batch_for(config, 1, lots, itemsize=4, merged=m) for m in (False, True))
    assert merged - plain == pytest.approx(taken * most / words, rel=1e-3)
    melody = replace(config, melody=MelodyConfig())
    assert batch_for(melody, 1, lots, merged=True) == batch_for(melody, 1, lots)


def test_on_the_float32_cpu_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "device_memory", lambda: 2 * GB)
    monkeypatch.setattr(mx, "get_active_memory", lambda: 0)
    room = int(0.7 * 2 * GB)
    assert [batch_for(LARGE, 5, room, itemsize=4, merged=merged) for merged in (False, True)] == [2, 1]
    assert batch_limit([(LARGE, "float32")], 5, backend="cpu", guided=True) == 1
    assert batch_limit([(LARGE, "float16")], 5, backend="cpu", guided=True) == 4


@pytest.mark.parametrize(("guided", "rows"), [(True, CPU_ROW_TILE // 2), (False, CPU_ROW_TILE)])
def test_on_a_cpu_one_row_tile_is_filled(guided: bool, rows: int) -> None:
    assert batch_limit([(MusicGenConfig.tiny(), "float32")], 10, backend="cpu", guided=guided) == rows


def test_little_memory_is_shared_by_few(monkeypatch: pytest.MonkeyPatch) -> None:
    def limit(memory: float, backend: str = "cuda") -> int:
        monkeypatch.setattr(batching, "device_memory", lambda: int(memory * GB))
        return batch_limit([(LARGE, "float16")], 30, backend=backend, guided=True)

    assert limit(0.5) == 1
    assert 1 < limit(12) < limit(40) < limit(140) <= 256
    assert limit(2_000) == 256
    assert limit(2_000, "metal") == 32
    assert limit(5, "cpu") < 4


def test_this_machine_has_memory() -> None:
    assert device_memory() > GB


def test_groups() -> None:
    assert groups([()] * 5, 2) == [[0, 1], [2, 3], [4]]
    assert groups([(3,), (1,), (3,), (1,), (1,)], 2) == [[1, 3], [4], [0, 2]]
    assert groups([(0, 1)], 8) == [[0]]
    assert groups([(1, 2), (1, 1), (1, 2)], 8) == [[1], [0, 2]]


def test_the_model_asks_for_its_batches(tiny_model: MusicGen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "device_memory", lambda: 0)
    made = tiny_model.compose(["calm", "dark", "calm"], seeds=[1, 2, 3], max_steps=8)
    assert [clip.batch_size for clip in made] == [1, 1, 1]
    monkeypatch.undo()
    together = tiny_model.compose(["calm", "dark", "calm"], seeds=[1, 2, 3], max_steps=8)
    assert [clip.batch_size for clip in together] == [3, 3, 3]
    for one, other in zip(made, together, strict=True):
        np.testing.assert_array_equal(one.codes, other.codes)
    assert tiny_model.batch_limit(1.0, guidance=1.0) == CPU_ROW_TILE
    assert tiny_model.batch_limit(1.0) == CPU_ROW_TILE // 2

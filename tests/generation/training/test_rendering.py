"""The renderer: seeded, sounding, and true to what was chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.errors import InvalidRequestError
from generation.training.starter import drums, instruments, mix, theory
from generation.training.starter.attributes import BACKINGS, LEADS, TEMPO_RANGES, choose_attributes
from generation.training.starter.instruments import INSTRUMENTS, SAMPLING_RATE, midi_to_hz, synthesise_note
from generation.training.starter.measure import spectral_centroid
from generation.training.starter.melodies import render_melody
from generation.training.starter.piece import compose
from generation.training.starter.recipes import GENRES
from generation.training.starter.render import render_clip, render_piece


def test_a_seed_always_gives_the_same_clip() -> None:
    """Also when nothing is cached, as in another process."""
    first = render_clip(11, seconds=2.0)
    for cache in (instruments._wavetable, instruments._clock, drums.synthesise_drum, mix._room_spectrum):
        cache.cache_clear()
    render_clip(12, seconds=2.0)
    again = render_clip(11, seconds=2.0)
    np.testing.assert_array_equal(first.audio, again.audio)
    assert (first.caption, first.attributes) == (again.caption, again.attributes)
    assert not np.array_equal(first.audio, render_clip(12, seconds=2.0).audio)


def test_clips_are_sound_from_the_first_50_ms() -> None:
    for seed in range(40):
        audio = render_clip(seed, seconds=1.5).audio
        assert audio.dtype == np.float32
        assert audio.shape == (48_000,)
        assert np.isfinite(audio).all()
        assert np.abs(audio).max() <= 0.9
        level = np.sqrt(np.mean(audio**2))
        assert level > 0.03, seed
        assert np.sqrt(np.mean(audio[:1600] ** 2)) > 0.1 * level, seed
        # No silence of half a second anywhere.
        assert np.sqrt(np.mean(audio.reshape(3, -1) ** 2, axis=1)).min() > 0.05 * level, seed


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), seconds=st.floats(0.1, 1.2))
def test_any_seed_and_length_renders(seed: int, seconds: float) -> None:
    audio = render_clip(seed, seconds=seconds).audio
    assert len(audio) == round(seconds * SAMPLING_RATE)
    assert np.isfinite(audio).all()
    assert 0.1 < np.abs(audio).max() <= 0.9


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_no_length_is_refused(seconds: float) -> None:
    with pytest.raises(InvalidRequestError, match="seconds"):
        render_clip(0, seconds=seconds)


@pytest.mark.parametrize("name", sorted(INSTRUMENTS))
def test_every_instrument_plays_the_note_it_is_asked_for(name: str) -> None:
    """The strongest line of the spectrum is a harmonic of the note, within 15 cents."""
    for midi in (INSTRUMENTS[name].centre - 7, INSTRUMENTS[name].centre + 5):
        wave = synthesise_note(name, midi, 1.0)
        assert np.isfinite(wave).all()
        spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 2**18))
        spectrum[:400] = 0  # below 49 Hz
        strongest = np.argmax(spectrum) * SAMPLING_RATE / 2**18
        harmonic = max(1, round(strongest / midi_to_hz(midi)))
        assert abs(1200 * np.log2(strongest / (harmonic * midi_to_hz(midi)))) < 15


def test_brighter_tones_have_more_highs() -> None:
    for name, instrument in INSTRUMENTS.items():
        notes = [synthesise_note(name, instrument.centre, 1.0, tone) for tone in range(3)]
        centroids = [spectral_centroid(note, SAMPLING_RATE) for note in notes]
        assert centroids[0] < centroids[1] < centroids[2], name


def test_high_notes_do_not_alias() -> None:
    wave = synthesise_note("square lead", 96, 1.0, 2)[:SAMPLING_RATE]
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    frequencies = np.arange(len(spectrum))
    harmonics = np.round(frequencies / midi_to_hz(96)) * midi_to_hz(96)
    between = np.abs(frequencies - harmonics) > 40
    assert spectrum[between].sum() < 1e-3 * spectrum.sum()


def test_attributes_agree_with_each_other() -> None:
    calm: list[str] = []
    for seed in range(2000):
        piece = choose_attributes(np.random.default_rng(seed))
        low, high = TEMPO_RANGES[piece.pace]
        assert low <= piece.tempo_bpm <= high
        assert (piece.kit is None) == (piece.drums == "none")
        assert piece.lead is not None or piece.backing is not None
        assert set(piece.instruments) <= set(INSTRUMENTS)
        assert piece.mood != "dark" or piece.tone == "dark"
        assert not (piece.mood == "calm" and piece.pace == "fast")
        calm += [piece.drums] if piece.mood == "calm" else []
    # Only against the grain, where a caption says so.
    assert 0 < calm.count("heavy") < 0.12 * len(calm)


def test_every_style_comes_without_drums_too() -> None:
    """Or "no drums" would mean nothing under techno."""
    pieces = [choose_attributes(np.random.default_rng([seed, 0])) for seed in range(4000)]
    for genre in GENRES:
        drums = [piece.drums for piece in pieces if piece.genre == genre]
        assert drums.count("none") > 0.1 * len(drums), genre


def test_words_are_not_tied_to_styles() -> None:
    """Each pace, tone and kind of drums is common, and rock also comes without drums."""
    pieces = [choose_attributes(np.random.default_rng(seed)) for seed in range(4000)]
    for field in ("pace", "tone", "drums"):
        values = [getattr(piece, field) for piece in pieces]
        assert min(values.count(value) for value in set(values)) > 800
    for genre in ("rock", "techno", "pop"):
        assert any(piece.genre == genre and piece.drums == "none" for piece in pieces)
    for lead in set(LEADS) | set(BACKINGS):
        paces = {piece.pace for piece in pieces if lead in piece.instruments}
        assert paces == {"slow", "medium", "fast"}, lead


def test_scores_hold_only_what_was_chosen() -> None:
    for seed in range(60):
        piece = choose_attributes(np.random.default_rng(seed))
        score = compose(piece, np.random.default_rng(seed), 4.0)
        assert {part.instrument for part in score.parts} == set(piece.instruments)
        assert bool(score.hits) == (piece.drums != "none")
        for part in score.parts:
            assert part.notes
            assert all(
                0 <= note.start < 4.0 and note.duration > 0 and 24 <= note.midi <= 108 for note in part.notes
            )
        assert min(note.start for part in score.parts for note in part.notes) < 0.05


def test_notes_are_of_the_key() -> None:
    for seed in range(40):
        piece = replace(choose_attributes(np.random.default_rng(seed)), mode="major", genre=None)
        score = compose(piece, np.random.default_rng(seed), 4.0)
        allowed = {theory.scale_pitch(piece.tonic, "major", step) % 12 for step in range(7)}
        walking = {piece.bass}
        heard = {
            note.midi % 12 for part in score.parts if part.instrument not in walking for note in part.notes
        }
        assert heard <= allowed


def test_other_pace_gives_other_music_of_the_same_piece() -> None:
    piece = replace(choose_attributes(np.random.default_rng(5)), pace="slow", tempo_bpm=60, genre=None)
    quick = replace(piece, pace="fast", tempo_bpm=150)
    assert not np.array_equal(render_piece(piece, 5, seconds=2.0), render_piece(quick, 5, seconds=2.0))


@given(
    tonic=st.integers(0, 11),
    mode=st.sampled_from(["major", "minor"]),
    degrees=st.lists(st.integers(0, 6), min_size=2, max_size=8),
    centre=st.integers(48, 72),
    seventh=st.booleans(),
)
def test_voices_move_little(tonic: int, mode: str, degrees: list[int], centre: int, seventh: bool) -> None:
    previous: tuple[int, ...] | None = None
    for degree in degrees:
        chord = theory.chord_pitch_classes(tonic, mode, degree, seventh=seventh)
        voiced = theory.voice_chord(chord, previous, centre)
        assert {pitch % 12 for pitch in voiced} == set(chord)
        assert list(voiced) == sorted(set(voiced))
        assert abs(np.mean(voiced) - centre) <= 12
        if previous is not None:
            assert max(abs(a - b) for a, b in zip(voiced, previous, strict=True)) <= 7
        previous = voiced


def test_the_nearest_inversion_is_taken() -> None:
    """C E G goes to B D G: one note stays, two move by a semitone and by a tone."""
    tonic = theory.chord_pitch_classes(0, "major", 0)
    dominant = theory.chord_pitch_classes(0, "major", 4)
    assert theory.voice_chord(dominant, (60, 64, 67), 60) == (59, 62, 67)
    assert theory.voice_chord(tonic, (59, 62, 67), 60) == (60, 64, 67)


def test_melodies_play_their_notes() -> None:
    melody = render_melody(3, seconds=3.0, instrument="flute")
    np.testing.assert_array_equal(melody.audio, render_melody(3, seconds=3.0, instrument="flute").audio)
    assert abs(sum(note.duration for note in melody.notes) - 3.0) < 0.2
    for note in melody.notes:
        begin = int((note.start + 0.06) * SAMPLING_RATE)
        wave = melody.audio[begin : int((note.start + note.duration - 0.02) * SAMPLING_RATE)]
        spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 2**18))
        heard = np.argmax(spectrum) * SAMPLING_RATE / 2**18
        assert abs(1200 * np.log2(heard / midi_to_hz(note.midi))) < 30

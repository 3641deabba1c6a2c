"""A clip in which somebody speaks is found by what is said, with the small Whisper that the project ships."""

from __future__ import annotations

from pathlib import Path

import pytest
from library_files import clips_of

from audiolib import AudioLibrary

# Importing mlx_whisper brings numba and others, whose warnings are not ours.
pytestmark = pytest.mark.filterwarnings("default:::numba", "default:::mlx_whisper", "default:::tiktoken")

# Made by `python -m indexing.training.speech "the happy dog sleeps near the river"`.
SPOKEN = Path(__file__).parent / "data" / "spoken.flac"
MODEL = Path(__file__).parents[2] / "mlx-models" / "whisper-words"


@pytest.mark.slow
def test_a_spoken_clip_is_found_by_what_it_says(stocked: AudioLibrary) -> None:
    spoken = stocked.add(SPOKEN, title="untitled")
    assert not stocked.search("dog", mode="keyword")
    report = stocked.transcribe(whisper=str(MODEL))
    assert (report.transcribed, report.pending) == (4, 0)
    clip = stocked.get(spoken.id)
    assert clip.transcript is not None
    assert {"happy", "dog", "river"} <= set(clip.transcript.split())
    assert clip.language == "en"
    for words in ("dog sleeps", '"happy dog"', "river"):
        assert [hit.clip.id for hit in stocked.search(words, mode="keyword")] == [spoken.id]
    music = [c for c in clips_of(stocked, "slow piano") if c.id != spoken.id]
    stocked.transcribe(whisper=str(MODEL), ids=[c.id for c in music])
    assert all(stocked.get(c.id).transcript == "" for c in music)

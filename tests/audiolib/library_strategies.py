"""Hypothesis strategies for the library's values."""

from pathlib import Path

from hypothesis import strategies as st

from audiolib.clip import Clip, Recipe

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
finite = st.floats(allow_nan=False, allow_infinity=False)
maybe_text = st.none() | texts
ids = st.from_regex(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", fullmatch=True)

recipes = st.builds(
    Recipe,
    prompt=texts,
    model=texts,
    weights_digest=texts,
    seed=st.integers(0, 2**63 - 1),
    temperature=finite,
    top_k=st.integers(0, 2048),
    top_p=finite,
    guidance=finite,
    steps=st.integers(4, 1503),
    duration=st.none() | finite,
    batch_size=st.integers(1, 64),
    backend=texts,
    dtype=texts,
    audiolib_version=texts,
    parent_id=st.none() | ids,
)

clips = st.builds(
    Clip,
    id=ids,
    path=st.from_regex(r"/[a-z0-9 äß/]{1,20}\.wav", fullmatch=True).map(Path),
    prompt=maybe_text,
    title=texts,
    model=maybe_text,
    seed=st.none() | st.integers(0, 2**63 - 1),
    duration=finite,
    sample_rate=st.integers(1, 192_000),
    channels=st.integers(1, 2),
    tags=st.lists(texts, max_size=3).map(tuple),
    rating=st.none() | st.integers(1, 5),
    created_at=texts,
    kind=st.sampled_from(["generated", "imported"]),
    parent_id=st.none() | ids,
    transcript=maybe_text,
    language=maybe_text,
    tempo_bpm=st.none() | finite,
    key=maybe_text,
    loudness_lufs=st.none() | finite,
    brightness_hz=st.none() | finite,
    energy=st.none() | finite,
    onset_density=st.none() | finite,
    percussive_share=st.none() | finite,
    sha256=texts,
    audio_sha256=texts,
    license=maybe_text,
)

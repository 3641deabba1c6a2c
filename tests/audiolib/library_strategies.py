"""Hypothesis strategies for the library's values."""

from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st

from audiolib.clip import Clip, Recipe

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
finite = st.floats(allow_nan=False, allow_infinity=False)
maybe_text = st.none() | texts
ids = st.from_regex(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", fullmatch=True)

several = st.lists(st.tuples(texts, finite, texts), max_size=3)
plain_recipes = st.builds(
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
recipes = st.builds(
    lambda recipe, models, **conditions: replace(
        recipe,
        models=tuple(name for name, _, _ in models),
        model_weights=tuple(weight for _, weight, _ in models),
        model_digests=tuple(digest for _, _, digest in models),
        **conditions,
    ),
    recipe=plain_recipes,
    models=several,
    bits=st.sampled_from([None, 4, 8]),
    continued_from=maybe_text,
    given_frames=st.integers(0, 30_000),
    melody_from=maybe_text,
    context=st.none() | finite,
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

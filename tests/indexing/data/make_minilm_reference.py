"""Makes minilm_reference.npz with sentence-transformers; run it from anywhere: `python make_minilm_reference.py`."""

from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from indexing.embed import _find_minilm

TEXTS = [
    "quiet keyboard melody",
    "",
    "Ein ruhiges Klavierstück, très doux, 静かなピアノ",
    "🎹🎶 lo-fi beats to study to 😌",
    "120 BPM, 4/4, A minor, -14 LUFS, 3.50 minutes",
    "x' OR '1'='1'; DROP TABLE clips; --\n\t\"quoted\"",
    "The drums come in after the second chorus and the bass follows them. " * 40,
    "supercalifragilisticexpialidociousness" * 5,
]

model = SentenceTransformer(str(_find_minilm([])), device="cpu")
vectors = model.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
np.savez_compressed(
    Path(__file__).with_name("minilm_reference.npz"),
    texts=np.array(TEXTS),
    vectors=vectors.astype(np.float32),
)

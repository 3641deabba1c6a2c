"""Finding clips by words: captions, questions, and figures for every search mode."""

"""How well clips are found: seeded questions with known answers, run by `python -m indexing.evaluation`."""

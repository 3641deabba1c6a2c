"""Measures the index: how fast rows go in, how fast and how exactly they are found again."""

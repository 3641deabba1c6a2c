"""Training of a small MusicGen: codec, text encoder and decoder, on encoded clips."""

from generation import backend

backend.prepare()  # MLX binds its matrix library when it is imported, so the faster one must be there before

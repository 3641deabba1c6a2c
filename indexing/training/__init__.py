"""Training the small Whisper: speech synthesis, corpus, training, assembling and judging (docs/transcription.md)."""

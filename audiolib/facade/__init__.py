"""The parts of `AudioLibrary`, one a concern; `audiolib.library` puts them together."""

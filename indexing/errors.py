"""What can go wrong in this package.

IndexingError
├── EmbedderUnavailableError     no weights for an embedder on this machine, or unusable ones
├── EmbedderMismatchError        vectors of another embedder than the table's
├── IndexDamagedError            the table cannot be read
├── InvalidQueryError            (also ValueError) what is looked for makes no sense
└── TranscriberUnavailableError  no Whisper model on this machine, or an unusable one
"""


class IndexingError(Exception):
    """Base of every error that this package raises on purpose."""


class EmbedderUnavailableError(IndexingError):
    """The embedder's weights or tokenizer are missing, damaged or not what they should be."""


class EmbedderMismatchError(IndexingError):
    """Vectors were made with another embedder than those of the table."""


class IndexDamagedError(IndexingError):
    """The table exists and cannot be read; it is derived, so it can be rebuilt."""


class InvalidQueryError(IndexingError, ValueError):
    """What is looked for makes no sense: no range, no key, no date, an unknown mode."""


class TranscriberUnavailableError(IndexingError):
    """There is no usable Whisper model on this machine."""

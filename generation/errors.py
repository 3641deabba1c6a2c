"""Errors of the generation package: one tree, each message one clear sentence with the way out."""


class GenerationError(Exception):
    """Base of every error that `generation` raises on purpose."""


class ModelNotFoundError(GenerationError):
    """No checkpoint of that name is on this machine; the message says how to get it."""


class CheckpointError(GenerationError):
    """A checkpoint cannot be used: a tensor is missing, unexpected or misshapen, or its config is unreadable."""


class InvalidRequestError(GenerationError, ValueError):
    """What was asked for cannot be done: an empty batch, a negative duration, a `top_p` above one."""


class AudioError(GenerationError):
    """Audio that cannot be read or written, or that is not finite."""


class DownloadError(GenerationError):
    """A checkpoint could not be downloaded."""

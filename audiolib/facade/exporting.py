"""Clips that leave as a data set or a playlist."""

from audiolib.facade.base import LibraryBase


class Exporting(LibraryBase):
    """Copies for other programs."""

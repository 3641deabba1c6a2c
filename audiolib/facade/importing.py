"""Clips that come from elsewhere."""

from audiolib.facade.base import LibraryBase


class Importing(LibraryBase):
    """Audio of one's own, taken in."""

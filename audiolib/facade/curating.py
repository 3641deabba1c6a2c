"""What people say of clips: tags and ratings; and clips that go."""

from audiolib.facade.base import LibraryBase


class Curating(LibraryBase):
    """Clips labelled, rated, removed and brought back."""

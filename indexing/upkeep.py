"""The table kept fast: its full text index, small files, old versions."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lancedb.index import FTS
    from lancedb.table import Table


def text_index() -> "FTS":
    """How documents are cut into words: positions, so that phrases can be found."""
    from lancedb.index import FTS

    return FTS(with_position=True, stem=True, remove_stop_words=False, ascii_folding=True)


def furnish(table: "Table") -> None:
    """Gives a table its full text index; made while empty it costs nothing, and new rows are found at once."""
    if not any(index.columns == ["document"] for index in table.list_indices()):
        table.create_index("document", config=text_index())

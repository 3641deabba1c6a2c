"""What rows must be like, in the words of the table they are looked for in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, TypeAlias

from indexing import labels

if TYPE_CHECKING:
    from lancedb.expr import Expr
    from lancedb.table import Table


Where: TypeAlias = "Condition | Expr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """An expression and labels that must all be true of a row.

    Attributes:
        plain: The expression; None asks for nothing.
        labels: The labels, each with an expression over other columns that says the same.
    """

    plain: "Expr | None" = None
    labels: "Mapping[str, Expr]" = field(default_factory=dict)

    def __and__(self, other: "Expr") -> "Condition":
        """The same, and an expression."""
        plain = other if self.plain is None else self.plain & other
        return Condition(plain=plain, labels=self.labels)

    def on(self, table: "Table") -> "Expr | str | None":
        """What LanceDB's `where` takes: labels by their index, or where the table has none yet row by row.

        LanceDB's expressions know no lists, and joined with SQL they become SQL as well.
        """
        if not self.labels or not _labelled(table):
            terms = [*([] if self.plain is None else [self.plain]), *self.labels.values()]
            return reduce(and_, terms) if terms else None
        parts = [f"array_has({labels.COLUMN}, {text(label).to_sql()})" for label in self.labels]
        parts += [] if self.plain is None else [f"({self.plain.to_sql()})"]
        return " AND ".join(parts)


def text(value: str) -> "Expr":
    """A text as a literal that stays what it is when LanceDB writes the expression as SQL.

    It doubles a quote, but not behind a backslash or another quote, which it takes for an escape
    (`EscapeQuotedString` of sqlparser); so these stand alone.
    """
    from lancedb.expr import func, lit

    parts = re.split(r"(['\\])", value)
    return lit(value) if len(parts) == 1 else func("concat", *map(lit, parts))


def resolved(where: "Where | None", table: "Table") -> "Expr | str | None":
    """What LanceDB's `where` takes for a condition or an expression."""
    return where.on(table) if isinstance(where, Condition) else where


def _labelled(table: "Table") -> bool:
    """Whether the table's labels can be relied on: they are indexed last, when all rows have theirs."""
    return any(index.columns == [labels.COLUMN] for index in table.list_indices())

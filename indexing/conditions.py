"""What rows must be like, in the words of the table they are looked for in."""

import re
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, TypeAlias

from indexing import buckets, facets

if TYPE_CHECKING:
    from lancedb.expr import Expr
    from lancedb.table import Table


Where: TypeAlias = "Condition | Expr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faceted:
    """What rows must be like, said twice.

    Attributes:
        plain: As an expression over ordinary columns.
        facets: Rows with one of these are like it,
        rest: and so are those that this is true of; None: no others.
    """

    plain: "Expr"
    facets: tuple[str, ...]
    rest: "Expr | None" = None

    def sql(self) -> str:
        """In the words of a table with facets."""
        if not self.facets:
            return f"({self.plain.to_sql()})"
        names = ", ".join(text(name).to_sql() for name in self.facets)
        found = f"array_has_any({facets.COLUMN}, [{names}])"
        return found if self.rest is None else f"({found} OR ({self.rest.to_sql()}))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What must all be true of a row.

    Attributes:
        plain: An expression; None asks for nothing.
        faceted: What facets tell.
    """

    plain: "Expr | None" = None
    faceted: tuple[Faceted, ...] = ()

    def __and__(self, other: "Condition") -> "Condition":
        """What is true of a row when both are."""
        plain = [some for some in (self.plain, other.plain) if some is not None]
        return Condition(plain=reduce(and_, plain) if plain else None, faceted=self.faceted + other.faceted)

    def on(self, table: "Table") -> "Expr | str | None":
        """What LanceDB's `where` takes: facets by their index, or where the table has none yet row by row.

        LanceDB's expressions know no lists, and joined with SQL they become SQL as well.
        """
        plain = [] if self.plain is None else [self.plain]
        if not self.faceted or not _has_facets(table):
            terms = [*plain, *(some.plain for some in self.faceted)]
            return reduce(and_, terms) if terms else None
        return " AND ".join([*(some.sql() for some in self.faceted), *(f"({p.to_sql()})" for p in plain)])


def has_tag(tag: str) -> Faceted:
    """Rows with a tag: all of a row's stand in one text beside the list."""
    from lancedb.expr import col

    plain = col("tag_text").contains(text(facets.tag_needle(tag)))
    return Faceted(plain=plain, facets=(facets.of_tag(tag),))


def has_model(name: str) -> Faceted:
    """Rows whose model has a name, as `facets.model_names` has them."""
    from lancedb.expr import col, func, lit

    plain = col("model") == text(name)
    if "/" not in name:
        last = func("concat", col("model"), lit("\n")).contains(text(f"/{name}\n"))
        plain = plain | (last & ~col("model").contains(lit("\n")))
    return Faceted(plain=plain, facets=(facets.of_model(name),))


def within(column: str, low: float, high: float) -> Faceted:
    """Rows with a number from `low` to `high` in a column of `buckets.SCALES`; ends are included, maybe infinite."""
    from lancedb.expr import col, lit

    def expression(ends: tuple[float, float]) -> "Expr":
        # A `>=` alone would let NaN through, which Arrow sorts above every number; so both ends are asked for.
        return (col(column) >= lit(ends[0])) & (col(column) <= lit(ends[1]))

    cover = buckets.SCALES[column].cover(low, high)
    rest = reduce(or_, map(expression, cover.rest)) if cover.rest else None
    return Faceted(plain=expression((low, high)), facets=cover.buckets, rest=rest)


def made(since: str | None, before: str | None) -> Faceted:
    """Rows made from one moment on and before another, ISO 8601 without a zone; at most one is None."""
    from lancedb.expr import col, lit

    def expression(ends: tuple[str | None, str | None]) -> "Expr":
        terms = [] if ends[0] is None else [col(buckets.MOMENT) >= lit(ends[0])]
        return reduce(and_, [*terms, *([] if ends[1] is None else [col(buckets.MOMENT) < lit(ends[1])])])

    cover = buckets.cover_moments(since, before)
    rest = reduce(or_, map(expression, cover.rest)) if cover.rest else None
    return Faceted(plain=expression((since, before)), facets=cover.buckets, rest=rest)


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


def _has_facets(table: "Table") -> bool:
    """Whether the table's facets can be relied on: they are indexed last, when all rows have theirs."""
    return any(index.columns == [facets.COLUMN] for index in table.list_indices())

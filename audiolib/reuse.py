"""A stored clip in place of a new one: nothing is made twice, also not by two processes at once."""

import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from audiolib.catalogue import Catalogue
from audiolib.clip import Clip, Recipe
from audiolib.errors import InvalidInputError, LibraryBusyError, LibraryError
from audiolib.folder import LibraryFolder, read_holder, write_holder
from audiolib.requests import DEFAULT_DURATION, GenerationRequest, seconds_of
from audiolib.sidecars import Sidecar, read_sidecar
from generation.finish import AS_IT_IS

if TYPE_CHECKING:
    from indexing.conditions import Condition
    from indexing.filters import Filters

REUSE_SCORE: Final = 0.95
"""Scores of true paraphrases end at 0.66 and "loud piano" reaches 0.75 for "calm piano": only near 1 is the same."""

_SAME_LENGTH: Final = 0.01  # seconds: half a codec frame
_PADDING: Final = 0.5  # seconds that a lossy format may add to what was asked for
_CANDIDATES: Final = 50
_PATIENCE: Final = 3_600.0  # seconds: making a clip takes its time, and it is what we want
_SAMPLING: Final = ("seed", "temperature", "top_k", "top_p", "guidance", "dtype", "bits")
_PUNCTUATION: Final = ".,;:!?\"'\u2026\u2018\u2019\u201c\u201d\u201e"  # around a word it says nothing
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReusedOrMade:
    """A clip that was asked for.

    Attributes:
        clip: The clip.
        score: max(0, cosine similarity) of its prompt to the one asked for; `None` where it was made.
    """

    clip: Clip
    score: float | None

    @property
    def reused(self) -> bool:
        """Whether it was there already."""
        return self.score is not None

    def to_json(self) -> dict[str, Any]:
        """Return the clip's JSON object with `reused` and `score` added."""
        return {**self.clip.to_json(), "reused": self.reused, "score": self.score}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a clip must be like to be used in place of a new one.

    Attributes:
        request: What is asked for, as it was typed: a clip must have been made with every value that is not `None`.
        prompt: The request's prompt, cleaned.
        model_id: The model that would make it.
        min_score: How near the clip's prompt must be, 0 to 1.
        audio_format: A format it must have; any when `None`.
        filters: What else it must be like.
    """

    request: GenerationRequest
    prompt: str
    model_id: str
    min_score: float = REUSE_SCORE
    audio_format: str | None = None
    filters: "Filters | None" = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1:  # NaN is neither
            raise InvalidInputError(
                f"A score of {self.min_score:g} makes no sense. Use a number from 0 to 1."
            )

    @property
    def seconds(self) -> float:
        """The length that is asked for."""
        if self.request.duration is not None:
            return self.request.duration
        if self.request.max_steps is not None:
            return seconds_of(self.request.max_steps)
        return DEFAULT_DURATION

    def digest(self) -> str:
        """Return what two processes that ask for the same thing have in common."""
        request = self.request
        parts = {name: getattr(request, name) for name in (*_SAMPLING, "sample_rate")}
        parts |= {"words": _words(self.prompt), "model": self.model_id, "format": self.audio_format}
        parts |= {"seconds": self.seconds, "tags": sorted(tag.casefold() for tag in request.tags)}
        parts |= {"weights": request.model_weights, "context": request.context}
        parts |= {"finish": asdict(request.finish), "samples": request.sample_format}
        parts |= {"filters": asdict(self.filters) if self.filters else None}
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]

    def fits(self, sidecar: Sidecar) -> bool:
        """Return whether a clip is what was asked for, but for its prompt.

        Args:
            sidecar: The clip.
        """
        clip, request, recipe = sidecar.clip, self.request, sidecar.recipe
        made_with = {name: getattr(recipe, name, None) for name in _SAMPLING}
        return (
            clip.model == self.model_id
            and abs(_length(sidecar) - self.seconds) < _SAME_LENGTH
            and all(getattr(request, name) in (None, made_with[name]) for name in _SAMPLING)
            and request.sample_rate in (None, clip.sample_rate)
            and _stored_alike(request, recipe)
            and _made_alike(request, recipe)
            and self.audio_format in (None, clip.path.suffix.lower().removeprefix("."))
            and {tag.casefold() for tag in request.tags} <= {tag.casefold() for tag in clip.tags}
            and (not self.filters or self.filters.matches({**clip.to_json(), "has_speech": clip.has_speech}))
            and clip.path.is_file()
        )

    def expression(self) -> "Condition":
        """Return the part of it that the index knows."""
        from lancedb.expr import col

        from indexing.conditions import Condition, has_model, text, within

        # A name without its owner is found at the end of others as well.
        plain = None if "/" in self.model_id else col("model") == text(self.model_id)
        length = within("duration", self.seconds - _SAME_LENGTH, self.seconds + _PADDING)
        where = Condition(plain=plain, faceted=(has_model(self.model_id), length))
        further = self.filters.expression() if self.filters else None
        return where if further is None else further & where


class Reuse:
    """Finds clips that fit a wish, and keeps two processes from making the same one.

    Args:
        folder: The library.
        catalogue: Its index.
    """

    def __init__(self, folder: LibraryFolder, catalogue: Catalogue) -> None:
        self._folder = folder
        self._catalogue = catalogue

    def find(self, wish: Wish, *, without: Collection[str] = ()) -> ReusedOrMade | None:
        """Return the clip that fits best: by its prompt, then its rating, then the newest.

        Args:
            wish: What is asked for.
            without: Ids of clips that are not wanted.

        Raises:
            IndexingError: The index cannot be read.
        """
        where = wish.expression()
        found = self._catalogue.index.columns(["id", "prompt", "rating"], where=where)
        rows = {
            clip_id: (prompt, rating or 0)
            for clip_id, prompt, rating in zip(found["id"], found["prompt"], found["rating"], strict=True)
            if clip_id not in without
        }
        words = _words(wish.prompt)
        scores = {clip_id: 1.0 for clip_id, (prompt, _) in rows.items() if _words(prompt) == words}
        # Only where the same words are not there is it worth a model to look for nearly the same.
        for scored in (scores, None):
            if scored is None:
                scored = self._near(wish, where, {clip_id: prompt for clip_id, (prompt, _) in rows.items()})
            ranked = sorted(scored, key=lambda clip_id: (scored[clip_id], rows[clip_id][1], clip_id))
            clip = self._first(wish, reversed(ranked))
            if clip is not None:
                return ReusedOrMade(clip=clip, score=scored[clip.id])
        clip = self._first(wish, self._not_indexed(without), words=words)
        return None if clip is None else ReusedOrMade(clip=clip, score=1.0)

    @contextmanager
    def alone(self, wish: Wish) -> Iterator[None]:
        """Keep other processes from making what is asked for here; other wishes are not held up.

        Args:
            wish: What is asked for.

        Raises:
            LibraryBusyError: Another process has been at it for an hour; the message names it.
        """
        from filelock import FileLock, Timeout

        self._folder.root.mkdir(parents=True, exist_ok=True)
        path = self._folder.root / f".reuse-{wish.digest()}.lock"
        lock = FileLock(path)
        try:
            try:
                lock.acquire(timeout=1)
            except Timeout:
                _log.warning("%s is making this very clip. Waiting for it.", _capital(read_holder(path)))
                lock.acquire(timeout=_PATIENCE)
        except Timeout as error:
            raise LibraryBusyError(
                f"{_capital(read_holder(path))} has been making this very clip for an hour. "
                "Try again when it is done."
            ) from error
        try:
            write_holder(path)
            yield
        finally:
            # Removed while it is held: whoever waits for it sees that it is gone, and makes a new one.
            if os.name == "posix":
                path.unlink(missing_ok=True)
            lock.release()

    def _near(self, wish: Wish, where: "Condition", prompts: dict[str, str | None]) -> dict[str, float]:
        """Clips whose prompts are near enough. Their documents say more than that, so the prompts are compared."""
        from indexing.errors import EmbedderUnavailableError

        if not prompts:
            return {}
        try:
            query = self._catalogue.embed_query(wish.prompt)
            hits = self._catalogue.index.nearest(query, where=where, limit=_CANDIDATES)
            texts = list(dict.fromkeys(text for hit in hits if (text := prompts.get(hit.id))))
            vectors = self._catalogue.load_embedder(self._catalogue.index.embedder()).embed(texts)
        except EmbedderUnavailableError as error:
            _log.info("Only the same words are reused: %s", error)
            return {}
        near = dict(zip(texts, (float(score) for score in vectors @ query), strict=True))
        scores = {
            hit.id: min(1.0, near[text]) for hit in hits if (text := prompts.get(hit.id)) and text in near
        }
        return {clip_id: score for clip_id, score in scores.items() if score >= wish.min_score}

    def _not_indexed(self, without: Collection[str]) -> Iterator[str]:
        """Clips without a row, newest first: made with --no-index, or where no embedder is."""
        if self._catalogue.missing():
            known = self._catalogue.index.ids()
            for path in reversed(self._folder.sidecar_paths()):
                if path.stem not in known and path.stem not in without:
                    yield path.stem

    def _first(self, wish: Wish, ids: Iterable[str], *, words: str | None = None) -> Clip | None:
        for clip_id in ids:
            try:
                sidecar = read_sidecar(self._folder.sidecar_path(clip_id))
            except (LookupError, OSError, LibraryError):
                continue  # removed meanwhile, or damaged: no clip to use
            if wish.fits(sidecar) and words in (None, _words(sidecar.clip.prompt)):
                return sidecar.clip
        return None


def _stored_alike(request: GenerationRequest, recipe: Recipe | None) -> bool:
    """Whether the sound was finished and stored as is asked for, where anything is."""
    if recipe is None:
        return False
    finish, stored_as = request.finish.resolved(), recipe.sample_format or "pcm16"
    return finish in (AS_IT_IS, recipe.finish) and request.sample_format in (None, stored_as)


def _made_alike(request: GenerationRequest, recipe: Recipe | None) -> bool:
    """Whether it was made from words alone, and with the weights and the context that are asked for, where any are."""
    if recipe is None or recipe.conditioned:
        return False
    weights = None if request.model_weights is None else tuple(request.model_weights)
    return weights in (None, recipe.model_weights) and request.context in (None, recipe.context)


def _length(sidecar: Sidecar) -> float:
    """The length that was asked for when the clip was made: a lossy format adds some to it."""
    recipe = sidecar.recipe
    if recipe is None:
        return sidecar.clip.duration
    return recipe.duration if recipe.duration is not None else seconds_of(recipe.steps)


def _words(prompt: str | None) -> str:
    """A prompt without what does not change what it says; marks within words, as in C#, stay."""
    words = ((prompt or "").casefold()).split()
    return " ".join(word.strip(_PUNCTUATION) for word in words).strip()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

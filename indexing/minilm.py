"""The BERT encoder behind all-MiniLM-L6-v2, in MLX on a GPU and in NumPy on a CPU: text -> unit vector.

Architecture: Devlin et al. 2019 (BERT), mean pooling and L2 normalisation as in Reimers and Gurevych
2019 (Sentence-BERT); sizes and the limit of 256 word pieces come from the files of the model. Importing
sentence-transformers takes 5 to 20 seconds; this takes a tenth of one, and a test holds the two together.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from indexing.errors import EmbedderUnavailableError, IndexingError

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

    Batch = tuple[np.ndarray, np.ndarray]  # tokens `(B, T)`, present `(B, T)`

BATCH_SIZE = 32
_MOST_PIECES = 2_048  # in a batch, padding included: what attention needs grows with the square of the length
DEFAULT_MAX_TOKENS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class BertConfig:
    """Sizes of a BERT encoder, by the names of its config.json."""

    vocab_size: int = 30_522
    hidden_size: int = 384
    num_hidden_layers: int = 6
    num_attention_heads: int = 12
    intermediate_size: int = 1_536
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"
    position_embedding_type: str = "absolute"

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is no multiple of {self.num_attention_heads} heads"
            )
        if self.hidden_act != "gelu" or self.position_embedding_type != "absolute":
            raise ValueError("only BERT with gelu and absolute positions is supported")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "BertConfig":
        """Takes the known keys of a config.json and leaves the others."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})


class _Embeddings(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # MLX's Module has no types
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def __call__(self, tokens: mx.array) -> mx.array:
        positions = self.position_embeddings.weight[: tokens.shape[1]]
        summed = self.word_embeddings(tokens) + positions + self.token_type_embeddings.weight[0]
        normal: mx.array = self.LayerNorm(summed)
        return normal


class _Layer(nn.Module):
    """One encoder layer (post-norm); the parameter names are the checkpoint's."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # MLX's Module has no types
        width, inner = config.hidden_size, config.intermediate_size
        self.heads = config.num_attention_heads
        self.attention: Any = {
            "self": {name: nn.Linear(width, width) for name in ("query", "key", "value")},
            "output": {
                "dense": nn.Linear(width, width),
                "LayerNorm": nn.LayerNorm(width, eps=config.layer_norm_eps),
            },
        }
        self.intermediate = {"dense": nn.Linear(width, inner)}
        self.output = {
            "dense": nn.Linear(inner, width),
            "LayerNorm": nn.LayerNorm(width, eps=config.layer_norm_eps),
        }

    def __call__(self, x: mx.array, mask: mx.array) -> mx.array:
        attended = self.attention["output"]["dense"](self._attend(x, mask))
        x = self.attention["output"]["LayerNorm"](x + attended)
        inner = self.output["dense"](_gelu(self.intermediate["dense"](x)))
        normal: mx.array = self.output["LayerNorm"](x + inner)
        return normal

    def _attend(self, x: mx.array, mask: mx.array) -> mx.array:
        batch, length, width = x.shape
        queries, keys, values = (
            self.attention["self"][name](x).reshape(batch, length, self.heads, -1).swapaxes(1, 2)
            for name in ("query", "key", "value")
        )
        scale = (width // self.heads) ** -0.5
        mixed = mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)
        return mixed.swapaxes(1, 2).reshape(batch, length, width)


class BertEncoder(nn.Module):
    """Token ids to unit sentence vectors."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # MLX's Module has no types
        self.embeddings = _Embeddings(config)
        self.encoder = {"layer": [_Layer(config) for _ in range(config.num_hidden_layers)]}

    def __call__(self, tokens: mx.array, present: mx.array) -> mx.array:
        """Encodes a padded batch.

        Args:
            tokens: Word piece ids `(B, T)`.
            present: `(B, T)` bool, False where a row is padded.

        Returns:
            Unit vectors `(B, D)`.
        """
        x = self.embeddings(tokens)
        mask = mx.where(present, 0.0, -mx.inf)[:, None, None, :]
        for layer in self.encoder["layer"]:
            x = layer(x, mask)
        weights = present.astype(x.dtype)[..., None]
        pooled = (x * weights).sum(axis=1) / weights.sum(axis=1)
        return pooled / mx.maximum(mx.linalg.norm(pooled, axis=-1, keepdims=True), 1e-12)


def _gelu(x: mx.array) -> mx.array:
    # nn.gelu is compiled, which takes longer than a search does.
    return x * (1 + mx.erf(x * 0.5**0.5)) * 0.5


class MiniLM:
    """An embedder from a folder in the layout of sentence-transformers/all-MiniLM-L6-v2.

    Attributes:
        name: The name that is stored with the vectors.
        dimension: Numbers in a vector.
        stamp: Tells these weights from others of the same name.
    """

    def __init__(self, folder: Path, *, name: str) -> None:
        """Loads tokenizer and weights in float32.

        Raises:
            EmbedderUnavailableError: A file is unreadable, or a tensor is missing, unexpected or of
                another shape; the message names it.
        """
        self.name = name
        try:
            config = BertConfig.from_dict(_read_json(folder / "config.json"))
            limit = _max_tokens(folder, config)
            self._tokenizer = _load_tokenizer(folder / "tokenizer.json", limit)
            model = BertEncoder(config)
            weights: Any = mx.load(str(folder / "model.safetensors"))
            file = (folder / "model.safetensors").stat()
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise EmbedderUnavailableError(f"The embedder in {folder} cannot be read: {error}") from error
        _load_strictly(model, weights, folder)
        self._encode = _encoder(model, config)
        self.dimension = config.hidden_size
        self.stamp = f"mlx {file.st_size} {file.st_mtime_ns}"

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """Embeds texts; past 256 word pieces a text is cut, as the model was trained.

        Args:
            texts: Any number of texts, in any language (it was trained on English).

        Returns:
            `(N, D)` float32 of unit length, in the order of the texts.

        Raises:
            IndexingError: A text has lone surrogates, which no encoding can write.
        """
        import numpy as np

        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        try:
            encodings = self._tokenizer.encode_batch(list(texts))
        except (TypeError, UnicodeEncodeError) as error:
            raise IndexingError("A text to embed is not valid Unicode (it has lone surrogates).") from error
        batches = list(_batches([encoding.ids for encoding in encodings]))
        encoded = self._encode([(tokens, present) for _, tokens, present in batches])
        for (rows, _, _), some in zip(batches, encoded, strict=True):
            vectors[rows] = some
        return vectors


def _encoder(model: BertEncoder, config: BertConfig) -> "Callable[[Sequence[Batch]], Iterable[np.ndarray]]":
    """What turns batches into vectors `(B, D)` each: MLX on a GPU, NumPy on the CPU."""
    import numpy as np

    if mx.default_device() != mx.Device(mx.cpu):
        return lambda batches: [
            np.array(model(mx.array(tokens), mx.array(present))) for tokens, present in batches
        ]
    from indexing.bert_numpy import ArrayEncoder

    flat: Any = tree_flatten(model.parameters())  # type: ignore[no-untyped-call]  # MLX's Module has no types
    return ArrayEncoder(config, {name: np.array(value, copy=False) for name, value in flat}).encode


def _batches(ids: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], "np.ndarray", "np.ndarray"]]:
    """Texts of like length together, so that little is padded: (rows, tokens `(B, T)`, present `(B, T)`)."""
    import numpy as np

    for rows in _groups([len(row) for row in ids]):
        lengths = np.array([len(ids[row]) for row in rows])
        present = np.arange(lengths.max()) < lengths[:, None]
        tokens = np.zeros(present.shape, dtype=np.int32)
        tokens[present] = np.concatenate([ids[row] for row in rows])
        yield rows, tokens, present


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Positions by rising length, at most 32 in a group and none over about one and a half times another."""
    group: list[int] = []
    for position in sorted(range(len(lengths)), key=lengths.__getitem__):
        most = min(BATCH_SIZE, _MOST_PIECES // max(1, lengths[position]))
        if group and (len(group) >= most or lengths[position] > 8 + 1.5 * lengths[group[0]]):
            yield group
            group = []
        group.append(position)
    if group:
        yield group


def _read_json(path: Path) -> dict[str, Any]:
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    return values


def _max_tokens(folder: Path, config: BertConfig) -> int:
    settings = folder / "sentence_bert_config.json"
    limit = _read_json(settings).get("max_seq_length") if settings.is_file() else None
    return min(int(limit or DEFAULT_MAX_TOKENS), config.max_position_embeddings)


def _load_tokenizer(path: Path, max_tokens: int) -> "Tokenizer":
    from tokenizers import Tokenizer

    # from_file raises a bare Exception on a bad file; from_str lets us tell it from an unreadable one.
    text = path.read_text(encoding="utf-8")
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:
        raise ValueError(f"tokenizer.json: {error}") from error
    # The published file pads and cuts at 128, which is not what sentence-transformers does.
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=max_tokens)
    return tokenizer


def _load_strictly(model: BertEncoder, weights: dict[str, mx.array], folder: Path) -> None:
    """Every tensor under its name and shape, nothing missing and nothing left over."""
    flat: Any = tree_flatten(model.parameters())  # type: ignore[no-untyped-call]  # MLX's too
    expected = {name: value.shape for name, value in flat}
    # The pooler was trained for another task and the position ids are a constant.
    given = {
        name: value
        for name, value in weights.items()
        if not name.startswith("pooler.") and name != "embeddings.position_ids"
    }
    problems = [f"{name} is missing" for name in sorted(expected.keys() - given.keys())]
    problems += [f"{name} is unexpected" for name in sorted(given.keys() - expected.keys())]
    problems += [
        f"{name} has shape {given[name].shape}, not {shape}"
        for name, shape in sorted(expected.items())
        if name in given and given[name].shape != shape
    ]
    if problems:
        raise EmbedderUnavailableError(
            f"The weights in {folder} do not fit their configuration: {'; '.join(problems[:5])}."
        )
    model.load_weights([(name, value.astype(mx.float32)) for name, value in given.items()])

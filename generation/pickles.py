"""Tensors out of PyTorch's pickles, without PyTorch and without running what a pickle says.

A file of `torch.save` is a zip archive: a pickle that names tensors, and their bytes beside it. Only the handful of
names that describe tensors are known here; any other is refused, so nothing in a file is ever executed. The bytes
are mapped, not read, until somebody uses them.
"""

from __future__ import annotations

import collections
import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from generation.errors import CheckpointError

_LARGEST_PICKLE = 64 << 20  # the names of a large model's tensors take a hundred kilobytes
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")

BFLOAT16 = "bfloat16"
_STORAGES: dict[str, tuple[str, str]] = {
    "DoubleStorage": ("<f8", "float64"),
    "FloatStorage": ("<f4", "float32"),
    "HalfStorage": ("<f2", "float16"),
    "BFloat16Storage": ("<u2", BFLOAT16),  # NumPy has no such type; its bits are kept
    "LongStorage": ("<i8", "int64"),
    "IntStorage": ("<i4", "int32"),
    "ShortStorage": ("<i2", "int16"),
    "CharStorage": ("<i1", "int8"),
    "ByteStorage": ("<u1", "uint8"),
    "BoolStorage": ("?", "bool"),
}


@dataclass(frozen=True, slots=True)
class PickledTensor:
    """A tensor of a pickle: its numbers, mapped from the file, and the name of its type.

    Attributes:
        values: Any shape; for `bfloat16` the bits as unsigned 16-bit numbers.
        dtype: `float32`, `float16`, `bfloat16`, ...
    """

    values: npt.NDArray[Any]
    dtype: str


@dataclass(frozen=True, slots=True)
class _StorageType:
    name: str


def read_pickle(path: Path) -> Any:
    """What a file of `torch.save` holds: plain containers, numbers and texts, with `PickledTensor` for tensors.

    Args:
        path: The file, in the zip format that PyTorch writes since 1.6.

    Raises:
        CheckpointError: It is of another format or damaged, or names anything but tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, archive)
    except zipfile.BadZipFile as error:
        raise CheckpointError(
            f"{path} is no zip archive of torch.save (files of PyTorch before 1.6 are not read), or is damaged."
        ) from error
    except CheckpointError:
        raise
    except (pickle.UnpicklingError, EOFError, KeyError, IndexError, ValueError, TypeError, AttributeError,
            OverflowError, RecursionError, MemoryError, ImportError, struct.error) as error:  # fmt: skip
        # A damaged pickle may fail in any of these ways.
        raise CheckpointError(f"{path} cannot be read: {type(error).__name__}: {error}.") from error


def _read(path: Path, archive: zipfile.ZipFile) -> Any:
    entries = [info for info in archive.infolist() if info.filename.split("/")[-1] == "data.pkl"]
    if len(entries) != 1:
        raise CheckpointError(f"{path} is no file of torch.save: it has {len(entries)} data.pkl inside.")
    (entry,) = entries
    if entry.file_size > _LARGEST_PICKLE:
        raise CheckpointError(f"{path} has a data.pkl of {entry.file_size} bytes; no model needs that.")
    root = entry.filename.removesuffix("data.pkl")
    order = f"{root}byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise CheckpointError(f"{path} was written on a big-endian machine, which is not read.")
    unpickler = _TensorUnpickler(io.BytesIO(archive.read(entry)), _Storages(path, archive, root))
    return unpickler.load()


class _Storages:
    """The numbers beside the pickle, each entry mapped once."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, root: str) -> None:
        self._path = path
        self._archive = archive
        self._root = root
        self._mapped: dict[str, npt.NDArray[Any]] = {}

    def get(self, key: str, dtype: str, count: int) -> npt.NDArray[Any]:
        if key not in self._mapped:
            self._mapped[key] = self._map(self._archive.getinfo(f"{self._root}data/{key}"))
        raw = self._mapped[key]
        kind = np.dtype(dtype)
        if not 0 <= count * kind.itemsize <= raw.size:
            raise CheckpointError(f"{self._path} is damaged: storage {key} is shorter than its pickle says.")
        numbers: npt.NDArray[Any] = raw[: count * kind.itemsize].view(kind)
        return numbers

    def _map(self, info: zipfile.ZipInfo) -> npt.NDArray[Any]:
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise CheckpointError(f"{self._path} holds compressed tensors, which torch.save does not write.")
        if not info.file_size:
            return np.zeros(0, np.uint8)
        with self._path.open("rb") as file:
            file.seek(info.header_offset)
            header = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        start = info.header_offset + _LOCAL_HEADER.size + header[-2] + header[-1]
        if header[0] != b"PK\x03\x04" or start + info.file_size > self._path.stat().st_size:
            raise CheckpointError(f"{self._path} is cut short or damaged.")
        return np.memmap(self._path, np.uint8, "r", offset=start, shape=(info.file_size,))


class _TensorUnpickler(pickle.Unpickler):
    """Knows what describes a tensor, and nothing else."""

    def __init__(self, file: io.BytesIO, storages: _Storages) -> None:
        super().__init__(file, encoding="utf-8")
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """Only what describes tensors; whatever else a pickle names is refused, not imported."""
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
        }
        if (module, name) in known:
            return known[module, name]
        if module == "torch" and name in _STORAGES:
            return _StorageType(name)
        raise CheckpointError(
            f"The pickle asks for {module}.{name}, which is no tensor: it may be malicious and is not read."
        )

    def persistent_load(self, pid: Any) -> PickledTensor:
        """The storage that a tensor lies in."""
        kind, storage, key, _device, count = pid
        if kind != "storage" or not isinstance(storage, _StorageType):
            raise CheckpointError(f"The pickle refers to {kind!r}, which is no storage of numbers.")
        dtype, name = _STORAGES[storage.name]
        return PickledTensor(self._storages.get(str(key), dtype, int(count)), name)


def _tensor(
    storage: PickledTensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_rest: Any
) -> PickledTensor:
    """A view of a storage, every element of which must lie inside it."""
    if not isinstance(storage, PickledTensor) or len(size) != len(stride):
        raise CheckpointError("The pickle describes a tensor without numbers.")
    if offset < 0 or min((*size, *stride, 0)) < 0:
        raise CheckpointError("The pickle describes a tensor outside its storage.")
    if 0 in size:
        return PickledTensor(np.zeros(size, storage.values.dtype), storage.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= storage.values.size:
        raise CheckpointError("The pickle describes a tensor outside its storage.")
    item = storage.values.itemsize
    strides = tuple(step * item for step in stride)
    view = np.lib.stride_tricks.as_strided(storage.values[offset:], tuple(size), strides, writeable=False)
    return PickledTensor(view, storage.dtype)


def _parameter(data: PickledTensor, *_rest: Any) -> PickledTensor:
    return data

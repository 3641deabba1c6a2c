"""PyTorch's pickles are read as torch reads them, and nothing that they ask for is ever run."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from generation import convert as converting
from generation.checkpoints import load_tensors
from generation.convert import convert
from generation.errors import CheckpointError
from generation.musicgen import MusicGen
from generation.pickles import PickledTensor, read_pickle


@pytest.fixture
def tensors() -> dict[str, Any]:
    import torch

    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    return {
        "plain": base,
        "transposed": base.T,
        "slice": base[1:, ::2],
        "shared": base[0],
        "half": torch.tensor([1.5, -2.0]).half(),
        "brain": torch.tensor([1.5, -2.25]).bfloat16(),
        "double": torch.tensor([0.1], dtype=torch.float64),
        "whole": torch.tensor([[3, -4]]),
        "flag": torch.tensor([True, False]),
        "scalar": torch.tensor(7.0),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }


def test_tensors_are_those_of_torch(tensors: dict[str, Any], tmp_path: Path) -> None:
    import torch

    torch.save(tensors, tmp_path / "a.bin")
    read = read_pickle(tmp_path / "a.bin")
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        ours = np.array(converting.to_array(read[name]).astype(mx.float32))
        np.testing.assert_array_equal(ours, tensor.detach().float().numpy(), err_msg=name)


def test_what_is_around_the_tensors_is_kept(tmp_path: Path) -> None:
    """audiocraft's files: a table of tensors under one name, a text under another."""
    import torch

    module = torch.nn.Linear(2, 3)
    torch.save({"best_state": module.state_dict(), "xp.cfg": "dim: 3"}, tmp_path / "state_dict.bin")
    read = read_pickle(tmp_path / "state_dict.bin")
    assert read["xp.cfg"] == "dim: 3"
    assert isinstance(read["best_state"]["weight"], PickledTensor)
    assert read["best_state"]["weight"].values.shape == (3, 2)


class _Evil:
    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.reduced = call, arguments

    def __reduce__(self) -> Any:
        return self.reduced


def archive(path: Path, content: bytes, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", content)
        for name, data in members.items():
            file.writestr(f"archive/data/{name.removeprefix('_')}", data)
    return path


@pytest.mark.parametrize(
    "call", [os.system, eval, exec, open, print, getattr, __import__], ids=lambda f: f.__name__
)
def test_a_malicious_pickle_is_refused_and_runs_nothing(call: Callable[..., Any], tmp_path: Path) -> None:
    mark = tmp_path / "was-here"
    arguments = {"open": (str(mark), "w"), "system": (f"touch {mark}",)}.get(
        call.__name__, (f"open({str(mark)!r}, 'w')",)
    )
    evil = archive(tmp_path / "evil.bin", pickle.dumps({"a": _Evil(call, *arguments)}))
    with pytest.raises(CheckpointError, match="malicious"):
        read_pickle(evil)
    assert not mark.exists()


def test_torchs_own_loaders_are_not_reached_either(tmp_path: Path) -> None:
    """`torch._utils` and `torch.storage` hold functions that load further pickles."""
    for name in (
        "torch.storage\n_load_from_bytes",
        "torch.hub\nload",
        "torch\nload",
        "torch._utils\n__import__",
    ):
        evil = archive(tmp_path / "evil.bin", b"c" + name.encode() + b"\n(S'x'\ntR.")
        with pytest.raises(CheckpointError, match="malicious"):
            read_pickle(evil)


PythonPickler: Any = vars(pickle)["_Pickler"]  # the one whose steps can be changed


def tensor_pickle(*, count: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """A pickle of one tensor in storage `0`, whatever its numbers say."""
    import io

    class Storage:
        pass

    class Pickler(PythonPickler):  # type: ignore[misc]  # it has no type
        def persistent_id(self, value: Any) -> Any:
            return (_Name("torch", "FloatStorage"), count) if isinstance(value, Storage) else None

        def save_pers(self, pid: Any) -> None:
            self.save(("storage", pid[0], "0", "cpu", pid[1]), save_persistent_id=False)
            self.write(pickle.BINPERSID)

        def save(self, value: Any, save_persistent_id: bool = True) -> None:
            if isinstance(value, _Name):
                self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
            else:
                super().save(value, save_persistent_id)

    class _Name:
        def __init__(self, module: str, name: str) -> None:
            self.module, self.name = module, name

    stream = io.BytesIO()
    pickler = Pickler(stream, protocol=2)
    pickler.write(pickle.PROTO + b"\x02")
    pickler.save(_Name("torch._utils", "_rebuild_tensor_v2"))
    pickler.save((Storage(), offset, size, stride, False, None))
    pickler.write(pickle.REDUCE + pickle.STOP)
    return stream.getvalue()


def test_the_hand_made_pickle_is_one(tmp_path: Path) -> None:
    data = np.arange(6, dtype="<f4").tobytes()
    content = tensor_pickle(count=6, offset=1, size=(2, 2), stride=(2, 1))
    read = read_pickle(archive(tmp_path / "a.bin", content, _0=data))
    np.testing.assert_array_equal(read.values, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    "numbers",
    [
        {"count": 7, "offset": 0, "size": (6,), "stride": (1,)},
        {"count": 6, "offset": 1, "size": (6,), "stride": (1,)},
        {"count": 6, "offset": -1, "size": (2,), "stride": (1,)},
        {"count": 6, "offset": 0, "size": (2, 4), "stride": (3, 1)},
        {"count": 6, "offset": 5, "size": (2,), "stride": (-1,)},
        {"count": 6, "offset": 0, "size": (1 << 40,), "stride": (1,)},
        {"count": -6, "offset": 0, "size": (1,), "stride": (1,)},
        {"count": 6, "offset": 0, "size": (2,), "stride": (1, 1)},
    ],
    ids=str,
)
def test_no_tensor_reaches_outside_its_storage(numbers: dict[str, Any], tmp_path: Path) -> None:
    path = archive(tmp_path / "a.bin", tensor_pickle(**numbers), _0=bytes(24))
    with pytest.raises(CheckpointError):
        read_pickle(path)


@pytest.mark.parametrize(
    "damage", ["cut short", "no archive", "no pickle", "compressed", "nonsense", "empty"]
)
def test_damaged_files_are_refused_in_a_sentence(
    damage: str, tensors: dict[str, Any], tmp_path: Path
) -> None:
    import torch

    path = tmp_path / "a.bin"
    torch.save(tensors, path)
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:-400])
    elif damage == "no archive":
        path.write_bytes(b"\x80\x02}q\x00.")
    elif damage == "no pickle":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/other", b"")
    elif damage == "compressed":
        content = tensor_pickle(count=600, offset=0, size=(600,), stride=(1,))
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("archive/data.pkl", content)
            file.writestr("archive/data/0", bytes(2400))
    else:
        archive(path, b"\x80\x02\x8c\xff" if damage == "nonsense" else b"")
    with pytest.raises(CheckpointError, match=r"a\.bin"):
        read_pickle(path)


@pytest.fixture
def pickled(reference: Any, reference_folder: Path, tmp_path: Path) -> Path:
    """The reference model as its publishers of 2023 would have stored it."""
    import shutil

    import torch

    folder = tmp_path / "musicgen-pickled"
    folder.mkdir()
    for name in ("config.json", "generation_config.json", "spiece.model"):
        shutil.copy(reference_folder / name, folder)
    torch.save(reference.state_dict(), folder / "pytorch_model.bin")
    return folder


def test_a_converted_checkpoint_makes_the_same_music(
    pickled: Path, reference_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    done = convert(pickled, progress=lambda *at: told.append(at))
    assert [path.name for path in done.files] == ["model.safetensors"]
    assert told[-1][0] == told[-1][1] > 50
    options: dict[str, Any] = {"max_steps": 12, "seed": 5}
    expected = MusicGen.from_pretrained(reference_folder).generate("calm piano", **options)
    np.testing.assert_array_equal(
        MusicGen.from_pretrained(pickled).generate("calm piano", **options), expected
    )


def test_shards_in_and_out(pickled: Path, reference: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    state = reference.state_dict()
    names = sorted(state)
    halves = {"pytorch_model-00001-of-00002.bin": names[::2], "pytorch_model-00002-of-00002.bin": names[1::2]}
    for file, some in halves.items():
        torch.save({name: state[name] for name in some}, pickled / file)
    index = {"weight_map": {name: file for file, some in halves.items() for name in some}}
    (pickled / "pytorch_model.bin").unlink()
    (pickled / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    monkeypatch.setattr(converting, "SHARD_BYTES", 20_000)
    written = convert(pickled).files
    assert len(written) > 3
    stored = load_tensors(pickled)
    assert stored.keys() == state.keys()
    for name, tensor in state.items():
        np.testing.assert_array_equal(np.array(stored[name]), tensor.numpy())
    assert not list(pickled.glob(".*"))


def test_a_lost_shard_and_a_folder_without_pickles(pickled: Path, tmp_path: Path) -> None:
    (pickled / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "pytorch_model-1.bin"}}')
    with pytest.raises(CheckpointError, match=r"pytorch_model-1\.bin"):
        convert(pickled)
    with pytest.raises(CheckpointError, match="nothing to convert"):
        convert(tmp_path)
    (pickled / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "../../x.bin"}}')
    with pytest.raises(CheckpointError, match="lacks"):
        convert(pickled)

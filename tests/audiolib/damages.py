"""Ways in which a library of three clips (`library_stock.stock`) breaks, for the tests of `check`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace

from library_stock import make_old, sidecar_of

from audiolib import AudioLibrary, Clip
from audiolib.sidecars import edit_sidecar
from indexing import lance
from indexing.schema import IndexRow
from indexing.store import ClipIndex


def index_of(library: AudioLibrary) -> ClipIndex:
    return ClipIndex(library.path / "index")


def row_of(library: AudioLibrary, clip_id: str) -> IndexRow:
    return next(row for rows in index_of(library).rows() for row in rows if row.id == clip_id)


# Each damages one thing and returns what must be said of it.
Damage = Callable[[AudioLibrary, list[Clip]], str]


def lose_a_row(library: AudioLibrary, clips: list[Clip]) -> str:
    index_of(library).remove([clips[0].id])
    return "row-missing"


def lose_the_files(library: AudioLibrary, clips: list[Clip]) -> str:
    for path in clips[0].path.parent.glob(f"{clips[0].id}*"):
        path.unlink()
    return "row-orphaned"


def change_the_words(library: AudioLibrary, clips: list[Clip]) -> str:
    edit_sidecar(sidecar_of(library.path, clips[0].id), {"tags": ["jazz"]})
    make_old(library.path)
    return "row-outdated"


def change_the_row(library: AudioLibrary, clips: list[Clip]) -> str:
    index_of(library).upsert([replace(row_of(library, clips[0].id), rating=1)])
    return "row-outdated"


def change_the_sound_vector(library: AudioLibrary, clips: list[Clip]) -> str:
    row = row_of(library, clips[0].id)
    assert row.sound_vector is not None
    index_of(library).upsert([replace(row, sound_vector=row.sound_vector[::-1])])
    return "row-outdated"


def lose_the_vector(library: AudioLibrary, clips: list[Clip]) -> str:
    index_of(library).upsert([replace(row_of(library, clips[0].id), vector=None, embedder=None)])
    return "vector-missing"


def lose_the_sound_vector(library: AudioLibrary, clips: list[Clip]) -> str:
    row = row_of(library, clips[0].id)
    index_of(library).remove([row.id])
    index_of(library).upsert([replace(row, sound_vector=None, sound_space=None)])
    return "sound-vector-missing"


def double_a_row(library: AudioLibrary, clips: list[Clip]) -> str:
    table = lance.open_table(library.path / "index")
    assert table is not None
    rows = table.search().to_arrow()
    table.add(rows.slice(0, 1), on_bad_vectors="null")
    return "row-doubled"


def embed_otherwise(library: AudioLibrary, clips: list[Clip]) -> str:
    rows = [row for some in index_of(library).rows() for row in some]
    index_of(library).clear()
    index_of(library).upsert([replace(row, embedder="other/words") for row in rows])
    return "wrong-embedder"


def lose_the_index(library: AudioLibrary, clips: list[Clip]) -> str:
    shutil.rmtree(library.path / "index")
    return "table-missing"


def lose_a_data_file(library: AudioLibrary, clips: list[Clip]) -> str:
    for path in (library.path / "index" / "clips.lance" / "data").iterdir():
        path.unlink()
    assert index_of(library).count() == 3  # counting alone does not see it
    return "table-damaged"


def cut_the_data_files(library: AudioLibrary, clips: list[Clip]) -> str:
    for path in (library.path / "index" / "clips.lance" / "data").iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    return "table-damaged"


def garble_the_table(library: AudioLibrary, clips: list[Clip]) -> str:
    for path in (library.path / "index" / "clips.lance" / "_versions").glob("*.manifest"):
        path.write_bytes(b"garbled")
    return "table-damaged"


def lose_the_text_index(library: AudioLibrary, clips: list[Clip]) -> str:
    for path in (library.path / "index" / "clips.lance" / "_indices").rglob("*"):
        if path.is_file():
            path.unlink()
    return "table-damaged"


def break_the_sidecar(library: AudioLibrary, clips: list[Clip]) -> str:
    path = sidecar_of(library.path, clips[0].id)
    path.write_text(path.read_text()[:200])
    return "sidecar-damaged"


def break_the_sidecar_of_a_voice(library: AudioLibrary, clips: list[Clip]) -> str:
    sidecar_of(library.path, clips[2].id).write_bytes(b"\xff\xfe\x00")
    return "sidecar-damaged"


def lose_the_sidecar(library: AudioLibrary, clips: list[Clip]) -> str:
    sidecar_of(library.path, clips[1].id).unlink()
    return "without-sidecar"


def lose_the_measurements(library: AudioLibrary, clips: list[Clip]) -> str:
    path = sidecar_of(library.path, clips[0].id)
    document = json.loads(path.read_text())
    del document["descriptors"], document["vectors"]
    path.write_text(json.dumps(document))
    make_old(library.path)
    return "descriptors-missing"


def rename_the_audio(library: AudioLibrary, clips: list[Clip]) -> str:
    clips[0].path.rename(clips[0].path.with_name(f"{clips[0].id}-my favourite.wav"))
    return "audio-moved"


def leave_a_temporary(library: AudioLibrary, clips: list[Clip]) -> str:
    (clips[0].path.parent / f".{clips[0].id}.0123abcd.tmp.json").write_text("half")
    make_old(library.path)
    return "stale-temporary"


def lose_the_manifest(library: AudioLibrary, clips: list[Clip]) -> str:
    (library.path / "library.json").unlink()
    return "manifest-missing"


def break_the_manifest(library: AudioLibrary, clips: list[Clip]) -> str:
    (library.path / "library.json").write_text("{")
    return "manifest-damaged"


def be_of_an_older_format(library: AudioLibrary, clips: list[Clip]) -> str:
    manifest = json.loads((library.path / "library.json").read_text())
    (library.path / "library.json").write_text(json.dumps({**manifest, "format": 1}))
    return "older-format"


def stop_a_removal(library: AudioLibrary, clips: list[Clip]) -> str:
    library.remove(clips[0].id)
    entry = library.path / "trash" / clips[0].id
    (entry / clips[0].path.name).rename(clips[0].path)
    return "half-removed"


DAMAGES: list[Damage] = [
    lose_a_row,
    lose_the_files,
    change_the_words,
    change_the_row,
    change_the_sound_vector,
    lose_the_vector,
    lose_the_sound_vector,
    double_a_row,
    embed_otherwise,
    lose_the_index,
    lose_a_data_file,
    cut_the_data_files,
    garble_the_table,
    lose_the_text_index,
    break_the_sidecar,
    break_the_sidecar_of_a_voice,
    lose_the_sidecar,
    lose_the_measurements,
    rename_the_audio,
    leave_a_temporary,
    lose_the_manifest,
    break_the_manifest,
    be_of_an_older_format,
    stop_a_removal,
]

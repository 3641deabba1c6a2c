"""The two kinds of export: files with their tables, and Parquet with the bytes inside."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audiolib.clip import Clip
from audiolib.exporting.audiofiles import AUDIO_FOLDER, AudioFiles
from audiolib.exporting.card import CARD_NAME, Census, dataset_card
from audiolib.exporting.fields import document_of
from audiolib.exporting.parquet import DATA_FOLDER, MAX_FILE_BYTES, ParquetShards, read_rows
from audiolib.exporting.tables import CSV_NAME, METADATA_NAME, PLAYLIST_NAME, open_tables, read_metadata
from audiolib.files import write_bytes
from audiolib.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What `export` did.

    Attributes:
        folder: Where the export is, absolute.
        clips: Clips that are in it now.
        added: Clips whose sound was written now.
        bytes: How much sound was written now.
        left_out: Clips that are not in it, each as a sentence.
    """

    folder: Path
    clips: int
    added: int
    bytes: int
    left_out: tuple[str, ...]


class _Tally:
    def __init__(self, left_out: list[str]) -> None:
        self.census = Census()
        self.added = 0
        self.bytes = 0
        self.left_out = left_out

    def report(self, root: Path) -> ExportReport:
        left_out = tuple(self.left_out)
        return ExportReport(
            folder=root, clips=self.census.clips, added=self.added, bytes=self.bytes, left_out=left_out
        )


def export_files(
    root: Path, clips: Iterable[Clip], *, csv_table: bool, playlist: bool, left_out: list[str]
) -> ExportReport:
    """Copy clips into `audio/` with `metadata.jsonl` beside it; of an earlier export only what is missing.

    Args:
        root: The export's folder, prepared.
        clips: The clips.
        csv_table: Write `clips.csv` too; one that is there is kept up to date in any case.
        playlist: Write `clips.m3u8` too; likewise.
        left_out: Sentences on clips that cannot be read; the reader of the clips may add some on the way.

    Raises:
        OSError: A file cannot be written. What was copied stays for the next time; no half file does.
    """
    tally = _Tally(left_out)
    files = AudioFiles(root, read_metadata(root))
    (root / AUDIO_FOLDER).mkdir(exist_ok=True)
    csv_table = csv_table or (root / CSV_NAME).exists()
    playlist = playlist or (root / PLAYLIST_NAME).exists()
    seen: set[str] = set()
    with open_tables(root, metadata=True, csv_table=csv_table, playlist=playlist) as add:

        def count(document: dict[str, Any]) -> None:
            add(document)
            tally.census.count(document)

        for clip in clips:
            if not _readable(clip, tally):
                continue
            name = files.name_for(clip)
            copied = files.place(clip, name)
            tally.added += copied > 0
            tally.bytes += copied
            seen.add(clip.id)
            count(document_of(clip, name))
        for document in read_metadata(root):
            if document["id"] not in seen and (root / document["file_name"]).is_file():
                count(document)
        _write_card(root, tally.census, (METADATA_NAME, f"{AUDIO_FOLDER}/**"))
    return tally.report(root)


def export_parquet(
    root: Path, clips: Iterable[Clip], *, csv_table: bool, left_out: list[str]
) -> ExportReport:
    """Write clips as `data/train-00000.parquet` and so on; to an earlier export only those that are missing.

    Args:
        root: The export's folder, prepared.
        clips: The clips.
        csv_table: Write `clips.csv` too; one that is there is kept up to date in any case.
        left_out: As for `export_files`.

    Raises:
        OSError: A file cannot be written. Shards that are whole stay for the next time; no half file does.
    """
    tally = _Tally(left_out)
    csv_table = csv_table or (root / CSV_NAME).exists()
    with open_tables(root, metadata=False, csv_table=csv_table, playlist=False) as add:
        earlier = []
        for document in read_rows(root):
            earlier.append({name: document[name] for name in ("id", "file_name", "sha256")})
            add(document)
            tally.census.count(document)
        present = {str(document["id"]) for document in earlier}
        files = AudioFiles(root, earlier)
        with _shards(root) as shards:
            for clip in clips:
                if clip.id in present or not _readable(clip, tally, limit=MAX_FILE_BYTES):
                    continue
                sound = clip.path.read_bytes()
                document = document_of(clip, files.name_for(clip).rpartition("/")[2])
                shards.add(document, sound)
                add(document)
                tally.census.count(document)
                tally.added += 1
                tally.bytes += len(sound)
        _write_card(root, tally.census, (f"{DATA_FOLDER}/*.parquet",))
    return tally.report(root)


@contextmanager
def _shards(root: Path) -> Iterator[ParquetShards]:
    shards = ParquetShards(root)
    try:
        yield shards
        shards.close()
    except BaseException:
        shards.abandon()
        raise


def _readable(clip: Clip, tally: _Tally, *, limit: int | None = None) -> bool:
    """Whether a clip's file can be had; what cannot is said, and the others go on."""
    try:
        with clip.path.open("rb"):
            size = clip.path.stat().st_size
    except OSError as error:
        tally.left_out.append(f"{clip.path} cannot be read ({error.strerror}).")
        return False
    if limit is not None and size > limit:
        tally.left_out.append(f"{clip.path} is over {limit >> 30} GiB, too large for a value in Parquet.")
        return False
    return True


def _write_card(root: Path, census: Census, data_files: tuple[str, ...]) -> None:
    card = dataset_card(census, data_files=data_files, version=__version__)
    write_bytes(root / CARD_NAME, card.encode())

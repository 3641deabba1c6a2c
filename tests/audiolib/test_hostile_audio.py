"""Files and names that mean harm, or came to some: each gets a sentence, nothing is lost, nothing hangs."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sound_files import RATE, melody, write_sound

from audiolib import AudioLibrary, ImportOutcome
from audiolib.importing.scanning import Found, LeftOut, scan
from audiolib.sidecars import read_sidecar
from generation.audio import encode_audio

NAMES = [
    "line\nbreak.wav",
    "tab\there\r.wav",
    "🎹🎶.wav",
    "\u202egnp.wav",  # shown backwards
    "\u200f\u200e.wav",
    "שיר.wav",
    "..wav",
    "...wav",
    "..\\..\\windows.wav",
    "-rf.wav",
    "--json.wav",
    "$(id);`id`|x.wav",
    "%s%n%x.wav",
    "'; DROP TABLE clips; --.wav",
    "x' OR '1'='1.wav",
    "a\udcff\udcfe.wav",  # bytes that are no UTF-8
    "\x1b[31mred\x07.wav",
    "CON.wav",
    "trailing .wav",
    "e\u0301.wav",
    "a" * 251 + ".wav",
    "ä" * 125 + ".wav",
    "null.wav",
    "UPPER.WAV",
]


def add(library: AudioLibrary, *paths: Path, **options: Any) -> list[ImportOutcome]:
    return list(library.add_all(paths, **options))


def check_stored(library: AudioLibrary, outcome: ImportOutcome) -> None:
    """The clip is where it should be, under a name that is safe everywhere, and says nothing odd."""
    assert outcome.clip is not None, outcome
    path = outcome.clip.path
    assert path.is_relative_to(library.path / "audio")
    assert path.name.isascii()
    assert set(path.name) <= set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-.")
    assert len(path.name) < 100
    assert outcome.clip.title
    assert outcome.clip.title.isprintable()
    assert read_sidecar(path.with_name(f"{outcome.id}.json")).clip == outcome.clip


class TestNames:
    def test_by_hand(self, library: AudioLibrary, tmp_path: Path) -> None:
        folder = tmp_path / "in"
        for number, name in enumerate(NAMES):
            write_sound(tmp_path / "plain.wav", seed=number, seconds=0.1)
            folder.mkdir(exist_ok=True)
            (tmp_path / "plain.wav").rename(folder / name)
        hidden = [
            folder / name for name in NAMES if name.startswith(".")
        ]  # passed over unless they are named
        outcomes = add(library, folder, *hidden)
        assert {outcome.source.name for outcome in outcomes} == set(NAMES)
        for outcome in outcomes:
            check_stored(library, outcome)
        assert len(list(library.list())) == len(NAMES)
        assert {path.name for path in folder.iterdir()} == set(NAMES)

    @settings(max_examples=15, suppress_health_check=list(HealthCheck), deadline=None)
    @given(
        stem=st.one_of(
            st.binary(min_size=1, max_size=80).map(os.fsdecode),
            st.text(min_size=1, max_size=60),
        ).filter(lambda stem: not set(stem) & {"/", "\0"})
    )
    @example(stem="\ud800")
    def test_by_chance(self, stem: str, library: AudioLibrary, tmp_path: Path) -> None:
        name = f"x{stem}.wav"
        try:
            write_sound(tmp_path / "plain.wav", seed=hash(stem) % (1 << 32), seconds=0.05)
            (tmp_path / "plain.wav").rename(tmp_path / name)
        except (OSError, UnicodeEncodeError):  # no name that this file system takes
            return
        (outcome,) = add(library, tmp_path / name)
        assert outcome.status in ("added", "present")
        if outcome.status == "added":
            check_stored(library, outcome)

    def test_on_the_command_line(self, tmp_path: Path) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        (folder / "\x1b[31m\n\u202e.wav").write_text("no sound")
        (folder / "\udcff.wav").write_text("no sound")
        command = [sys.executable, "-m", "audiolib", "add", "in"]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        text = done.stderr.decode("utf-8")
        assert done.returncode == 1
        assert len(text.splitlines()) == 2
        assert not set(text) & set("\x1b\u202e")

    def test_in_json(self, library: AudioLibrary, tmp_path: Path) -> None:
        import json

        folder = tmp_path / "in"
        folder.mkdir()
        (folder / "\x1b[31m\n\u202e.wav").write_text("no sound")
        (folder / "\udcff.wav").write_text("no sound")
        lines = [json.dumps(outcome.to_json()) for outcome in add(library, folder)]
        assert {json.loads(line)["source"] for line in lines} == {str(path) for path in folder.iterdir()}


class TestLinks:
    def test_links_that_point_out_are_left_alone(self, library: AudioLibrary, tmp_path: Path) -> None:
        secret = write_sound(tmp_path / "private" / "diary.wav")
        folder = tmp_path / "in"
        write_sound(folder / "own.wav", seed=1)
        (folder / "out.wav").symlink_to(secret)
        (folder / "up.wav").symlink_to("../private/diary.wav")
        (folder / "passwords.wav").symlink_to("/etc/passwd")
        (folder / "outside").symlink_to(secret.parent)
        (folder / "nowhere.wav").symlink_to("gone.wav")
        (folder / "again.wav").symlink_to("own.wav")
        (folder / "loop.wav").symlink_to("loop.wav")
        (folder / "round").symlink_to(folder)
        found = {outcome.source.name: outcome for outcome in add(library, folder)}
        assert {name: outcome.status for name, outcome in found.items()} == {
            "again.wav": "added",  # the first of the two by name
            "own.wav": "present",
            "out.wav": "skipped",
            "up.wav": "skipped",
            "passwords.wav": "skipped",
            "outside": "skipped",
            "nowhere.wav": "failed",
            "loop.wav": "failed",
        }
        assert all(outcome.reason for name, outcome in found.items() if outcome.id is None)
        (clip,) = library.list()
        assert not clip.path.is_symlink()

    def test_a_link_that_is_named_is_followed(self, library: AudioLibrary, tmp_path: Path) -> None:
        write_sound(tmp_path / "a.wav")
        (tmp_path / "link.wav").symlink_to("a.wav")
        clip = library.add(tmp_path / "link.wav")
        assert clip.title == "link"
        assert not clip.path.is_symlink()

    def test_the_library_does_not_eat_itself(self, library: AudioLibrary, tmp_path: Path) -> None:
        write_sound(tmp_path / "a.wav")
        library.add(tmp_path / "a.wav")
        (outcome,) = add(library, library.path)
        assert (outcome.status, outcome.reason) == ("skipped", "It is the library itself.")
        for own in ("audio", "audio/*", "audio/*/*.wav"):
            (outcome,) = add(library, next(library.path.glob(own)))
            assert (outcome.status, outcome.reason) == ("skipped", "It lies in the library already.")
        statuses = [outcome.status for outcome in add(library, tmp_path)]  # the folder that holds it
        assert statuses == ["present"]


class TestKinds:
    def test_pipes_and_sockets_are_not_waited_on(self, library: AudioLibrary, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.wav")
        (tmp_path / "folder.wav").mkdir()
        assert [(o.source.name, o.status) for o in add(library, tmp_path)] == [("pipe.wav", "skipped")]
        (outcome,) = add(library, tmp_path / "pipe.wav")
        assert outcome.reason == "It is no regular file."
        (outcome,) = add(library, Path("/dev/zero"))
        assert outcome.status == "skipped"

    def test_folders_of_any_depth(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """More of them than Python nests calls."""
        monkeypatch.chdir(tmp_path)
        for _ in range(1_050):
            os.mkdir("d")
            os.chdir("d")
        write_sound(Path("deep.wav"))
        try:
            (item,) = scan([tmp_path], library=tmp_path / "library")
            assert isinstance(item, Found)
            assert item.path.name == "deep.wav"
        finally:
            os.unlink("deep.wav")
            for _ in range(1_050):  # nor can pytest remove so many at once
                os.chdir("..")
                os.rmdir("d")

    def test_a_folder_that_may_not_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_sound(tmp_path / "a" / "a.wav")
        write_sound(tmp_path / "b" / "b.wav")
        looking = os.scandir

        def refuse(path: Any) -> Any:
            if Path(path).name == "a":
                raise PermissionError(13, "Permission denied", str(path))
            return looking(path)

        monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
        first, second = scan([tmp_path], library=tmp_path / "library")
        assert isinstance(first, LeftOut)
        assert "permissions" in first.reason
        assert isinstance(second, Found)


def not_finite(value: float) -> bytes:
    sound = melody(0)
    sound[7] = value
    return floats(sound)


def floats(sound: np.ndarray, rate: int = RATE) -> bytes:
    import io

    buffer = io.BytesIO()
    soundfile.write(buffer, sound, rate, subtype="FLOAT", format="WAV")
    return buffer.getvalue()


WAV = encode_audio(melody(0), RATE)
DATA = WAV.index(b"data") + 4
REFUSED = {
    "empty": (b"", "It is an empty file."),
    "text": (b"no sound at all", "of another kind"),
    "half a header": (WAV[:30], "cannot be read"),
    "no samples": (encode_audio(melody(0), RATE)[: DATA + 4], "holds no samples"),
    "NaN": (not_finite(np.nan), "no numbers"),
    "infinity": (not_finite(-np.inf), "no numbers"),
    "30 channels": (floats(np.zeros((100, 30), np.float32)), "30 channels; at most 8"),
    "1 Hz": (floats(melody(0), 1), "1 Hz; 1,000 to 768,000 Hz"),
    "1 MHz": (floats(melody(0), 1_000_000), "1,000,000 Hz"),
    "no channel": (WAV[:22] + b"\0\0" + WAV[24:], "cannot be read"),
    "no rate": (WAV[:24] + b"\0\0\0\0" + WAV[28:], "header makes no sense"),
    "zip": (b"PK\x03\x04" + b"\0" * 5_000, "of another kind"),
}
TAKEN = {
    "768 kHz": (floats(melody(0, seconds=2), 768_000), None),
    "8 channels": (floats(np.tile(melody(0)[:, None], 8)), None),
    "one sample": (floats(np.ones(1, np.float32)), None),
    "silence": (floats(np.zeros(RATE, np.float32)), None),
    "too loud": (floats(1e30 * melody(0)), None),
    "claims 4 GB": (WAV[:DATA] + b"\x00\xff\xff\xff" + WAV[DATA + 4 :], "may have been cut short"),
    "length left open": (WAV[:DATA] + b"\xff\xff\xff\xff" + WAV[DATA + 4 :], None),
    "cut short": (encode_audio(melody(0, seconds=4), RATE)[:20_000], "promises 4.0 s and 1.2 s are there"),
}


class TestAudio:
    @pytest.mark.parametrize("what", REFUSED)
    def test_what_is_refused(self, what: str, library: AudioLibrary, tmp_path: Path) -> None:
        data, reason = REFUSED[what]
        (tmp_path / "a.wav").write_bytes(data)
        (outcome,) = add(library, tmp_path / "a.wav")
        assert outcome.status == "failed"
        assert reason in str(outcome.reason)
        assert str(tmp_path) not in str(outcome.reason)
        assert str(outcome.reason).endswith(".")
        assert (tmp_path / "a.wav").read_bytes() == data
        assert not list(library.path.rglob("*.wav"))

    @pytest.mark.parametrize("what", TAKEN)
    def test_what_is_taken(self, what: str, library: AudioLibrary, tmp_path: Path) -> None:
        data, note = TAKEN[what]
        (tmp_path / "a.wav").write_bytes(data)
        (outcome,) = add(library, tmp_path / "a.wav")
        check_stored(library, outcome)
        assert outcome.clip is not None
        assert outcome.clip.path.read_bytes() == data
        assert (note in str(outcome.note)) if note else (outcome.note is None)
        assert library.search("a")[0].clip.id == outcome.id

    @settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None, derandomize=True)
    @given(
        suffix=st.sampled_from((".wav", ".flac", ".mp3")),
        edits=st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=6)), max_size=5),
        cut=st.none() | st.integers(0, 4_000),
    )
    def test_damage_by_chance(
        self,
        suffix: str,
        edits: list[tuple[int, bytes]],
        cut: int | None,
        library: AudioLibrary,
        tmp_path: Path,
    ) -> None:
        data = encode_audio(melody(0, seconds=0.2), RATE, suffix)
        for at, value in edits:
            data = data[:at] + value + data[at + len(value) :]
        source = tmp_path / f"a{suffix}"
        source.write_bytes(data[:cut])
        (outcome,) = add(library, source)
        if outcome.status == "failed":
            assert outcome.reason
            assert outcome.reason.startswith("It ")
        elif outcome.clip is not None:
            check_stored(library, outcome)
        assert source.read_bytes() == data[:cut]


LONG = """
import resource, sys
from pathlib import Path
from audiolib.importing.reading import read_sound
from indexing.analysis import analyse
import numpy as np
analyse(np.random.default_rng(0).standard_normal(480_000).astype(np.float32) * 0.1, 16_000)  # all is imported
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sound = read_sound(Path(sys.argv[1]))
print(sound.duration, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_three_hours_in_bounded_memory(tmp_path: Path) -> None:
    minute = (8_000 * np.random.default_rng(0).standard_normal(60 * 16_000)).clip(-32768, 32767)
    sound = minute.astype("<i2").tobytes()
    size = 180 * len(sound)
    head = encode_audio(np.zeros(1, np.float32), 16_000)
    at = head.index(b"data") + 4
    with (tmp_path / "long.wav").open("wb") as file:
        file.write(head[:at] + struct.pack("<I", size))
        for _ in range(180):
            file.write(sound)
    command = [sys.executable, "-c", LONG, str(tmp_path / "long.wav")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=500)
    duration, kilobytes = map(float, done.stdout.split())
    assert duration == 3 * 3600
    assert kilobytes < 100_000  # the samples alone are 690 MB

"""Files from elsewhere become clips: whole, once each, with all that they say of themselves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from library_files import add, files_of
from library_strategies import recipes
from sound_files import RATE, melody, write_album, write_sound

from audiolib import AudiolibError, AudioLibrary
from audiolib.clip import Recipe
from audiolib.errors import InvalidInputError
from audiolib.files import file_sha256, samples_sha256
from audiolib.ids import new_id
from audiolib.importing import run
from audiolib.importing.recipes import origin_in
from audiolib.importing.words import one_line, stated, tags_for, title_for
from audiolib.sidecars import read_sidecar
from generation.audio import load_audio
from generation.texts import FileTexts

SHORT = 0.2


class TestOneFile:
    @pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".aiff"])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_every_format_is_copied_as_it_is(
        self, suffix: str, channels: int, library: AudioLibrary, tmp_path: Path
    ) -> None:
        source = write_sound(tmp_path / f"My Song{suffix}", channels=channels)
        before = source.read_bytes()
        clip = library.add(source)
        assert clip.path.read_bytes() == source.read_bytes() == before
        assert clip.path.name == f"{clip.id}-my-song{suffix}"
        samples, rate = load_audio(source)
        assert (clip.sample_rate, clip.channels, clip.duration) == (rate, channels, len(samples) / rate)
        assert clip.audio_sha256 == samples_sha256(samples)
        assert clip.sha256 == file_sha256(source)
        assert (clip.title, clip.kind, clip.prompt, clip.transcript) == ("My Song", "imported", None, None)
        assert library.get(clip.id) == clip

    def test_it_is_measured_and_found_at_once(self, library: AudioLibrary, tmp_path: Path) -> None:
        clip = library.add(write_sound(tmp_path / "quiet piano.wav", seconds=3))
        assert clip.loudness_lufs is not None
        assert clip.brightness_hz is not None
        assert read_sidecar(library._folder.sidecar_path(clip.id)).vectors.keys() == {"sound-1"}
        (hit,) = library.search("soft keyboard")
        assert hit.clip == clip

    def test_words_of_the_call(self, library: AudioLibrary, tmp_path: Path) -> None:
        source = write_sound(tmp_path / "a.wav", title="Inside", artist="Ann", genre="Jazz; Swing")
        clip = library.add(source, prompt="rain on a roof", title="Roof", tags=["field", "jazz"])
        assert (clip.prompt, clip.title) == ("rain on a roof", "Roof")
        assert clip.tags == ("field", "jazz", "Swing", "Ann")

    def test_words_inside_the_file(self, library: AudioLibrary, tmp_path: Path) -> None:
        source = write_sound(tmp_path / "a.flac", title="Blå tåg", artist="Ann", comment="by the sea")
        clip = library.add(source)
        assert (clip.title, clip.tags) == ("Blå tåg", ("Ann",))
        document = json.loads(library._folder.sidecar_path(clip.id).read_text(encoding="utf-8"))
        assert document["inside"] == {"title": "Blå tåg", "artist": "Ann", "comment": "by the sea"}

    def test_a_stated_tempo_and_key_fill_what_was_not_measured(
        self, library: AudioLibrary, tmp_path: Path
    ) -> None:
        import mutagen

        source = write_sound(tmp_path / "a.flac", seconds=0.1)  # too short to be measured
        file: Any = mutagen.File(source)
        file["BPM"], file["KEY"] = "92", "F#m"
        file.save()
        clip = library.add(source)
        assert (clip.tempo_bpm, clip.key, clip.loudness_lufs) == (92.0, "F# minor", None)
        confidence = read_sidecar(library._folder.sidecar_path(clip.id)).confidence
        assert (confidence["tempo_bpm"], confidence["loudness_lufs"]) == (0.9, 0)

    def test_a_name_that_lies_about_the_format(self, library: AudioLibrary, tmp_path: Path) -> None:
        source = write_sound(tmp_path / "a.flac").rename(tmp_path / "a.wav")
        assert library.add(source).path.suffix == ".flac"

    def test_what_is_wrong_is_said(self, library: AudioLibrary, tmp_path: Path) -> None:
        (tmp_path / "a.wav").write_text("no sound")
        with pytest.raises(AudiolibError, match=r"a\.wav was not added\. It cannot be read as a sound file"):
            library.add(tmp_path / "a.wav")
        with pytest.raises(AudiolibError, match="does not exist"):
            library.add(tmp_path / "b.wav")
        with pytest.raises(AudiolibError, match="folder"):
            library.add(tmp_path)
        with pytest.raises(InvalidInputError, match="title is empty"):
            library.add(tmp_path / "a.wav", title=" ")
        assert not list(library.list())

    def test_a_file_that_changes_while_it_is_read(
        self, library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = write_sound(tmp_path / "a.wav")
        reading = run.read_sound

        def slow(path: Path, **options: Any) -> Any:
            sound = reading(path, **options)
            write_sound(path, seed=1)
            return sound

        monkeypatch.setattr(run, "read_sound", slow)
        for options in ({}, {"reference": True}):
            (outcome,) = add(library, source, **options)
            assert "changed while it was read" in str(outcome.reason)
        assert files_of(library.path / "audio") == set()


class TestReference:
    def test_it_stays_where_it_is(self, library: AudioLibrary, tmp_path: Path) -> None:
        source = write_sound(tmp_path / "elsewhere" / "song.wav")
        clip = library.add(source, reference=True)
        assert clip.path == source
        assert {path.split(".")[-1] for path in files_of(library.path / "audio")} == {"json"}
        assert library.get(clip.id) == clip
        assert library.search("song")[0].clip.path == source
        assert library.add(source).id == clip.id

    def test_it_needs_a_path_that_can_be_written_down(self, library: AudioLibrary, tmp_path: Path) -> None:
        source = write_sound(tmp_path / "plain.wav").rename(tmp_path / "a\udcff.wav")
        (outcome,) = add(library, source, reference=True)
        assert (outcome.status, outcome.reason is not None) == ("failed", True)
        assert library.add(source).title == "a"


class TestOnce:
    def test_the_same_sound_in_other_files(self, library: AudioLibrary, tmp_path: Path) -> None:
        first = library.add(write_sound(tmp_path / "a.wav"))
        shutil.copy(tmp_path / "a.wav", tmp_path / "b.wav")
        sound, _ = load_audio(tmp_path / "a.wav")
        soundfile.write(tmp_path / "c.flac", sound, RATE)
        write_sound(tmp_path / "d.aiff", title="Another title")
        write_sound(tmp_path / "e.wav", seed=1)
        outcomes = add(
            library, tmp_path / "b.wav", tmp_path / "c.flac", tmp_path / "d.aiff", tmp_path / "e.wav"
        )
        assert [outcome.status for outcome in outcomes] == ["present", "present", "present", "added"]
        assert {outcome.id for outcome in outcomes[:3]} == {first.id}
        assert len(list(library.list())) == 2

    def test_twins_in_one_run(self, library: AudioLibrary, tmp_path: Path) -> None:
        for number in range(12):
            write_sound(tmp_path / "in" / f"{number}.wav", seed=number % 2)
        outcomes = add(library, tmp_path / "in")
        assert [outcome.status for outcome in outcomes].count("added") == 2
        assert len({outcome.id for outcome in outcomes}) == 2

    def test_what_was_removed_can_come_again(self, library: AudioLibrary, tmp_path: Path) -> None:
        source = write_sound(tmp_path / "a.wav")
        first = library.add(source)
        for path in library.path.glob(f"audio/*/{first.id}*"):
            path.unlink()
        (outcome,) = add(library, source)
        assert (outcome.status, outcome.id == first.id) == ("added", False)

    def test_without_an_index_the_sidecars_know(self, library: AudioLibrary, tmp_path: Path) -> None:
        first = library.add(write_sound(tmp_path / "a.wav"))
        (library.path / "imports.jsonl").unlink()
        shutil.rmtree(library.path / "index")
        (outcome,) = add(AudioLibrary(library.path), tmp_path / "a.wav")
        assert (outcome.status, outcome.id) == ("present", first.id)

    def test_a_generated_clip_is_known_too(self, library: AudioLibrary, tmp_path: Path) -> None:
        clip = library.generate("calm piano", duration=SHORT)
        shutil.copy(clip.path, tmp_path / "copy.wav")
        assert library.add(tmp_path / "copy.wav") == clip

    @pytest.mark.slow
    def test_processes_that_add_the_same_files_make_one_clip_of_each(self, tmp_path: Path) -> None:
        write_album(tmp_path / "in", 12)
        command = [sys.executable, "-m", "audiolib", "add", "in", "--library", "shared", "--json"]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        lines = [json.loads(line) for process in running for line in process.communicate()[0].splitlines()]
        assert [process.returncode for process in running] == [0, 0, 0]
        assert sorted(line["status"] for line in lines) == ["added"] * 12 + ["present"] * 24
        assert len({line["id"] for line in lines}) == 12
        assert len(list(AudioLibrary(tmp_path / "shared").list())) == 12

    def test_a_clip_of_another_process_is_seen_under_the_lock(
        self, library: AudioLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = write_sound(tmp_path / "a.wav")
        reading = run.read_sound

        def slow(path: Path, **options: Any) -> Any:
            monkeypatch.setattr(run, "read_sound", reading)
            AudioLibrary(library.path).add(source)  # while we read
            return reading(path, **options)

        monkeypatch.setattr(run, "read_sound", slow)
        (outcome,) = add(library, source)
        assert outcome.status == "present"
        assert len(list(library.list())) == 1


class TestComeback:
    def test_a_clip_of_ours_brings_its_recipe(self, library: AudioLibrary, tmp_path: Path) -> None:
        clip = library.generate("calm piano", duration=SHORT, seed=7, tags=["lofi"], audio_format="flac")
        there = AudioLibrary(tmp_path / "there", settings=library.settings)
        shutil.copy(clip.path, tmp_path / "got by mail.flac")
        back = there.add(tmp_path / "got by mail.flac", tags=["mail"])
        assert (back.id, back.kind, back.prompt, back.title) == (
            clip.id,
            "generated",
            "calm piano",
            "calm piano",
        )
        assert (back.model, back.seed, back.license) == (clip.model, 7, clip.license)
        assert back.tags == ("mail", "lofi")
        assert back.created_at == clip.created_at
        assert there.recipe(back.id) == library.recipe(clip.id)
        assert there.reproduce(back.id).clip == back  # the same samples, here too

    def test_an_id_that_is_taken_is_left_to_its_clip(self, library: AudioLibrary, tmp_path: Path) -> None:
        clip = library.generate("calm piano", duration=SHORT, seed=7)
        sound, rate = load_audio(clip.path)
        with soundfile.SoundFile(clip.path) as file:
            comment = file.comment
        from generation.audio import save_audio

        save_audio(tmp_path / "edited.wav", sound * 0.5, rate, comment=comment)
        edited = library.add(tmp_path / "edited.wav")
        assert edited.id != clip.id
        assert (edited.prompt, edited.seed) == ("calm piano", 7)
        assert library.get(clip.id) == clip

    def test_an_id_in_the_trash_is_left_to_its_clip(self, library: AudioLibrary, tmp_path: Path) -> None:
        clip = library.generate("calm piano", duration=SHORT)
        shutil.copy(clip.path, tmp_path / "copy.wav")
        library.remove([clip.id])
        assert library.add(tmp_path / "copy.wav").id != clip.id

    @given(recipe=recipes)
    def test_only_recipes_that_make_sense(self, recipe: Recipe) -> None:
        found = origin_in(json.dumps({"audiolib": 1, "id": new_id(), "recipe": recipe.to_json()}))
        if found is not None:
            assert found.recipe == recipe
            assert 0 < len(recipe.prompt.strip()) <= 2_000
            json.dumps(found.recipe.to_json(), ensure_ascii=False).encode()

    @pytest.mark.parametrize(
        "change",
        [
            {"prompt": "x" * 2_001},
            {"prompt": "\ud800"},
            {"prompt": ""},
            {"model": "a\nb"},
            {"model": "x" * 301},
            {"seed": 1 << 63},
            {"seed": -1},
            {"steps": 1 << 40},
            {"temperature": "hot"},
            {"parent_id": "../../x"},
            {"dtype": None},
        ],
    )
    def test_recipes_that_make_none(self, change: dict[str, object]) -> None:
        values = {"prompt": "calm", "model": "m", "weights_digest": "d", "seed": 1, "temperature": 1.0}
        values |= {"top_k": 250, "top_p": 0.0, "guidance": 3.0, "steps": 50, "duration": 1.0, "batch_size": 1}
        values |= {"backend": "cpu", "dtype": "float32", "audiolib_version": "1"}
        good = {"audiolib": 1, "id": new_id(), "recipe": values}
        assert origin_in(json.dumps(good)) is not None
        assert origin_in(json.dumps({**good, "recipe": {**values, **change}})) is None

    @pytest.mark.parametrize(
        "clip_id", ["7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "0" * 26, "../../etc", None, 7, "x" * 26]
    )
    def test_ids_that_are_none(self, clip_id: object, library: AudioLibrary, tmp_path: Path) -> None:
        """One of the year 10889 would be `last` for ever, if it could be told at all."""
        clip = library.generate("calm piano", duration=SHORT)
        with soundfile.SoundFile(clip.path) as file:
            document = json.loads(file.comment)
        comment = json.dumps({**document, "id": clip_id})
        from generation.audio import save_audio

        save_audio(tmp_path / "a.wav", melody(3), RATE, comment=comment)
        back = library.add(tmp_path / "a.wav")
        assert (back.kind, back.id != clip_id, back.id > clip.id) == ("generated", True, True)

    @pytest.mark.parametrize(
        "comment", ["{", "[1]", '{"audiolib": 1}', "[" * 20_000, "words", '{"audiolib": 1, "tags": 5}']
    )
    def test_comments_that_are_no_recipe(self, comment: str, library: AudioLibrary, tmp_path: Path) -> None:
        from generation.audio import save_audio

        save_audio(tmp_path / "a.wav", melody(0), RATE, comment=comment)
        assert library.add(tmp_path / "a.wav").kind == "imported"


class TestWords:
    @given(st.text())
    def test_one_line_can_be_shown_and_stored(self, text: str) -> None:
        line = one_line(text)
        line.encode("utf-8")
        assert "\n" not in line
        assert "\u202e" not in line
        assert one_line(line) == line

    @given(st.binary(max_size=60).map(os.fsdecode))
    def test_every_name_makes_a_title(self, name: str) -> None:
        path = Path("/") / (name.replace("/", "").replace("\0", "") or "x")
        title = title_for(path, FileTexts())
        assert 0 < len(title) <= 80
        title.encode("utf-8")

    @pytest.mark.parametrize(
        ("tempo", "key", "expected"),
        [
            ("92", "Am", {"tempo_bpm": 92.0, "key": "A minor"}),
            ("120.5 BPM", "F# major", {"tempo_bpm": 120.5, "key": "F# major"}),
            ("0", "8A", {}),
            ("9999", "x" * 100, {}),
            (None, None, {}),
        ],
    )
    def test_stated_tempo_and_key(self, tempo: str, key: str, expected: dict[str, object]) -> None:
        assert stated(FileTexts(tempo=tempo, key=key)) == expected

    def test_labels(self) -> None:
        assert tags_for(FileTexts(genre="Jazz; Swing, jazz", artist="Ann")) == ("Jazz", "Swing", "Ann")
        assert len(tags_for(FileTexts(genre=";".join(map(str, range(100)))))) == 12
        assert tags_for(FileTexts(genre="x" * 61, artist="\x1b")) == ()

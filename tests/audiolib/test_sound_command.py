"""How sound is finished, from the command line: what is said, kept and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from bs1770 import loudness
from click.testing import CliRunner, Result

from audiolib import AudioLibrary, SoundFinish
from audiolib.cli.musicgen import command as musicgen
from audiolib.sidecars import edit_sidecar
from generation.audio import load_audio

Run = Callable[..., Result]


class TestCommandLine:
    """The options of `generate`, `regenerate`, `show` and `musicgen-cli`."""

    def test_what_is_cut_off_is_told(self, cli: Run) -> None:
        done = cli("generate", "calm piano", "--duration", "0.5", "--seed", "1", "--json")
        assert done.exit_code == 0
        assert " samples were over full scale by up to " in done.stderr
        assert "--normalize peak" in done.stderr
        assert json.loads(done.stdout)["duration"] == 0.5
        clipped = json.loads(cli("show", "last", "--json").stdout)["clipped"]
        assert f"{clipped['samples']:,} of 16,000 samples" in done.stderr
        assert f"by up to {clipped['over_db']:.1f} dB" in done.stderr
        said = f"{clipped['samples']:,} samples over full scale, by up to {clipped['over_db']:.1f} dB"
        assert f"cut off     {said}" in cli("show", "last").stdout
        done = cli("generate", "calm piano", "--duration", "0.5", "--seed", "1", "--normalize", "peak")
        assert done.exit_code == 0
        assert done.stderr == ""
        assert json.loads(cli("show", "last", "--json").stdout)["clipped"] is None
        assert "cut off" not in cli("show", "last").stdout

    @pytest.mark.parametrize("clipped", [7, {}, {"samples": "many", "over_db": 1}, {"samples": 1}])
    def test_what_others_wrote_of_it_is_no_matter(self, cli: Run, clipped: object) -> None:
        cli("generate", "calm piano", "--duration", "0.5", "--seed", "1", "--normalize", "peak")
        edit_sidecar(next(Path("data/audio").rglob("*.json")), {"clipped": clipped})
        assert json.loads(cli("show", "last", "--json").stdout)["clipped"] is None

    def test_options_reach_the_recipe(self, cli: Run) -> None:
        options = ["--sample-format", "pcm24", "--normalize", "rms", "--headroom", "20", "--fade-in", "0.1"]
        done = cli(
            "generate", "calm piano", "--duration", "0.5", *options, "--fade-out", "0.2", "--dither", "--json"
        )
        assert done.exit_code == 0, done.stderr
        recipe = json.loads(cli("show", "last", "--json").stdout)["recipe"]
        assert recipe["finish"] == {
            "normalize": "rms",
            "headroom_db": 20,
            "fade_in": 0.1,
            "fade_out": 0.2,
            "dither": True,
        }
        assert recipe["sample_format"] == "pcm24"
        shown = cli("show", "last").stdout
        assert (
            "pcm24, normalized to rms, 20 dB under full scale, fade-in 0.1 s, fade-out 0.2 s, dither" in shown
        )

    def test_a_target_is_enough(self, cli: Run) -> None:
        done = cli("generate", "calm piano", "--duration", "1", "--lufs", "-20", "--json")
        assert json.loads(done.stdout)["loudness_lufs"] == pytest.approx(-20, abs=0.2)

    def test_no_headroom_is_a_headroom(self, cli: Run) -> None:
        done = cli(
            "generate", "calm piano", "--duration", "0.5", "--normalize", "peak", "--headroom", "0", "--json"
        )
        assert np.abs(load_audio(json.loads(done.stdout)["path"])[0]).max() > 0.998

    def test_regenerate_finishes_the_same_music_otherwise(self, cli: Run) -> None:
        first = json.loads(cli("generate", "calm piano", "--duration", "0.5", "--seed", "2", "--json").stdout)
        again = json.loads(cli("regenerate", "last", "--normalize", "peak", "--json").stdout)
        assert again["parent_id"] == first["id"]
        assert again["seed"] == 2
        codes = [
            np.load(Path(clip["path"]).with_name(f"{clip['id']}.codes.npz"))["codes"]
            for clip in (first, again)
        ]
        np.testing.assert_array_equal(*codes)
        back = json.loads(cli("regenerate", "last", "--normalize", "none", "--json").stdout)
        assert back["audio_sha256"] == first["audio_sha256"]

    def test_regenerate_keeps_what_is_not_named(
        self, cli: Run, library: AudioLibrary, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AUDIOLIB_LIBRARY", str(library.path))
        finish = SoundFinish(normalize="peak", headroom_db=3.0, fade_out=0.2, dither=True)
        library.generate("calm piano", duration=0.5, seed=2, finish=finish)
        assert cli("regenerate", "last", "--fade-in", "0.1").exit_code == 0
        louder = library.recipe("last")
        assert louder is not None
        assert louder.finish == replace(finish, fade_in=0.1)
        assert cli("regenerate", "last", "--normalize", "rms", "--no-dither").exit_code == 0
        other = library.recipe("last")
        assert other is not None
        own = SoundFinish(normalize="rms").resolved().headroom_db
        assert other.finish == SoundFinish(normalize="rms", headroom_db=own, fade_in=0.1, fade_out=0.2)

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            (["--headroom", "3"], "headroom goes with"),
            (["--normalize", "peak", "--lufs", "-14"], "LUFS goes with"),
            (["--lufs", "5"], "makes no sense"),
            (["--format", "flac", "--sample-format", "float"], "FLAC cannot hold floats"),
            (["--fade-in", "0.6"], "do not fit"),
            (["--loudness", "-14"], "--lufs"),
        ],
    )
    def test_what_makes_no_sense_is_wrong_usage(self, cli: Run, options: list[str], says: str) -> None:
        done = cli("generate", "calm piano", "--duration", "0.5", *options)
        assert done.exit_code == 2
        assert says in done.stderr
        assert done.stdout == ""

    def test_musicgen_cli(self, tmp_path: Path) -> None:
        options = ["--duration", "1", "--seed", "1", "--sample-rate", "48000", "--lufs", "-18"]
        done = CliRunner().invoke(
            musicgen,
            [
                "--prompt",
                "calm piano",
                "--output",
                str(tmp_path / "a.wav"),
                "--sample-format",
                "float",
                *options,
            ],
        )
        assert done.exit_code == 0, done.stderr
        audio, rate = load_audio(tmp_path / "a.wav")
        assert soundfile.info(tmp_path / "a.wav").subtype == "FLOAT"
        assert rate == 48_000
        assert loudness(audio, rate) == pytest.approx(-18, abs=0.2)

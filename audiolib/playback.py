"""Playing a file: the system's own player where there is one, else PortAudio."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from audiolib.errors import PlaybackError

_PLAYERS: Final = (
    ("afplay",),  # macOS
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"),
    ("mpv", "--no-video", "--really-quiet"),
    ("play", "-q"),  # SoX
    ("paplay",),
    ("aplay", "-q"),
)


def play(path: Path) -> None:
    """Play a sound file and wait for its end.

    Args:
        path: The file.

    Raises:
        PlaybackError: There is no player, or it failed.
        AudioError: The file cannot be read.
    """
    for program, *options in _PLAYERS:
        found = shutil.which(program)
        if found:
            result = subprocess.run(  # noqa: S603  # a fixed list of programs and a path of ours
                [found, *options, str(path)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if result.returncode:
                reason = (result.stderr.strip().splitlines() or ["it gave no reason"])[-1]
                raise PlaybackError(f"{program} could not play {path}: {reason}")
            return
    _play_with_portaudio(path)


def _play_with_portaudio(path: Path) -> None:
    from generation.audio import load_audio
    from generation.errors import AudioError
    from generation.sketch import GeneratedAudio

    samples, rate = load_audio(path)
    try:
        GeneratedAudio(audio=samples, sampling_rate=rate).play()
    except AudioError as error:
        raise PlaybackError(
            f"No player was found for {path}. Install ffmpeg, or `pip install 'audiolib-mlx[play]'`."
        ) from error

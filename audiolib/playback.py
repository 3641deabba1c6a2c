"""Playing clips, while they are made or from their files: through PortAudio, else with the system's own player."""

import logging
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audiolib.errors import PlaybackError

if TYPE_CHECKING:
    import numpy as np

    from generation.playing import LivePlayer

_log = logging.getLogger(__name__)

_COMMON: Final = frozenset({".wav", ".aiff", ".aif"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Player:
    """A program that plays a file to its end; of other files than `formats` it makes noise or nothing at all."""

    program: str
    options: tuple[str, ...] = ()
    formats: frozenset[str] | None = None


_PLAYERS: Final = (
    _Player(program="afplay", formats=_COMMON | {".mp3", ".flac"}),  # macOS
    _Player(program="ffplay", options=("-nodisp", "-autoexit", "-loglevel", "error")),
    _Player(program="mpv", options=("--no-video", "--really-quiet")),
    _Player(program="play", options=("-q",), formats=_COMMON | {".flac", ".ogg"}),  # SoX
    _Player(program="pw-play", formats=_COMMON | {".flac", ".ogg"}),
    _Player(program="paplay", formats=_COMMON | {".flac", ".ogg"}),
    _Player(program="aplay", options=("-q",), formats=frozenset({".wav"})),
)


class Speaker:
    """Plays clips while they are made. What cannot be played so is played from its file; a failure is only told of.

    It is told once for each clip, and at once.
    """

    def __init__(self) -> None:
        self._player: LivePlayer | None = None
        self._told = False

    def hear(self, chunk: "np.ndarray", sampling_rate: int) -> None:
        """Play the next piece of a clip; returns at once.

        Args:
            chunk: `(samples,)` or `(samples, 2)` float32 in [-1, 1].
            sampling_rate: In Hz.
        """
        from generation.playing import LivePlayer, can_play_live

        if self._player is None and can_play_live():
            self._player = LivePlayer(sampling_rate, self._tell)
        if self._player is not None:
            self._player.feed(chunk)

    def finish(self, path: Path) -> None:
        """Wait until a clip was heard to its end; where it was not, play its file.

        Args:
            path: Of the clip, which is stored by now.
        """
        from generation.errors import AudioError

        player, self._player = self._player, None
        try:
            if player is None:
                play(path)
                return
            try:
                player.finish()
            except AudioError:
                if player.heard:
                    raise
                play(path)
        except (AudioError, PlaybackError) as error:
            level = logging.INFO if self._told else logging.WARNING
            _log.log(level, "The clip is stored, but could not be played: %s", error)
        finally:
            self._told = False

    def _tell(self, reason: str) -> None:
        """In the player's thread, while the clip is made."""
        self._told = True
        _log.warning("The clip is still made, but cannot be heard meanwhile: %s", reason)

    def stop(self) -> None:
        """Be silent at once."""
        if self._player is not None:
            self._player.stop()
            self._player = None


def play(path: Path) -> None:
    """Play a sound file and wait for its end; an interruption stops the sound at once.

    Args:
        path: The file.

    Raises:
        PlaybackError: There is no player, or none could play it.
        AudioError: The file is missing or damaged.
    """
    from generation.playing import portaudio
    from generation.stream import open_audio

    with open_audio(path):
        pass  # a lost file is told as such, not as a player's trouble
    device = portaudio()
    if device is not None and _play_with_portaudio(device, path):
        return
    _play_with_system(path)


def _play_with_system(path: Path) -> None:
    """Try the players there are, one after the other: one may lack a device that another one finds."""
    from generation.playing import FAILS_WITHIN

    reasons = []
    for player in _PLAYERS:
        found = shutil.which(player.program)
        if found is None:
            continue
        start = time.monotonic()
        with _playable(path, player) as file:
            result = subprocess.run(  # noqa: S603  # a fixed list of programs and a path of ours
                [found, *player.options, str(file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                check=False,
            )
        if result.returncode == 0:
            return
        said = (result.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        reasons.append(f"{player.program} could not play {path}: {said}")
        if result.returncode < 0 or time.monotonic() - start > FAILS_WITHIN:
            break  # it was stopped, or something was heard already
    if reasons:
        raise PlaybackError(reasons[0])
    raise PlaybackError(
        f"No player was found for {path}. Install ffmpeg, or `pip install 'audiolib-mlx[play]'`."
    )


@contextmanager
def _playable(path: Path, player: _Player) -> Iterator[Path]:
    """The file, or a WAV of it for a player that does not know its format."""
    if player.formats is None or path.suffix.lower() in player.formats:
        yield path
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="audiolib-") as folder:
        target = Path(folder, "clip.wav")
        _write_wav(path, target)
        yield target


def _write_wav(source: Path, target: Path) -> None:
    import soundfile

    from generation.stream import open_audio

    with (
        open_audio(source) as stream,
        soundfile.SoundFile(target, "w", stream.sampling_rate, stream.channels, subtype="PCM_16") as file,
    ):
        for block in stream.blocks():
            file.write(block)


def _play_with_portaudio(sounddevice: Any, path: Path) -> bool:
    """Play block by block; `False` where the device cannot, for instance at this rate."""
    from generation.errors import AudioError
    from generation.playing import Device
    from generation.stream import open_audio

    with open_audio(path) as stream:
        try:
            device = Device(sounddevice, stream.sampling_rate, stream.channels)
        except AudioError as error:
            _log.info("%s: %s", path, error)
            return False
        try:
            for block in stream.blocks():
                device.write(block)
        except BaseException:
            device.abort()  # closing it alone would play what is buffered
            raise
        device.close()
    return True

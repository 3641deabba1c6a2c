"""Sound to files: the audio with its recipe inside, the codec tokens, the sidecar; and checking them again."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from audiolib.analyses import measure
from audiolib.clip import Clip
from audiolib.codes import write_codes
from audiolib.composer import MadeAudio
from audiolib.crashpoints import crashpoint
from audiolib.files import TOLERATED_FRAMES, SamplesDigest, file_sha256, temporary_path
from audiolib.folder import LibraryFolder, utc_text
from audiolib.ids import new_id, time_of
from audiolib.prompts import slug_of, title_of
from audiolib.requests import GenerationRequest
from audiolib.sidecars import Sidecar, write_sidecar
from audiolib.transcripts import waiting

if TYPE_CHECKING:
    from generation.clipping import Clipping

COMMENT_FORMAT: Final = 1

LINE_KEY: Final = "line"
"""Key of a sidecar, and of the comment in an audio file, that names the line of a file that a clip was made for."""

CLIPPED_KEY: Final = "clipped"
"""Key of a sidecar that tells what was cut off at full scale; absent where nothing was, and before it was recorded."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFacts:
    """What can be read off an audio file: `duration` in seconds, `sample_rate` in Hz, digests in hex."""

    duration: float
    sample_rate: int
    channels: int
    sha256: str
    audio_sha256: str


def store(
    folder: LibraryFolder, made: MadeAudio, request: GenerationRequest, *, line: str | None = None
) -> Sidecar:
    """Write a new clip into the library: audio, codes, sidecar, in this order; all or nothing.

    Args:
        folder: The library.
        made: The sound and its recipe.
        request: What was asked for.
        line: The key of the line of a file that it is for, see `audiolib.lines.line_keys`.

    Returns:
        The clip's sidecar; its files are on the disk.

    Raises:
        AudioError: The audio cannot be written.
        OSError: A file cannot be written.
    """
    clip_id = new_id()
    home = folder.make_month_folder(clip_id)
    slug = slug_of(made.recipe.prompt)
    name = f"{clip_id}-{slug}" if slug else clip_id
    audio = home / f"{name}.{request.audio_format}"
    codes = home / f"{clip_id}.codes.npz"
    sidecar = home / f"{clip_id}.json"
    with _all_or_nothing(audio, codes, sidecar):
        clip, clipped = write_clip(audio, made, request, clip_id=clip_id, line=line)
        crashpoint("generate.audio-written")
        write_codes(codes, made.codes)
        crashpoint("generate.codes-written")
        more = measure(audio) | waiting() | ({} if line is None else {LINE_KEY: line})
        more |= {} if clipped is None else {CLIPPED_KEY: clipped.to_json()}
        written = write_sidecar(sidecar, clip, recipe=made.recipe, codes=codes.name, more=more)
        crashpoint("generate.sidecar-written")
    return written


def write_clip(
    path: Path, made: MadeAudio, request: GenerationRequest, *, clip_id: str, line: str | None = None
) -> "tuple[Clip, Clipping | None]":
    """Write one audio file with its recipe inside, and read it back.

    Args:
        path: Where; the suffix decides the format.
        made: The sound and its recipe.
        request: What was asked for.
        clip_id: The id of the clip.
        line: The key of the line that it is for.

    Returns:
        The clip, and what was cut off at full scale.

    Raises:
        AudioError: The audio cannot be written.
        OSError: A file cannot be written.
    """
    title = title_of(made.recipe.prompt)
    clipped = write_audio(
        path,
        made,
        clip_id=clip_id,
        title=title,
        tags=tuple(request.tags),
        sample_rate=request.sample_rate,
        line=line,
    )
    facts = read_facts(path)
    clip = Clip(
        id=clip_id,
        path=path,
        prompt=made.recipe.prompt,
        title=title,
        model=made.recipe.model,
        seed=made.recipe.seed,
        duration=facts.duration,
        sample_rate=facts.sample_rate,
        channels=facts.channels,
        tags=tuple(request.tags),
        created_at=utc_text(time_of(clip_id)),
        kind="generated",
        parent_id=made.recipe.parent_id,
        sha256=facts.sha256,
        audio_sha256=facts.audio_sha256,
        license=made.license,
    )
    return clip, clipped


def write_audio(
    path: Path,
    made: MadeAudio,
    *,
    clip_id: str,
    title: str,
    tags: tuple[str, ...],
    sample_rate: int | None,
    line: str | None = None,
) -> "Clipping | None":
    """Write one audio file atomically, with all that explains it inside.

    Args:
        path: Where; the suffix decides the format.
        made: The sound and its recipe.
        clip_id: The id of the clip.
        title: Its title.
        tags: Its labels.
        sample_rate: In Hz; the model's own when `None`.
        line: The key of the line that it is for.

    How it is finished and stored is what the recipe says. What the listener should know of that is logged.

    Returns:
        What was over full scale and cut off, if anything was.

    Raises:
        AudioError: The audio cannot be written.
        InvalidRequestError: Fades are longer than the sound.
        OSError: A file cannot be written.
    """
    from generation.audio import resample, save_audio
    from generation.finish import finish_sound
    from indexing.loudness import integrated_loudness

    recipe = made.recipe
    audio, rate, clipped = made.audio, made.sampling_rate, None
    if sample_rate is not None and sample_rate != rate:
        if recipe.finish.normalize is None and recipe.sample_format != "float":
            # Before the filter, as ever: clips must come out as they are stored.
            finished = finish_sound(audio, rate)
            finished.tell(_log)
            audio, clipped = finished.audio, finished.clipped
        audio, rate = resample(audio, rate, sample_rate), sample_rate
    cut = save_audio(
        path,
        audio,
        rate,
        sample_format=recipe.sample_format,
        finish=recipe.finish,
        meter=integrated_loudness,
        dither_seed=recipe.seed,
        comment=comment_of(made, clip_id=clip_id, tags=tags, line=line),
        title=title,
    )
    return cut if clipped is None else clipped.and_then(cut)


def comment_of(made: MadeAudio, *, clip_id: str, tags: tuple[str, ...], line: str | None = None) -> str:
    """Return the text that an audio file carries, so that it explains itself anywhere and can come back.

    Args:
        made: The sound and its recipe.
        clip_id: The id of the clip.
        tags: Its labels.
        line: The key of the line that it is for.
    """
    document = {
        "audiolib": COMMENT_FORMAT,
        "id": clip_id,
        "tags": list(tags),
        "license": made.license,
        "recipe": made.recipe.to_json(),
        **({} if line is None else {LINE_KEY: line}),
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def read_facts(path: Path) -> AudioFacts:
    """Read and measure an audio file.

    Args:
        path: The file.

    Raises:
        AudioError: It cannot be read.
        OSError: It cannot be opened.
    """
    from generation.errors import AudioError
    from generation.stream import open_audio

    frames, digest = 0, SamplesDigest()
    with open_audio(path) as stream:
        for block in stream.blocks():  # imported audio may be hours long
            frames += len(block)
            digest.update(block)
    if frames == 0:
        raise AudioError(f"{path} holds no samples.")
    return AudioFacts(
        duration=frames / stream.sampling_rate,
        sample_rate=stream.sampling_rate,
        channels=stream.channels,
        sha256=file_sha256(path),
        audio_sha256=digest.hexdigest(),
    )


def is_cut(path: Path) -> bool:
    """Return whether an audio file holds less than its header promises, as after an interrupted copy.

    Args:
        path: The file.

    Raises:
        AudioError: It cannot be read.
        OSError: It cannot be opened.
    """
    from generation.stream import open_audio

    with open_audio(path) as stream:
        frames = sum(len(block) for block in stream.blocks())
        return stream.cut or (stream.promised or 0) - frames > TOLERATED_FRAMES


@contextmanager
def scratch_file(target: Path) -> Iterator[Path]:
    """Give a hidden path beside `target` that is removed at the end if it is still there.

    Args:
        target: The path whose folder and suffix are used.
    """
    temporary = temporary_path(target)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _all_or_nothing(*paths: Path) -> Iterator[None]:
    """Remove what was written when the block does not end well; the sidecar is the last to come and to go."""
    try:
        yield
    except BaseException:
        for path in reversed(paths):
            path.unlink(missing_ok=True)
        raise

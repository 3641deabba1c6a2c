"""One of several processes that work on a library at once; prints a JSON line for everything it was told is done."""

import json
import logging
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from audiolib import AudioLibrary
from audiolib.errors import ClipNotFoundError
from audiolib.settings import Settings
from generation.audio import save_audio
from generation.finish import SoundFinish

PROMPTS = ("calm piano", "happy rock", "dark techno", "slow pads", "fast jazz")


def main(root: str, role: str, number: str, seconds: str) -> None:
    """Work in one role until the time is over.

    Args:
        root: The library's folder.
        role: A function below.
        number: Of this process, from 0.
        seconds: How long.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    library = AudioLibrary(Path(root), settings=Settings(model="tiny", lock_timeout=60))
    chance = random.Random(int(number))  # noqa: S311
    work: Callable[[AudioLibrary, random.Random, str], None] = ROLES[role]
    library.search("warm up", limit=1)  # the embedder is loaded before the start
    say("ready", role)
    sys.stdin.readline()
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        work(library, chance, number)
    say("finished", role)


def say(what: str, value: object) -> None:
    """Tell the test."""
    sys.stdout.write(json.dumps([what, value]) + "\n")
    sys.stdout.flush()


def add(library: AudioLibrary, chance: random.Random, number: str) -> None:
    """Import a new sound; every third time one that all processes add at once."""
    seed = chance.randrange(6) if chance.random() < 1 / 3 else int(number) << 20 | chance.randrange(1 << 20)
    path = library.path.parent / f"song {number} {seed}.wav"
    sound = np.random.default_rng(seed).uniform(-0.3, 0.3, 8_000).astype(np.float32)
    save_audio(path, sound, 8_000)
    for outcome in library.add_all([path]):
        say("added" if outcome.status == "added" else "present", [outcome.id, seed])


UNCLIPPED = SoundFinish(normalize="peak")  # random weights overshoot, and every clip would be told of


def generate(library: AudioLibrary, chance: random.Random, number: str) -> None:
    """Make a clip."""
    say("added", [library.generate(chance.choice(PROMPTS), duration=0.2, finish=UNCLIPPED).id, None])


def some(library: AudioLibrary, chance: random.Random) -> str | None:
    """Any clip of the library."""
    ids = [clip.id for clip in library.list()]
    return chance.choice(ids) if ids else None


def tag(library: AudioLibrary, chance: random.Random, number: str) -> None:
    """Tag any clip with a word of this process's own."""
    clip_id = some(library, chance)
    word = f"tag{number}x{chance.randrange(1 << 30)}"
    try:
        if clip_id is not None:
            library.tag(clip_id, add=[word])
            say("tagged", [clip_id, word])
    except ClipNotFoundError:
        pass  # removed meanwhile


def search(library: AudioLibrary, chance: random.Random, number: str) -> None:
    """Ask in every way; there is always an answer."""
    mode = chance.choice(["hybrid", "semantic", "keyword"])
    hits = library.search(chance.choice(PROMPTS), mode=mode, limit=5)
    if mode != "keyword" and not hits:
        raise RuntimeError(f"a search by {mode} found nothing")
    say("searched", len(hits))


def remove(library: AudioLibrary, chance: random.Random, number: str) -> None:
    """Remove any clip but the first ones; bring one of three back."""
    ids = [clip.id for clip in library.list()][:-3]
    if not ids:
        time.sleep(0.1)
        return
    clip_id = chance.choice(ids)
    try:
        library.remove(clip_id)
    except ClipNotFoundError:
        return  # another process was faster
    say("removed", clip_id)
    if chance.random() < 1 / 3:
        for clip in library.restore(clip_id):
            say("restored", clip.id)
    time.sleep(0.2)


def keep(library: AudioLibrary, chance: random.Random, number: str) -> None:
    """Catch up, rebuild, optimise, check."""
    from indexing.store import ClipIndex

    what = chance.randrange(4)
    if what == 0:
        library.index()
    elif what == 1:
        library.index(rebuild=True)
    elif what == 2:
        ClipIndex(library.path / "index").optimise()
    else:
        report = library.check()
        wrong = [finding.sentence for finding in report.findings if finding.severity == "error"]
        if wrong:
            raise RuntimeError(wrong[0])
    say("kept", what)


ROLES = {"add": add, "generate": generate, "tag": tag, "search": search, "remove": remove, "keep": keep}

if __name__ == "__main__":
    main(*sys.argv[1:])

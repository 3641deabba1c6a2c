"""What words and settings do to a model's music, in figures: the tables of docs/prompting.md.

`python -m generation.training.starter.probe --model mlx-models/starter --out FOLDER` writes a line for each clip to
`FOLDER/probe.jsonl` and prints the tables; started again it makes only the clips that are missing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from generation.musicgen import MusicGen
from generation.training.starter import measure
from generation.training.starter.vocabulary import captions

SUBJECTS = ("piano", "strings", "guitar", "synth")
PLAIN = "{} music"
WORDINGS: Mapping[str, Sequence[str]] = {
    "plain": (PLAIN,),
    "tempo": ("fast {} music", "slow {} music", "{} music at 160 bpm", "{} music at 70 bpm"),
    "tone": ("bright {} music", "dark {} music"),
    "drums": ("{} music with heavy drums", "{} music, no drums"),
    "mood": ("happy {} music", "sad {} music"),
    "style": ("techno {} music", "lullaby {} music"),
    "use": ("{} music for a workout", "{} music for sleep"),
    "order and number": ("{} music, fast", "fast bright {} music with heavy drums"),
    "words it does not know": ("vaporwave {} music", "{} music recorded in 1972 on tape"),
}
"""Ways to say something more of a subject, by what they speak of."""

PAIRS = (
    ("onsets", "fast {} music", "slow {} music"),
    ("brightness", "bright {} music", "dark {} music"),
    ("drums", "{} music with heavy drums", "{} music, no drums"),
)
"""Wordings of which the first must measure higher, by the measure."""

SETTINGS: Mapping[str, Mapping[str, float]] = {
    "as it is": {},
    "guidance 1": {"guidance": 1.0},
    "guidance 3": {"guidance": 3.0},
    "guidance 6": {"guidance": 6.0},
    "temperature 0": {"temperature": 0.0},
    "temperature 0.5": {"temperature": 0.5},
    "temperature 1.5": {"temperature": 1.5},
    "top-k 50": {"top_k": 50},
    "top-p 0.9": {"top_p": 0.9},
}
_BATCH = 4
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One clip in figures.

    Attributes:
        prompt: What it was made from.
        seed: What it was drawn with.
        settings: Sampling settings other than the checkpoint's own, by name.
        seconds: Its length.
        onsets: A second.
        brightness: Spectral centroid in Hz.
        drums: Percussive share, 0 to 1.
        level: RMS in dBFS.
        tokens: Different tokens in the first codebook.
        profile: Levels of 24 bands in dB relative to all of them, which is what two clips are compared by.
    """

    prompt: str
    seed: int
    settings: Mapping[str, float]
    seconds: float
    onsets: float
    brightness: float
    drums: float
    level: float
    tokens: int
    profile: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which clips are compared: their seeds, the length of each, and the subjects whose settings are varied."""

    seeds: Sequence[int] = (1, 2)
    seconds: float = 5.0
    subjects: Sequence[str] = SUBJECTS[:2]


class Clips:
    """Clips in figures, each made once and kept as a line of a file."""

    def __init__(self, model: MusicGen, path: Path, seconds: float) -> None:
        self.model = model
        self.path = path
        self.seconds = seconds
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._known = {_key(clip): clip for clip in (Measured(**json.loads(line)) for line in lines)}

    def of(
        self,
        prompts: Iterable[str],
        seeds: Iterable[int],
        settings: Mapping[str, float] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> list[Measured]:
        """The clips of some prompts, each with every seed; what is not known yet is made."""
        chosen = dict(settings or {})
        wanted = list(itertools.product(prompts, seeds))
        keys = [(prompt, seed, json.dumps(chosen, sort_keys=True), self.seconds) for prompt, seed in wanted]
        missing = [pair for pair, key in zip(wanted, keys, strict=True) if key not in self._known]
        for start in range(0, len(missing), _BATCH):
            self._make(missing[start : start + _BATCH], chosen)
            if progress is not None:
                progress(f"{missing[start][0]} {chosen or ''}")
        return [self._known[key] for key in keys]

    def _make(self, wanted: Sequence[tuple[str, int]], settings: Mapping[str, float]) -> None:
        options = {**settings, "duration": self.seconds}
        made = self.model.compose([p for p, _ in wanted], seeds=[s for _, s in wanted], **options)  # type: ignore[arg-type]
        for (prompt, seed), clip in zip(wanted, made, strict=True):
            audio, hz = clip.audio, self.model.sampling_rate
            measured = Measured(
                prompt=prompt,
                seed=seed,
                settings=settings,
                seconds=self.seconds,
                onsets=measure.onset_rate(audio, hz),
                brightness=measure.spectral_centroid(audio, hz),
                drums=measure.percussive_share(audio, hz),
                level=10 * float(np.log10(np.mean(audio.astype(np.float64) ** 2) + 1e-12)),
                tokens=len(np.unique(clip.codes[0])),
                profile=[round(float(level), 2) for level in measure.band_levels(audio, hz)],
            )
            self._known[_key(measured)] = measured
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(measured)) + "\n")


def _key(clip: Measured) -> tuple[str, int, str, float]:
    return clip.prompt, clip.seed, json.dumps(clip.settings, sort_keys=True), clip.seconds


def unknown_words(prompt: str, known: frozenset[str]) -> list[str]:
    """The words of a prompt that are in no caption, in their order.

    Args:
        prompt: Any text.
        known: What `caption_words` gives.
    """
    return [word for word in _WORD.findall(prompt.lower()) if word not in known]


def caption_words(count: int = 20_000) -> frozenset[str]:
    """Every word of the starter's first `count` captions: all that it ever read of."""
    return frozenset(word for caption in captions(count) for word in _WORD.findall(caption.lower()))


def spread(clips: Sequence[Measured]) -> float:
    """How far clips of one prompt lie apart, in dB: mean difference of their band levels over pairs of seeds."""
    distances = [
        float(np.mean(np.abs(np.subtract(one.profile, other.profile))))
        for one, other in itertools.combinations(clips, 2)
        if one.prompt == other.prompt and one.seed != other.seed
    ]
    return float(np.mean(distances)) if distances else 0.0


def _mean(clips: Sequence[Measured], name: str) -> float:
    return float(np.mean([getattr(clip, name) for clip in clips]))


def _moved(clips: Sequence[Measured], plain: Sequence[Measured], name: str) -> str:
    """The mean, and in how many clips it is higher than without the words: `2.9 (8)`."""
    higher = sum(getattr(a, name) > getattr(b, name) for a, b in zip(clips, plain, strict=True))
    value = _mean(clips, name)
    digits = 2 if abs(value) < 1 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f} ({higher})"


def words_table(clips: Clips, plan: Plan, progress: Callable[[str], None] | None = None) -> list[str]:
    """What words do: each measure's mean, in how many clips it is higher than in the plain prompt's, the spread."""
    plain = clips.of([PLAIN.format(s) for s in SUBJECTS], plan.seeds, progress=progress)
    rows = [
        f"| what is said (in brackets: clips of {len(plain)} that measure more than the plain prompt's) | "
        "onsets a second | brightness, Hz | drums | level, dBFS | spread, dB |",
        "|---|---|---|---|---|---|",
    ]
    for wordings in WORDINGS.values():
        for wording in wordings:
            made = clips.of([wording.format(s) for s in SUBJECTS], plan.seeds, progress=progress)
            cells = [_moved(made, plain, name) for name in ("onsets", "brightness", "drums", "level")]
            rows.append(f"| {wording.format('…')} | {' | '.join(cells)} | {spread(made):.1f} |")
    return rows


def subjects_table(clips: Clips, plan: Plan, progress: Callable[[str], None] | None = None) -> list[str]:
    """What the subject does, whatever else is said of it: the same clips as those of `words_table`."""
    rows = ["| subject | onsets a second | brightness, Hz | drums | level, dBFS |", "|---|---|---|---|---|"]
    for subject in SUBJECTS:
        prompts = [wording.format(subject) for wordings in WORDINGS.values() for wording in wordings]
        made = clips.of(prompts, plan.seeds, progress=progress)
        rows.append(
            f"| {subject} | {_mean(made, 'onsets'):.1f} | {_mean(made, 'brightness'):.0f} | "
            f"{_mean(made, 'drums'):.2f} | {_mean(made, 'level'):.0f} |"
        )
    return rows


def followed(clips: Sequence[Measured], plan: Plan) -> tuple[int, int]:
    """How many pairs of clips of one seed are ordered as their words say, and how many there are."""
    found = {(clip.prompt, clip.seed): clip for clip in clips}
    right = [
        getattr(found[higher.format(subject), seed], name) > getattr(found[lower.format(subject), seed], name)
        for name, higher, lower in PAIRS
        for subject in plan.subjects
        for seed in plan.seeds
    ]
    return sum(right), len(right)


def settings_table(clips: Clips, plan: Plan, progress: Callable[[str], None] | None = None) -> list[str]:
    """What settings do: words followed, contrast between opposite words, how far seeds lie apart, tokens used."""
    rows = [
        "| setting | words followed | fast : slow | bright : dark | drums : none | spread, dB | tokens | level, dBFS |",
        "|---|---|---|---|---|---|---|---|",
    ]
    prompts = [wording.format(s) for _, *pair in PAIRS for wording in pair for s in plan.subjects]
    for title, settings in SETTINGS.items():
        made = clips.of(prompts, plan.seeds, settings, progress)
        right, all_of_them = followed(made, plan)
        ratios = []
        for name, *pair in PAIRS:
            higher, lower = (
                _mean([c for c in made if c.prompt in {w.format(s) for s in plan.subjects}], name)
                for w in pair
            )
            ratios.append(f"{higher / lower:.1f}" if lower > 0 else "-")
        rows.append(
            f"| {title} | {right} of {all_of_them} | {' | '.join(ratios)} | {spread(made):.1f} | "
            f"{_mean(made, 'tokens'):.0f} | {_mean(made, 'level'):.0f} |"
        )
    return rows


def main(arguments: list[str] | None = None) -> int:
    """The command line of the probe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for probe.jsonl")
    parser.add_argument("--seconds", type=float, default=Plan().seconds)
    parser.add_argument("--seeds", type=int, default=len(Plan().seeds), help="how many of them, from 1 on")
    options = parser.parse_args(arguments)
    plan = Plan(seeds=range(1, options.seeds + 1), seconds=options.seconds)
    options.out.mkdir(parents=True, exist_ok=True)
    clips = Clips(MusicGen.from_pretrained(options.model), options.out / "probe.jsonl", plan.seconds)
    for table in (words_table, subjects_table, settings_table):
        print("\n".join([*table(clips, plan, lambda text: print(text, flush=True)), ""]), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

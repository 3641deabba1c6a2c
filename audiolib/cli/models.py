"""`audiolib models`: checkpoints on this machine, and getting more."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from audiolib.cli import output
from audiolib.cli.options import json_option, model_option, open_library

if TYPE_CHECKING:
    from audiolib import Models


@click.group("models", short_help="See the models here, and download more.")
def models_command() -> None:
    """See which models are here, how they would run, and download more."""


@models_command.command("list", short_help="List the MusicGen models on this machine.")
@json_option
def list_command(as_json: bool) -> None:
    """List the MusicGen models on this machine; * marks the one that is used by default."""
    cards = _models().list()
    if as_json:
        for card in cards:
            output.json_line({**asdict(card), "path": str(card.path)})
    elif cards:
        output.table(
            (
                output.Column(title=""),
                output.Column(title="model", style={"bold": True}),
                output.Column(title="family"),
                output.Column(title="size", right=True),
                output.Column(title="license"),
                output.Column(title="path"),
            ),
            [
                (
                    "*" if card.default else "",
                    card.model,
                    card.family or "unreadable",
                    f"{card.size / 1e6:,.0f} MB",
                    card.license or "unknown",
                    output.short_path(card.path),
                )
                for card in cards
            ],
        )
    else:
        output.notice("No model is on this machine. `audiolib models pull facebook/musicgen-small` gets one.")


@models_command.command("info", short_help="Show which model and backend would be used.")
@model_option
@json_option
def info_command(model: str | None, as_json: bool) -> None:
    """Show which model would be used and why, and the backend, number type and BLAS it would run on."""
    info = _models().info(model)
    if as_json:
        path = None if info.model_path is None else str(info.model_path)
        output.json_line(
            {**asdict(info), "model_path": path, "models_dirs": [str(p) for p in info.models_dirs]}
        )
        return
    output.fields(
        [
            ("model", info.model or f"none: {info.problem}"),
            *([("path", output.short_path(info.model_path))] if info.model_path else []),
            *([("family", info.family)] if info.family else []),
            *([("decoder", info.geometry)] if info.geometry else []),
            *([("weights", info.weights)] if info.weights else []),
            *([("problem", info.problem)] if info.model and info.problem else []),
            ("chosen by", info.why),
            ("backend", info.backend),
            ("device", info.device),
            ("dtype", info.dtype),
            ("BLAS", info.blas),
            ("models in", ", ".join(output.short_path(folder) for folder in info.models_dirs)),
        ]
    )


@models_command.command("pull", short_help="Download a model from the Hugging Face hub.")
@click.argument("name")
@json_option
def pull_command(name: str, as_json: bool) -> None:
    """Download the repository NAME from the Hugging Face hub: MusicGen, Whisper or an embedder."""
    with output.bar(name, "B") as update:
        path = _models().pull(name, progress=update)
    if as_json:
        output.json_line({"model": name, "path": str(path)})
    else:
        output.result(output.short_path(path))


@models_command.command("convert", short_help="Make safetensors of a model's pickles.")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--text-encoder", metavar="MODEL", help="Take T5 from this checkpoint: a name or a folder.")
@click.option("--codec", metavar="MODEL", help="Take the codec from this checkpoint, where it is missing.")
@json_option
def convert_command(folder: Path, text_encoder: str | None, codec: str | None, as_json: bool) -> None:
    """Write FOLDER's pytorch_model.bin, or audiocraft's state_dict.bin, again as safetensors, ready to be used.

    Nothing that a pickle says is run: only tensors are read, anything else is refused. `models pull` does this by
    itself where a repository has pickles alone. audiocraft's files have no text encoder, and some no codec: these come
    from T5, EnCodec or another MusicGen checkpoint on this machine.
    """
    with output.bar(folder.name, "tensor") as update:
        done = _models().convert(folder, text_encoder=text_encoder, codec=codec, progress=update)
    for note in done.notes:
        output.notice(note)
    for path in done.files:
        if as_json:
            output.json_line({"path": str(path.resolve()), "size": path.stat().st_size})
        else:
            output.result(f"{output.short_path(path)}  {path.stat().st_size / 1e6:,.0f} MB")


def _models() -> "Models":
    return open_library(None).models

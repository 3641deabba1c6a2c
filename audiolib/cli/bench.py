"""`audiolib bench`: how fast and how large it is on this machine."""

from dataclasses import asdict
from typing import Any

import click

from audiolib.cli import output
from audiolib.cli.options import bits_option, json_option, model_option, open_library

_GEOMETRIES = ("tiny", "starter", "small", "medium", "large")


@click.group("bench", short_help="Measure speed and memory on this machine.")
def bench_command() -> None:
    """Measure speed and memory on this machine."""


@bench_command.command("generate", short_help="Measure how fast music is made.")
@click.option(
    "--geometry",
    type=click.Choice(_GEOMETRIES),
    help="A published size with random weights, which take as long as trained ones.",
)
@model_option
@bits_option
@click.option(
    "--dtype", type=click.Choice(["float32", "float16", "bfloat16"]), help="Number type of the weights."
)
@click.option(
    "--batch", "batches", type=int, multiple=True, help="Clips at once; may be repeated.  [default: 1]"
)
@click.option("--seconds", type=float, default=10.0, show_default=True, help="Length of each clip.")
@click.option(
    "--guidance", type=float, default=3.0, show_default=True, help="1 makes one pass a step, not two."
)
@click.option("--peer", is_flag=True, help="Time transformers too, with the same geometry in the same run.")
@json_option
def generate_command(
    geometry: str | None, model: str | None, peer: bool, as_json: bool, **options: Any
) -> None:
    """Measure how fast music is made, and with how much memory; nothing is stored.

    Without --geometry or --model it is the model that would be used.
    """
    from audiolib import Benchmark

    if geometry is not None and model is not None:
        raise click.UsageError("--geometry has random weights, so --model cannot be added.")
    options["batches"] = options["batches"] or (1,)
    benchmark = Benchmark(geometry=geometry, model=model, peer=peer, **options)
    models, done = open_library(None).models, []
    for result in models.bench(benchmark):
        done.append(result)
        if as_json:
            output.json_line(asdict(result))
    if not as_json:
        output.table(
            tuple(output.Column(title=title, right=right) for title, right in _COLUMNS),
            [_row(asdict(result)) for result in done],
        )
    if peer and (missing := models.missing_peer()):
        output.notice(missing)


_COLUMNS = (
    ("engine", False),
    ("model", False),
    ("backend", False),
    ("weights", False),
    ("batch", True),
    ("ms/step", True),
    ("x real time", True),
    ("first sound", True),
    ("load", True),
    ("memory", True),
)


def _row(result: dict[str, Any]) -> tuple[str, ...]:
    """One measurement as cells."""

    def seconds(value: float | None) -> str:
        return "" if value is None else f"{value:.2f} s"

    bits = result["bits"]
    return (
        str(result["engine"]),
        str(result["geometry"]),
        str(result["backend"]),
        str(result["dtype"]) if bits is None else f"{bits} bit, {result['dtype']}",
        str(result["batch"]),
        f"{result['step_ms']:.2f}",
        f"{result['times_real_time']:.2f}",
        seconds(result["first_sound_s"]),
        seconds(result["load_s"]),
        f"{result['peak_mb']:,.0f} MB",
    )

"""What every command shares: starting, loading commands late, and turning errors into a sentence and a code."""

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from audiolib.cli import output
from audiolib.errors import EXIT_FAILED, EXIT_INTERRUPTED, describe


class _Quiet:
    """Mixed into click's commands: errors are one sentence on stderr, never a usage page or a traceback."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command and exit with its code; see `click.Command.main`."""
        output.prepare_streams()
        try:
            result = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)  # type: ignore[misc]
            sys.stdout.flush()
        except click.UsageError as error:
            result = _say_usage(error)
        except click.ClickException as error:
            output.error(error.format_message())
            result = error.exit_code
        except click.Abort:  # Ctrl+C while the arguments were read
            output.notice("Interrupted.")
            result = EXIT_INTERRUPTED
        except BrokenPipeError:
            result = _reader_is_gone()
        code = result if isinstance(result, int) else 0
        if standalone_mode:
            sys.exit(code)
        return code

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command's body; see `click.Command.invoke`."""
        try:
            return super().invoke(ctx)  # type: ignore[misc]
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:
            raise click.exceptions.Exit(_say(error)) from error


class QuietCommand(_Quiet, click.Command):
    """A command of its own, with errors said in a sentence."""


class LazyGroup(_Quiet, click.Group):
    """A group whose commands are imported when they are used.

    Args:
        commands: For each command its module, which has it under the same name with `_command` after it.
    """

    def __init__(self, *args: Any, modules: Mapping[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they are shown."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; `None` when there is none of that name."""
        module = self._modules.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(import_module(module), f"{cmd_name}_command")
        return command


def show_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    """Print the version and end; looked up only here, because reading it takes time."""
    if value and not ctx.resilient_parsing:
        from audiolib import __version__

        click.echo(f"{ctx.info_name} {__version__}")
        ctx.exit()


def version_option(command: Any) -> Any:
    """Add `--version` to a command."""
    return click.option(
        "--version",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show_version,
        help="Show the version and exit.",
    )(command)


def _say(error: BaseException) -> int:
    debug = os.environ.get("AUDIOLIB_DEBUG", "") not in ("", "0")
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    failure = describe(error)
    if failure is not None and isinstance(error, KeyboardInterrupt):
        output.notice(failure.message)
        return failure.exit_code
    if failure is not None:
        output.error(failure.message)
        return failure.exit_code
    first_line = (str(error).strip().splitlines() or [""])[0]
    output.error(f"Unexpected {type(error).__name__}: {first_line} AUDIOLIB_DEBUG=1 shows where it happened.")
    return EXIT_FAILED


def _say_usage(error: click.UsageError) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # its message is the whole help page
        click.echo(error.format_message(), err=True)
        return error.exit_code
    message = error.format_message().replace("\n", " ")
    if message[-1:].isalnum() or message[-1:] in ")'":
        message += "."
    hint = f" See `{error.ctx.command_path} --help`." if error.ctx is not None else ""
    output.error(message + hint)
    return error.exit_code


def _reader_is_gone() -> NoReturn:
    """`audiolib list | head` closes our output early; that is no error to talk about."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(EXIT_FAILED)

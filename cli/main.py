"""The entry point. Commands are imported only when called, so that help costs neither torch nor pydantic."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from cli.help import COMMANDS, CONTEXT, Command, Group
from store.errors import XmapError

INTERRUPTED = 130
# System errors that say something about the machine and nothing about xmap.
MACHINE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)


class Commands(Group):
    """The group of all commands, each loaded when it is called."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, about = COMMANDS[cmd_name]
        single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        try:
            function = importlib.import_module(f"cli.{module}").command
        except KeyboardInterrupt:
            raise _interrupted() from None
        single.command(cmd_name, cls=Command, short_help=about, context_settings=CONTEXT)(guarded(function))
        return typer.main.get_command(single)


app = typer.Typer(cls=Commands, context_settings=CONTEXT, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"xmap {version('xmap')}")
        except PackageNotFoundError:
            typer.echo("xmap, not installed")
        raise typer.Exit


@app.callback()
def xmap(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,
) -> None:
    """Adapt a frozen CLIP model to your own classes from a few labelled images per class.

    Every result is stored once and reused; `xmap COMMAND --help` explains a command. `xmap --install-completion` teaches your shell
    to complete commands, flags and names. Colours are left out where NO_COLOR is set or the output is no terminal.
    """


def guarded(function: Callable[..., None]) -> Callable[..., None]:
    """`function` with its expected errors as one sentence on stderr and an exit code; a traceback then always means a bug."""

    @wraps(function)
    def command(*args: Any, **given: Any) -> None:
        try:
            function(*args, **given)
            sys.stdout.flush()
        except XmapError as error:
            from cli.console import warn

            warn(str(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            raise _interrupted() from None
        except BrokenPipeError:
            # The reader, such as `head`, has seen enough. Nothing may be flushed into the closed pipe at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            if error.errno not in MACHINE:
                raise
            from cli.console import warn

            place = f"{error.filename}: " if error.filename else ""
            warn(f"{place}{error.strerror}; mend that and run the same command again, finished parts are kept.")
            raise typer.Exit(XmapError.exit_code) from None

    return command


def _interrupted() -> typer.Exit:
    typer.echo("xmap: interrupted; finished parts are kept, run the same command again to go on.", err=True)
    return typer.Exit(INTERRUPTED)


def main() -> None:
    """Run the command line."""
    # What a scheduler sends before it kills ends a run as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(prog_name="xmap")
    except KeyboardInterrupt:
        sys.exit(_interrupted().exit_code)
    finally:
        # All is said: a second signal need not wait for threads and workers to end.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    main()

"""The entry point. Commands are imported only when called, so that help costs neither torch nor pydantic."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from xmap.cli.console import warn
from xmap.cli.ends import DONE, WRONG, QuickEnd, guarded, interrupted, open_streams, sentences, show_bug
from xmap.cli.help import COMMANDS, CONTEXT, Command, Group


class Commands(Group):
    """The group of all commands, each loaded when it is called."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line; one that is no command line ends as every mistake does."""
        words = list(sys.argv[1:] if args is None else args)
        if not (words and standalone_mode):
            return super().main(words, prog_name, complete_var, standalone_mode, windows_expand_args, **extra)
        try:
            code = super().main(words, prog_name, complete_var, False, windows_expand_args, **extra)
        except typer.Abort:
            code = interrupted().exit_code
        except TyperException as error:
            place = getattr(error, "ctx", None)
            said = error.format_message().rstrip(".")
            # Nobody guesses from a name alone what is missing.
            example = str(place.command.help or "").partition("Example: ")[2].strip() if place and said.startswith("Missing") else ""
            more = f", as in `{example}`" if example else ""
            warn(f"{said}{more}; see `{place.command_path if place else 'xmap'} --help`.")
            code = WRONG
        sys.exit(code or DONE)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, about = COMMANDS[cmd_name]
        single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        with sentences():
            function = importlib.import_module(f"xmap.cli.{module}").command
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


def main() -> None:
    """Run the command line."""
    sys.excepthook = show_bug
    # What a scheduler sends before it kills ends a run as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    end = QuickEnd()
    try:
        with sentences():
            open_streams()
            app(prog_name="xmap")
    except typer.Exit as ended:
        end.with_code(ended.exit_code)
    except KeyboardInterrupt:
        end.with_code(interrupted().exit_code)
    except SystemExit as ended:
        end.with_code(ended.code)
    finally:
        # All is said: a second signal need not wait for threads and workers to end.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    main()

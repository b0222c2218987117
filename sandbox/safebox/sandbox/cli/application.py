"""The typer application: commands are imported when they are called."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from safebox.sandbox.cli.commands import COMMANDS, GROUPS
from safebox.sandbox.cli.exit import DONE
from safebox.sandbox.cli.help_page import help_page, wants_colour


def run_command() -> int:
    """Run the command the process was started with and give its exit status; typer itself ends it with 2 on misuse."""
    _application()(prog_name="safebox")
    return DONE


class _Commands(TyperGroup):
    """A group whose commands are looked up in the table."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the table's order."""
        words = [command.removeprefix(self._prefix()) for command in COMMANDS if command.startswith(self._prefix())]
        return list(dict.fromkeys(word.split(" ")[0] for word in words))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, imported now."""
        path = self._prefix() + cmd_name
        if path in COMMANDS:
            return _command(path)
        return _group(path) if path in GROUPS else None

    def get_help(self, ctx: Any) -> str:
        """The page of the whole program, or of the group."""
        return super().get_help(ctx) if self._prefix() else help_page(colour=wants_colour(sys.stdout)).rstrip("\n")

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands of a group without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(word, _line_of(self._prefix() + word)) for word in self.list_commands(ctx)])

    def _prefix(self) -> str:
        return f"{self.name} " if self.name in GROUPS else ""


def _line_of(path: str) -> str:
    return COMMANDS[path] if path in COMMANDS else GROUPS[path]


def _application() -> Any:
    application = typer.Typer(
        cls=_Commands,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    )
    application.callback(invoke_without_command=True)(_root)
    return typer.main.get_command(application)


def _root(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"safebox {version_of('safebox-firewall')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


def _group(name: str) -> Any:
    group = typer.Typer(
        name=name, cls=_Commands, help=GROUPS[name], rich_markup_mode=None, no_args_is_help=True, add_completion=False
    )
    group.callback()(_nothing)
    return typer.main.get_command(group)


def _nothing() -> None:
    pass


def _command(path: str) -> Any:
    name = path.replace(" ", "_").replace("-", "_")
    function = getattr(importlib.import_module(f"safebox.sandbox.cli.{name}"), name)
    single = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    settings = {"help_option_names": ["--help", "-h"]}
    single.command(path.rpartition(" ")[2], context_settings=settings)(function)
    return typer.main.get_command(single)

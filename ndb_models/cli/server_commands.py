"""The commands without the extra, in the tree of commands: for its help and completion. `main` runs them itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from ndb_models.cli.commands import command, with_parameters
from ndb_models.cli.exits import MISUSE
from ndb_models.cli.explaining import ERROR_HELP, JSON_HELP, SUMMARY, run_explain
from ndb_models.cli.main import PROGRAM
from ndb_models.cli.serving import HEALTH, SERVE
from ndb_models.errors import InvalidArgumentError
from ndb_models.server.configuration import PROBED
from ndb_models.server.setting_fields import Setting
from ndb_models.server.settings import SETTINGS


def add_server_commands(tree: typer.Typer) -> None:
    """Add `serve`, `health` and `explain`, with the flags that their own parser knows."""
    command(tree, "serve", SERVE)(_with_flags(SETTINGS))
    command(tree, "health", HEALTH)(_with_flags(PROBED))
    command(tree, "explain", SUMMARY, statuses=(MISUSE,))(_explain)


def _explain(
    error: Annotated[str | None, typer.Argument(metavar="ERROR", help=ERROR_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> int:
    return run_explain(error, as_json=as_json)


def _with_flags(settings: Iterable[Setting]) -> Callable[..., int | None]:
    """Return a function with a parameter for the flag of each setting, which Typer reads from its signature."""

    def run(**_: object) -> None:
        raise InvalidArgumentError(f"write this command first, behind {PROGRAM} itself")

    flags = [_parameter("config", "--config", is_switch=False), *map(_of_setting, settings)]
    return with_parameters(run, flags)


def _of_setting(setting: Setting) -> inspect.Parameter:
    return _parameter(setting.name, setting.flag, is_switch=setting.is_switch)


def _parameter(name: str, flag: str, *, is_switch: bool) -> inspect.Parameter:
    kind: Any = bool if is_switch else str
    annotation = Annotated[kind, typer.Option(flag)]
    default = False if is_switch else ""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

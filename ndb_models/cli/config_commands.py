"""`ndb-models config`: check, compare, show and change a configuration that is stored as shared keys."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from ndb_models.cli.asking import DryRunOption, YesOption, confirmed
from ndb_models.cli.commands import command, group
from ndb_models.cli.exits import FAILED, complain
from ndb_models.cli.masking import ShowValuesOption
from ndb_models.cli.output import JsonOption, Table, counted, print_json, print_line
from ndb_models.cli.store_access import Work, on_store

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ndb_models.cli.config_values import ConfigTexts
    from ndb_models.client import NdbClient
    from ndb_models.config import ConfigRepository
    from ndb_models.types import JsonValue

_MISUSE: Final = "2    called wrongly: no such model, field or store, or a value that does not fit; nothing was changed"
_UNREADABLE: Final = "1    the store cannot be used, or what is stored does not fit the model: see `config check`"

ModelArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="MODULE:NAME", help="The model, such as myapp.config:AppConfig.")
]
NamespaceOption: TypeAlias = Annotated[
    str | None, typer.Option("--namespace", metavar="NAME", help="The namespace of its keys, as of ConfigRepository.")
]


def add_config_commands(tree: typer.Typer) -> None:
    """Add `config` to the tree of commands."""
    config = group(
        "config",
        "Checks, compares, shows and changes a configuration that is stored as shared keys.",
        summary="check, compare, show and change a stored configuration",
        parent=tree,
    )
    command(
        config,
        "check",
        "Reads a stored configuration, and lists what does not fit the model of the code at hand. Run it before a"
        " deployment. Unknown keys in the namespace are listed, but are no error.",
        summary="list what does not fit the model of the code at hand",
        done="it fits",
        statuses=(
            "1    a value does not fit or is missing; with --strict, a key is unknown; or the store failed",
            _MISUSE,
        ),
    )(run_check)
    command(
        config,
        "diff",
        "Compares a stored configuration with the model's defaults, or with a file.",
        summary="compare with the model's defaults, or with a file",
        done="there is no difference",
        statuses=("1    there is a difference; or the store failed, or what is stored does not fit", _MISUSE),
    )(run_diff)
    command(
        config,
        "show",
        "Shows the configuration as the code at hand reads it, and which fields are stored. Secrets are masked.",
        summary="show it as the code at hand reads it",
        statuses=(_UNREADABLE, _MISUSE),
    )(run_show)
    command(
        config,
        "set",
        "Changes fields of a stored configuration. It validates the whole configuration first, and asks. A value is"
        " read as JSON if that fits the field, else as a string. FIELD=- reads the value from standard input: a secret"
        " on the command line would show in the list of processes.",
        summary="change fields, validated by the model",
        statuses=(_UNREADABLE, _MISUSE),
    )(run_set)


@on_store
def run_check(
    model: ModelArgument,
    namespace: NamespaceOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Unknown keys are an error, too.")] = False,
    as_json: JsonOption = False,
) -> Work:
    """List the problems of a stored configuration."""

    async def check(repository: ConfigRepository[Any], _: NdbClient) -> int:
        problems = await repository.check()
        bad = [problem for problem in problems if strict or problem.kind != "unknown"]
        if as_json:
            listed = [{"key": each.key, "kind": each.kind, "reason": each.reason} for each in problems]
            print_json({"model": model, "fits": not bad, "problems": listed})
        else:
            table = Table(("key", "kind", "reason"))
            for problem in problems:
                table.add(problem.key, problem.kind, problem.reason, style="red" if problem in bad else "yellow")
            table.flush()
            print_line(f"{model}: {'it fits' if not bad else counted(len(bad), 'problem')}")
        return FAILED if bad else 0

    return _with_repository(check, model, namespace)


@on_store
def run_diff(
    model: ModelArgument,
    namespace: NamespaceOption = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="A JSON or TOML file to compare with (default: defaults)."),
    ] = None,
    show_values: ShowValuesOption = False,
    as_json: JsonOption = False,
) -> Work:
    """Print the fields that differ."""
    from ndb_models.cli.config_values import ConfigTexts, find_config_model, shown_fields

    texts = ConfigTexts(find_config_model(model))
    other = None if file is None else texts.in_file(file)
    against = "default" if file is None else "file"

    async def diff(repository: ConfigRepository[Any], _: NdbClient) -> int:
        differences = await repository.diff(other)
        names = [each.field for each in differences]
        stored = await repository.load()
        given = stored.model_copy(update={each.field: each.given for each in differences})
        left, right = (dict(shown_fields(each, names, full=show_values)) for each in (stored, given))
        if as_json:
            fields = [{"field": name, "stored": left.get(name), against: right.get(name)} for name in names]
            print_json({"model": model, "against": against, "differences": fields})
        else:
            table = Table(("field", "stored", against))
            for name in names:
                table.add(name, _text(left.get(name)), _text(right.get(name)))
            table.flush()
            if not names:
                print_line(f"{model}: no difference")
        return FAILED if names else 0

    return _with_repository(diff, model, namespace)


@on_store
def run_show(
    model: ModelArgument,
    namespace: NamespaceOption = None,
    show_values: ShowValuesOption = False,
    as_json: JsonOption = False,
) -> Work:
    """Print a configuration."""
    from ndb_models.cli.config_values import ConfigTexts, find_config_model, shown_fields

    names = ConfigTexts(find_config_model(model)).names

    async def show(repository: ConfigRepository[Any], client: NdbClient) -> int:
        config = await repository.load()
        stored = await _stored(client, names, namespace)
        values = dict(shown_fields(config, names, full=show_values))
        if as_json:
            print_json({"model": model, "values": values, "stored": [name for name in names if name in stored]})
            return 0
        table = Table(("field", "value", "from"))
        for name, value in values.items():
            table.add(name, _text(value), "store" if name in stored else "default")
        table.flush()
        return 0

    return _with_repository(show, model, namespace)


@on_store
def run_set(
    model: ModelArgument,
    values: Annotated[list[str], typer.Argument(metavar="FIELD=VALUE...", help="The fields, and their new values.")],
    namespace: NamespaceOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    show_values: ShowValuesOption = False,
    as_json: JsonOption = False,
) -> Work:
    """Change fields after asking."""
    from ndb_models.cli.config_values import ConfigTexts, find_config_model, split_assignment

    texts = ConfigTexts(find_config_model(model))
    given = {name: _read(value) for name, value in map(split_assignment, values)}

    async def change(repository: ConfigRepository[Any], client: NdbClient) -> int:
        current, stored = await _stored_config(repository, client, texts, namespace)
        new = texts.changed(stored, given)
        changes = _changes(texts, current, new, given, full=show_values)
        lines = [f"{each['field']}: {_text(each['before'])} -> {_text(each['after'])}" for each in changes]
        for line in lines if not as_json else ():
            print_line(line)
        is_done = not dry_run and _agreed(lines, yes=yes, is_shown=not as_json)
        if is_done and current is None:
            await repository.save(new)
        elif is_done:
            await repository.update(**{name: getattr(new, name) for name in given})
        if as_json:
            print_json({"model": model, "done": is_done, "changes": changes})
        return 0 if is_done or dry_run else complain("nothing was changed", FAILED)

    return _with_repository(change, model, namespace)


def _changes(
    texts: ConfigTexts, current: BaseModel | None, new: BaseModel, given: Mapping[str, str], *, full: bool
) -> list[dict[str, JsonValue]]:
    """Return the given fields and those that a validator changed with them, with their values before and after."""
    from ndb_models.cli.config_values import shown_fields

    changed = given.keys() if current is None else {*given, *texts.differing(current, new)}
    names = [name for name in texts.names if name in changed]
    before = {} if current is None else dict(shown_fields(current, names, full=full))
    after = dict(shown_fields(new, names, full=full))
    return [{"field": name, "before": before.get(name), "after": after.get(name)} for name in names]


async def _stored_config(
    repository: ConfigRepository[Any], client: NdbClient, texts: ConfigTexts, namespace: str | None
) -> tuple[BaseModel | None, Mapping[str, bytes]]:
    """Return the stored configuration and its fields as texts.

    The configuration is None if required fields are not stored yet.

    Raises:
        StoredConfigError: a stored value does not fit.
    """
    from ndb_models.errors import StoredConfigError

    try:
        current = await repository.load()
    except StoredConfigError as exc:
        if any(problem.kind != "missing" for problem in exc.problems):
            raise
        stored = await _stored(client, texts.names, namespace)
        return None, {name: json.dumps(value).encode() for name, value in stored.items()}
    return current, texts.texts_of(current)


async def _stored(client: NdbClient, names: Sequence[str], namespace: str | None) -> dict[str, JsonValue]:
    """Return the stored fields with their values."""
    from ndb_models.config.keyspace import key_of

    keys = {key_of(name, namespace): name for name in names}
    return {keys[key]: value for key, value in (await client.kv_get([*keys])).items()}


def _agreed(lines: Sequence[str], *, yes: bool, is_shown: bool) -> bool:
    """Ask about changes. The question names those that are not shown yet."""
    sys.stdout.flush()
    listed = "" if is_shown else f" ({'; '.join(lines)})"
    return confirmed(f"Store {'this' if len(lines) == 1 else 'these'}?{listed}", yes=yes)


def _read(value: str) -> str:
    """Return a value from the command line. For `-`, read standard input, without its last line break."""
    return sys.stdin.read().removesuffix("\n") if value == "-" else value


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _with_repository(
    action: Callable[[ConfigRepository[Any], NdbClient], Coroutine[Any, Any, int]], model: str, namespace: str | None
) -> Work:
    """Return the work of a coroutine function that takes the repository of a model and the client."""
    from ndb_models.cli.config_values import find_config_model
    from ndb_models.config import ConfigRepository

    found = find_config_model(model)
    return lambda client: action(ConfigRepository(client, found, namespace=namespace), client)

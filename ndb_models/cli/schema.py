"""`ndb-models schema freeze` and `schema check`: notice a change that needs a new version and has none."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, TypeAlias
from urllib.parse import unquote

import typer

from ndb_models.cli.commands import command, group
from ndb_models.cli.exits import INTERRUPTED, MISUSED, complain
from ndb_models.cli.models import find_models
from ndb_models.cli.output import JsonOption, print_json
from ndb_models.cli.schema_findings import Look, as_json, lines_of
from ndb_models.cli.schema_sampling import SAMPLE_NOTES, SAMPLE_STATUSES, run_sample
from ndb_models.errors import InvalidArgumentError, SchemaError
from ndb_models.raising import naming
from ndb_models.schema.model import SessionModel
from ndb_models.schema_check.freezing import (
    Outcome,
    file_name,
    frozen_of,
    judge,
    read_frozen,
    written,
)

_BREAKS: Final = """\
1    a model breaks one of these, was never frozen, or lacks a step of its upgrades (and with check --exact, a
       file is not what freeze would write, or that of none of the models of these modules); with --one-way, old
       processes do not count"""
_STATUSES: Final = (
    _BREAKS,
    "2    called wrongly: no such model, a module that cannot be imported, a file that cannot be read or written",
)
_DONE: Final = "nothing breaks: the models read what is stored, and old processes read what the models write"

ModelsArgument: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="MODULE[:NAME]", help="All session models of a module, or one.")
]
_DirectoryOption: TypeAlias = Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where the files are.")]
_OneWayOption: TypeAlias = Annotated[
    bool,
    typer.Option("--one-way", help="Old processes are stopped before new ones start: they need not read on."),
]


def add_schema_commands(tree: typer.Typer) -> None:
    """Add `schema` to the tree of commands."""
    schema = group(
        "schema",
        "Freezes the schemas of session models in files, and checks the models against the files, or against a store.",
        summary="freeze the schemas of session models, and check them against that, or against stored sessions",
        parent=tree,
    )
    command(
        schema,
        "freeze",
        "Writes the schema of each model to a file. Commit the files: `schema check` compares the models with them.",
        summary="write the schema of each model to a file, to be committed",
        done=_DONE,
        statuses=_STATUSES,
    )(run_freeze)
    command(
        schema,
        "check",
        "Compares the models with the files that `schema freeze` wrote, and lists the changes. Run it in CI: it fails"
        " if sessions that are stored could not be read any more.",
        summary="compare the models with the files, in CI",
        done=_DONE,
        statuses=_STATUSES,
    )(run_check)
    command(
        schema,
        "sample",
        "Reads live sessions of each model, runs the upgrades and the validation of the code at hand on them, and"
        " reports what would break. Run it in CI before a deployment, on a copy of the store or on the store itself.",
        summary="read live sessions by the code at hand, before a deployment",
        done="nothing breaks",
        statuses=SAMPLE_STATUSES,
        notes=SAMPLE_NOTES,
    )(run_sample)


class _Options(NamedTuple):
    models: Sequence[str]
    directory: Path
    one_way: bool
    as_json: bool
    force: bool = False
    exact: bool = False


class _Done(NamedTuple):
    """The outcome of a command for one model: whether all is well, and what is said of it."""

    is_well: bool
    lines: list[str]
    report: dict[str, Any]


def _look(model: type[SessionModel], options: _Options) -> Look:
    path = options.directory / file_name(model.session_options.schema)
    text = path.read_bytes() if path.exists() else None
    with naming(str(path)):
        before = read_frozen(text) if text is not None else None
        now = frozen_of(model, before)
        verdict = judge(before, now)
    return Look(model, path, now, verdict, _gap(model), text == written(now).encode(), options.one_way)


def _gap(model: type[SessionModel]) -> str | None:
    try:
        model.session_options.upgrades.check_chain()
    except SchemaError as exc:
        return str(exc)
    return None


def run_check(
    models: ModelsArgument,
    directory: _DirectoryOption = Path("schemas"),
    one_way: _OneWayOption = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Fail where a file is not what freeze would write, too.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Compare models with their files, and print breaking and compatible changes; return the exit status."""
    return _run(_Options(models, directory, one_way, as_json, exact=exact), _checked)


def run_freeze(
    models: ModelsArgument,
    directory: _DirectoryOption = Path("schemas"),
    one_way: _OneWayOption = False,
    force: Annotated[bool, typer.Option("--force", help="Freeze a breaking change without a new version too.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Write the files of models, and return the exit status. Breaking changes are written only with `--force`."""
    return _run(_Options(models, directory, one_way, as_json, force=force), _frozen)


def _run(options: _Options, action: Callable[[Look, _Options], _Done]) -> int:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # the user's code may print, and the report is read by programs
            looks = [_look(model, options) for model in find_models(options.models)]
        done = [action(look, options) for look in looks]
    except (InvalidArgumentError, SchemaError, OSError) as exc:
        return complain(exc, MISUSED)
    except KeyboardInterrupt:
        return complain("interrupted", INTERRUPTED)
    orphans = _orphans(looks, options)
    is_well = all(each.is_well for each in done) and not (orphans and options.exact)
    if options.as_json:
        print_json([*(each.report for each in done), *map(_orphan_report, orphans)])
    else:
        sys.stdout.writelines(f"{line}\n" for each in done for line in each.lines)
        for path in orphans:
            _say_orphan(path)
    return 0 if is_well else 1


def _orphans(looks: Iterable[Look], options: _Options) -> list[Path]:
    """Return the files in the directory that belong to no named model; an empty list if no whole module is named."""
    if all(":" in target for target in options.models):
        return []
    return sorted(set(options.directory.glob("*.json")) - {look.path for look in looks})


def _say_orphan(path: Path) -> None:
    schema = unquote(path.stem)
    sys.stdout.write(
        f"{schema}: frozen in {path}, and none of these models has this schema\n"
        f"  a model that was renamed keeps its sessions with schema={schema!r}; else delete the file\n"
    )


def _orphan_report(path: Path) -> dict[str, object]:
    return {"schema": unquote(path.stem), "model": None, "file": str(path), "outcome": "none of these models has it"}


def _checked(look: Look, options: _Options) -> _Done:
    stale = options.exact and not look.is_exact and look.is_well
    problem = "the file is not what freeze would write" if stale else None
    return _Done(look.is_well and not stale, lines_of(look, problem), as_json(look, problem))


def _frozen(look: Look, options: _Options) -> _Done:
    is_new = look.verdict.outcome is Outcome.NEW
    if look.gap is not None or not (look.is_well or is_new or options.force):
        problem = "not frozen"
        return _Done(False, lines_of(look, problem), {**as_json(look, problem), "written": False})
    if not look.is_exact:
        options.directory.mkdir(parents=True, exist_ok=True)
        look.path.write_text(written(look.now), encoding="utf-8", newline="\n")
    name, version = look.now.schema, look.now.version
    line = f"{name}: version {version} {'is' if look.is_exact else 'was'} frozen in {look.path}"
    return _Done(True, [line], {**as_json(look, None), "advice": None, "written": not look.is_exact})

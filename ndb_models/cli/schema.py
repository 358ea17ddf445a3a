"""`ndb-models schema freeze` and `schema check`: notice a change that needs a new version and has none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, NamedTuple, TypeAlias
from urllib.parse import unquote

import typer

from ndb_models.cli.commands import command, group
from ndb_models.cli.exits import INTERRUPTED, MISUSED, complain
from ndb_models.cli.models import find_models
from ndb_models.cli.schema_sampling import SAMPLE_NOTES, SAMPLE_STATUSES, run_sample
from ndb_models.errors import InvalidArgumentError, SchemaError
from ndb_models.raising import naming
from ndb_models.schema.model import SessionModel
from ndb_models.schema_check.freezing import (
    Frozen,
    Outcome,
    Verdict,
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
    force: bool = False
    exact: bool = False


class _Look(NamedTuple):
    """A model, its file, and the comparison of the two."""

    model: type[SessionModel]
    path: Path
    now: Frozen
    verdict: Verdict
    gap: str | None
    is_exact: bool
    one_way: bool

    @property
    def breaks_old_code(self) -> bool:
        return bool(self.verdict.for_old_code) and not self.one_way

    @property
    def is_well(self) -> bool:
        return self.gap is None and self.verdict.outcome.is_well and not self.breaks_old_code


def _look(model: type[SessionModel], options: _Options) -> _Look:
    path = options.directory / file_name(model.session_options.schema)
    text = path.read_bytes() if path.exists() else None
    with naming(str(path)):
        before = read_frozen(text) if text is not None else None
        now = frozen_of(model, before)
        verdict = judge(before, now)
    return _Look(model, path, now, verdict, _gap(model), text == written(now).encode(), options.one_way)


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
) -> int:
    """Compare models with their files, and print breaking and compatible changes; return the exit status."""
    return _run(_Options(models, directory, one_way, exact=exact), _checked)


def run_freeze(
    models: ModelsArgument,
    directory: _DirectoryOption = Path("schemas"),
    one_way: _OneWayOption = False,
    force: Annotated[bool, typer.Option("--force", help="Freeze a breaking change without a new version too.")] = False,
) -> int:
    """Write the files of models, and return the exit status. Breaking changes are written only with `--force`."""
    return _run(_Options(models, directory, one_way, force=force), _frozen)


def _run(options: _Options, action: Callable[[_Look, _Options], bool]) -> int:
    try:
        looks = [_look(model, options) for model in find_models(options.models)]
        done = [action(look, options) for look in looks]
    except (InvalidArgumentError, SchemaError, OSError) as exc:
        return complain(exc, MISUSED)
    except KeyboardInterrupt:
        return complain("interrupted", INTERRUPTED)
    orphans = _orphans(looks, options)
    for path in orphans:
        _say_orphan(path)
    return 1 if not all(done) or (orphans and options.exact) else 0


def _orphans(looks: Iterable[_Look], options: _Options) -> list[Path]:
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


def _checked(look: _Look, options: _Options) -> bool:
    stale = options.exact and not look.is_exact and look.is_well
    _say(look, "the file is not what freeze would write" if stale else None)
    return look.is_well and not stale


def _frozen(look: _Look, options: _Options) -> bool:
    is_new = look.verdict.outcome is Outcome.NEW
    if look.gap is not None or not (look.is_well or is_new or options.force):
        _say(look, "not frozen")
        return False
    if not look.is_exact:
        options.directory.mkdir(parents=True, exist_ok=True)
        look.path.write_text(written(look.now), encoding="utf-8", newline="\n")
    name, version = look.now.schema, look.now.version
    sys.stdout.write(f"{name}: version {version} {'is' if look.is_exact else 'was'} frozen in {look.path}\n")
    return True


def _say(look: _Look, problem: str | None) -> None:
    outcome = look.verdict.outcome
    is_of_old_code = outcome is Outcome.COMPATIBLE and look.breaks_old_code
    found = _BREAKING_OLD_CODE if is_of_old_code else outcome.value
    lines = [f"{look.now.schema}: {found}{f'; {problem}' if problem else ''}"]
    lines += [f"  {what}: {place} {reason}" for _, place, what, reason in sorted(_found(look.verdict))]
    if look.gap is not None:
        lines.append(f"  {look.gap}")
    if look.verdict.outcome is Outcome.UPGRADED and not look.one_way:
        lines.append(f"  {_REFUSED_BY_OLD_CODE}")
    advice = _advice(look)
    if advice:
        lines.append(f"  {advice}")
    sys.stdout.write("\n".join(lines) + "\n")


_REFUSED_BY_OLD_CODE: Final = (
    "old processes refuse sessions that new ones have written, with NewerVersionError; if none run then, say --one-way"
)
_BREAKING_OLD_CODE: Final = "breaks old processes"


def _found(verdict: Verdict) -> Iterator[tuple[int, str, str, str]]:
    """Yield each difference: its rank, its place, its effect, and its reason."""
    breaking = "left to the upgrade" if verdict.outcome is Outcome.UPGRADED else "breaks reading of stored sessions"
    for each in verdict.differences:
        what = breaking if each.breaking else "compatible"
        yield 0 if each.breaking else 2, each.place, what, each.reason
    for each in verdict.for_old_code:
        yield 1, each.place, "breaks old processes during the rollout", each.reason


def _advice(look: _Look) -> str | None:
    version = look.now.version
    if look.verdict.outcome is Outcome.COMPATIBLE and look.breaks_old_code:
        return (
            "old processes would refuse what these models write: deploy code first that reads it and does not write it"
            " yet; or stop the old processes first, and say --one-way; or declare a new version"
        )
    match look.verdict.outcome:
        case Outcome.BREAKING:
            return (
                f"sessions that are stored would break: declare version={version + 1} and @{look.model.__name__}"
                f".upgrade({version}), or make the change compatible"
            )
        case Outcome.DOWNGRADED:
            return f"the file is of a later version than {version}: a version never goes back"
        case Outcome.NEW:
            return "run `ndb-models schema freeze`, and commit the file"
        case Outcome.COMPATIBLE | Outcome.UPGRADED:
            return "run `ndb-models schema freeze` again, and commit the file"
        case Outcome.SAME:
            return None if look.is_exact else "the file has another format: run `ndb-models schema freeze` again"

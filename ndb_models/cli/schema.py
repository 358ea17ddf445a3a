"""`ndb-models schema freeze` and `ndb-models schema check`: notice a change that needs a new version and has none."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from ndb_models.cli.exits import INTERRUPTED, MISUSED, complain
from ndb_models.cli.models import find_models
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

_EPILOG: Final = """\
exit status:
  0  nothing breaks: the models read what is stored, and old processes read what the models write
  1  a model breaks one of these, was never frozen, or lacks a step of its upgrades (and with check --exact, a file
     is not what freeze would write, or that of none of the models of these modules); with --one-way, old processes
     do not count
  2  called wrongly: no such model, a module that cannot be imported, a file that cannot be read or written
  130  interrupted (Ctrl-C)
"""


def add_schema_commands(commands: Any) -> None:
    """Add `schema` to the subcommands of a parser."""
    schema = commands.add_parser(
        "schema",
        help="freeze the schemas of session models, and check them against that",
        description="Freezes the schemas of session models in files, and checks the models against these files.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = schema.add_subparsers(required=True, metavar="ACTION")
    freeze = _add(
        actions,
        "freeze",
        "write the schema of each model to a file, to be committed",
        "Writes the schema of each model to a file. Commit the files: `schema check` compares the models with them.",
    )
    freeze.add_argument("--force", action="store_true", help="freeze a breaking change without a new version too")
    freeze.set_defaults(run=run_freeze)
    check = _add(
        actions,
        "check",
        "compare the models with the files, in CI",
        "Compares the models with the files that `schema freeze` wrote, and lists the changes. Run it in CI: it fails"
        " if sessions that are stored could not be read any more.",
    )
    check.add_argument("--exact", action="store_true", help="fail where a file is not what freeze would write, too")
    check.set_defaults(run=run_check)


def _add(actions: Any, name: str, what: str, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name,
        help=what,
        description=description,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", nargs="+", metavar="MODULE[:NAME]", help="all session models of a module, or one")
    parser.add_argument(
        "--dir", type=Path, default=Path("schemas"), metavar="DIR", help="where the files are (default: %(default)s)"
    )
    parser.add_argument(
        "--one-way", action="store_true", help="old processes are stopped before new ones start: they need not read on"
    )
    return parser


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


def _look(model: type[SessionModel], options: argparse.Namespace) -> _Look:
    path = options.dir / file_name(model.session_options.schema)
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


def run_check(options: argparse.Namespace) -> int:
    """Compare models with their files, and print breaking and compatible changes; return the exit status."""
    return _run(options, _checked)


def run_freeze(options: argparse.Namespace) -> int:
    """Write the files of models, and return the exit status. Breaking changes are written only with `--force`."""
    return _run(options, _frozen)


def _run(options: argparse.Namespace, action: Any) -> int:
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
    return 1 if not all(done) or (orphans and getattr(options, "exact", False)) else 0


def _orphans(looks: Iterable[_Look], options: argparse.Namespace) -> list[Path]:
    """Return the files in the directory that belong to no named model; an empty list if no whole module is named."""
    if all(":" in target for target in options.models):
        return []
    return sorted(set(options.dir.glob("*.json")) - {look.path for look in looks})


def _say_orphan(path: Path) -> None:
    schema = unquote(path.stem)
    sys.stdout.write(
        f"{schema}: frozen in {path}, and none of these models has this schema\n"
        f"  a model that was renamed keeps its sessions with schema={schema!r}; else delete the file\n"
    )


def _checked(look: _Look, options: argparse.Namespace) -> bool:
    stale = options.exact and not look.is_exact and look.is_well
    _say(look, "the file is not what freeze would write" if stale else None)
    return look.is_well and not stale


def _frozen(look: _Look, options: argparse.Namespace) -> bool:
    is_new = look.verdict.outcome is Outcome.NEW
    if look.gap is not None or not (look.is_well or is_new or options.force):
        _say(look, "not frozen")
        return False
    if not look.is_exact:
        options.dir.mkdir(parents=True, exist_ok=True)
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
    advice = _advice(look)
    if advice:
        lines.append(f"  {advice}")
    sys.stdout.write("\n".join(lines) + "\n")


_BREAKING_OLD_CODE: Final = "breaks old processes"


def _found(verdict: Verdict) -> Iterator[tuple[int, str, str, str]]:
    """Yield each difference: its rank, its place, its effect, and its reason."""
    for each in verdict.differences:
        what = "breaks reading of stored sessions" if each.breaking else "compatible"
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

"""`ndb-models audit`: which requirements of OWASP and NIST the settings of an application meet."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from ndb_models.cli.commands import command
from ndb_models.cli.exits import FAILED, MISUSED, complain
from ndb_models.cli.importing import import_from_here, imported, looked_up, why
from ndb_models.cli.output import JsonOption
from ndb_models.errors import InvalidArgumentError
from ndb_models.redaction import quoted, shown

if TYPE_CHECKING:
    from ndb_models.web.audited import AuditedSettings, Finding

_NOTES: Final = """\
"ASVS 7.3.1" is a requirement of OWASP's Application Security Verification Standard 5.0, "NIST 5.1" a section of SP
800-63B-4, and "sheet:" a section of OWASP's Session Management Cheat Sheet. docs/web_security.md lists them all.
"""

_SPELLING: Final = "an application is named as MODULE:APP, such as myapp.main:app"
_LEVELS: Final[Mapping[str, Literal[1, 2, 3]]] = {"1": 1, "2": 2, "3": 3}
_ORDER: Final = ("broken", "advice", "accepted", "met")


def add_audit_command(tree: typer.Typer) -> None:
    """Add `audit` to the tree of commands."""
    command(
        tree,
        "audit",
        "Imports an application, finds its sessions, and prints which requirements their settings meet.",
        summary="check the settings of an application's sessions by the rules of OWASP and NIST",
        done="no requirement is broken",
        statuses=(
            "1    a requirement is broken",
            "2    called wrongly: no such module or application, or one without sessions",
        ),
        notes=_NOTES,
    )(run_audit)


def run_audit(
    app: Annotated[str, typer.Argument(metavar="MODULE:APP", help="The application, such as myapp.main:app.")],
    factory: Annotated[bool, typer.Option("--factory", help="APP is a function that returns the application.")] = False,
    aal: Annotated[
        Literal["1", "2", "3"],
        typer.Option("--aal", metavar="LEVEL", help="The level of NIST SP 800-63B for lifetimes: 1, 2 or 3."),
    ] = "1",
    workers: Annotated[
        str | None,
        typer.Option(
            "--workers",
            metavar="N",
            help="Processes that serve the application (default: WEB_CONCURRENCY, if it is set).",
        ),
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option("--accept", metavar="RULE", help="A rule that is broken for a documented reason; repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Print the findings for an application, and return the exit status."""
    import_from_here()
    processes = _workers(workers)
    with contextlib.redirect_stdout(sys.stderr):  # the user's code may print, and the report is read by programs
        application = _application(app, factory)
    try:
        from ndb_models.web.audit import audit
        from ndb_models.web.auditing import settings_of
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] != "starlette":
            raise
        return complain("audit needs Starlette: pip install 'ndb_models[starlette]'", MISUSED)
    all_settings = settings_of(application, app.partition(":")[2], workers=processes)
    if not all_settings:
        raise InvalidArgumentError(
            f"{shown(app)} has no SessionMiddleware: app.add_middleware(SessionMiddleware, sessions=sessions)"
        )
    level = _LEVELS[aal]
    found = [(each, audit(each, aal=level, accept=accept or ())) for each in all_settings]
    write = _as_json(app, level, found) if as_json else "\n".join(_as_text(found))
    sys.stdout.write(f"{write}\n")
    return FAILED if _count(found)["broken"] else 0


def _workers(given: str | None) -> int | None:
    text = os.environ.get("WEB_CONCURRENCY") if given is None else given
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        name = "WEB_CONCURRENCY" if given is None else "--workers"
        raise InvalidArgumentError(f"{name}: {quoted(text)} is not a number from 1")
    return int(text)


def _application(target: str, is_factory: bool) -> object:
    """Import an application.

    Raises:
        InvalidArgumentError: there is no such module or application, or it cannot be made.
    """
    module_name, _, name = target.partition(":")
    if not name:
        raise InvalidArgumentError(_SPELLING)
    module = imported(module_name, _SPELLING)
    app = looked_up(module, name)
    if app is None:
        raise InvalidArgumentError(f"{module.__name__} has no {quoted(name)}: {_SPELLING}")
    if is_factory:
        if not (callable(app) and _takes(app)):
            raise InvalidArgumentError(f"{quoted(name)} is no function without arguments, so leave out --factory")
        app = _called(app, target)
    if not _is_asgi(app):
        hint = "; if it makes one, add --factory" if callable(app) and not is_factory else ""
        raise InvalidArgumentError(f"{quoted(name)} is not an ASGI application{hint}")
    return app


def _called(factory: Callable[..., object], target: str) -> object:
    try:
        return factory()
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # the user's function may raise anything
        raise InvalidArgumentError(f"{quoted(target)} makes no application: {why(exc)}") from exc


def _is_asgi(app: object) -> bool:
    return callable(app) and not isinstance(app, type) and _takes(app, "scope", "receive", "send")


def _takes(function: Callable[..., object], *arguments: str) -> bool:
    """Return True if a function can be called with so many arguments."""
    try:
        inspect.signature(function).bind(*arguments)
    except (TypeError, ValueError):
        return False
    return True


_Found = Sequence[tuple["AuditedSettings", list["Finding"]]]


def _count(found: _Found) -> Counter[str]:
    return Counter(finding.verdict.value for _, findings in found for finding in findings)


def _as_text(found: _Found) -> Iterator[str]:
    for settings, findings in found:
        yield f"{settings.place}: {settings.model}{_stored(settings)}"
        for finding in sorted(findings, key=lambda each: _ORDER.index(each.verdict.value)):
            yield from _lines(finding)
    counts = _count(found)
    yield ", ".join(f"{counts[verdict]} {verdict}" for verdict in _ORDER if counts[verdict])


def _stored(settings: AuditedSettings) -> str:
    return f" in {settings.store.shown}" if settings.store is not None else ""


def _lines(finding: Finding) -> Iterator[str]:
    requirements = ", ".join(finding.requirements)
    yield f"  {finding.verdict.value:<8}  {finding.rule:<17}{finding.value}"
    if finding.advice:
        yield f"{'':29}{finding.advice}"
    yield f"{'':29}{requirements}"


def _as_json(app: str, aal: int, found: _Found) -> str:
    listed = [
        {
            "place": settings.place,
            "model": settings.model,
            "store": settings.store.shown if settings.store is not None else None,
            "findings": [finding._asdict() for finding in findings],
        }
        for settings, findings in found
    ]
    report = {"application": app, "aal": aal, "broken": _count(found)["broken"], "sessions": listed}
    return json.dumps(report, indent=2)

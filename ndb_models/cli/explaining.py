"""`ndb-models explain`: what an error means, why it is raised, and what to do. It needs no extra, and no network.

Each error ends its traceback with this command. The text is that of the documentation's page of errors: a wheel has the
page inside, and a tree of the sources has it in docs/.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from ndb_models.cli.corrections import did_you_mean, see_help
from ndb_models.cli.exits import MISUSE, exit_statuses
from ndb_models.cli.parser import filled
from ndb_models.error_root import EXPLAIN
from ndb_models.errors import InvalidArgumentError
from ndb_models.redaction import quoted

SUMMARY: Final = "say what an error means, why it is raised, and what to do"
ERROR_HELP: Final = "its class, such as SessionGoneError; all errors if it is left out"
JSON_HELP: Final = "print JSON"

_PACKAGE: Final = Path(__file__).parents[1]
_PAGES: Final = (_PACKAGE / "errors.md", _PACKAGE.parent / "docs" / "errors.md")
_SECTION: Final = re.compile(r"^### (\w+)\n(.*?)(?=^##|\Z)", re.DOTALL | re.MULTILINE)
_POINTS: Final = re.compile(r"^- \*\*([\w ]+):\*\*", re.MULTILINE)
_LINK: Final = re.compile(r"\[([^\]]+)\]\(([^)#]*)[^)]*\)")
_WIDEST: Final = 100


class Explanation(NamedTuple):
    """The section of an error: what happened, why, what to do, and whether the same call may be repeated."""

    error: str
    what: str
    why: str
    do: str
    try_again: str


def explanations() -> dict[str, Explanation]:
    """Return the explanation of each error, by the name of its class, in the order of the page."""
    page = next(path for path in _PAGES if path.exists()).read_text("utf-8")
    return {name: _explanation(name, body) for name, body in _SECTION.findall(page)}


def _explanation(name: str, body: str) -> Explanation:
    what, *points = _POINTS.split(_LINK.sub(_shown_link, body))
    texts = dict(zip(points[::2], points[1::2], strict=True))
    return Explanation(name, *(" ".join(each.split()) for each in (what, *(texts[key] for key in _KEYS))))


_KEYS: Final = ("Why", "Do", "Try again")


def _shown_link(link: re.Match[str]) -> str:
    text, page = link.groups()
    return f"{text} ({page} of the documentation)" if page else text


def add_explain_command(commands: Any) -> None:
    """Add `explain` to the subcommands of a parser."""
    parser = commands.add_parser(
        "explain",
        help=SUMMARY,
        description=filled(
            "Prints the section of the documentation on an error of this package. Needs no network. Without a name,"
            " lists all errors."
        ),
        epilog=exit_statuses(MISUSE),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("error", metavar="ERROR", nargs="?", help=ERROR_HELP)
    parser.add_argument("--json", dest="as_json", action="store_true", help=JSON_HELP)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return run_explain(options.error, as_json=options.as_json)


def run_explain(error: str | None, *, as_json: bool) -> int:
    """Explain an error, or list all; return the exit status.

    Raises:
        InvalidArgumentError: there is no such error.
    """
    known = explanations()
    if error is None:
        for each in known.values():
            sys.stdout.write(json.dumps(each._asdict()) + "\n" if as_json else f"{each.error}\n    {_first(each)}\n")
        return 0
    explanation = _named(error, known)
    sys.stdout.write(json.dumps(explanation._asdict()) + "\n" if as_json else _as_text(explanation))
    return 0


def _first(explanation: Explanation) -> str:
    return re.split(r"(?<=\.) (?=[A-Z`])", explanation.what, maxsplit=1)[0]


def _named(given: str, known: Mapping[str, Explanation]) -> Explanation:
    """Return the explanation of a name as a traceback has it, with its module or without, in any case of letters."""
    name = given.rpartition(".")[2].lower()
    for each in known.values():
        if each.error.lower() == name:
            return each
    meant = did_you_mean(name, known)
    raise InvalidArgumentError(f"there is no error {quoted(given, 60)}{meant}{see_help(EXPLAIN)}")


def _as_text(explanation: Explanation) -> str:
    width = min(shutil.get_terminal_size().columns - 2, _WIDEST)
    points = {"Why": explanation.why, "Do": explanation.do, "Try again": explanation.try_again}
    lines = [explanation.error, "", textwrap.fill(explanation.what, width), ""]
    for title, text in points.items():
        lines.append(textwrap.fill(f"{title + ':':10} {text}", width, subsequent_indent=" " * 11))
    return "\n".join(lines) + "\n"

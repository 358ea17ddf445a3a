"""Write `ndb_models/conformance/steps.json` from the recorded answers of a NemesisDB and the steps of our extensions.

    .venv/bin/python .ci/conformance_steps.py          write the file
    .venv/bin/python .ci/conformance_steps.py --check  exit 1 if the file is not what this would write

The names of shared keys get a prefix, `$K`, so that the steps leave the keys of others alone. Each frame is changed as
text, so that its spelling stays, and then compared as JSON with what was meant.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
RECORDED: Final = ROOT / "tests/protocol/transcripts.jsonl"
EXTENSIONS: Final = Path(__file__).with_name("conformance_extensions.json")
WRITTEN: Final = ROOT / "ndb_models/conformance/steps.json"

# Answers that another server need not give: NemesisDB's own behaviour, and where this package's server differs.
ODDITIES: Final = frozenset(
    {
        "kv values numbers",
        "kv values huge exponent",
        "kv duplicate key in object",
        "kv load a sh save",
        "sh load a kv save",
        "proto unknown command",
        "proto comments",
        "proto bom",
        "proto deep nesting 2000",
    }
)
# Their size depends on the limit of the server: the runner makes such frames itself.
LEFT_OUT: Final = frozenset({"proto payload exactly 8192", "proto payload 8193"})
# (case, number of the step): answers of these depend on the server's history, or on its dialect of JSONPath.
STEPS_LEFT_OUT: Final = frozenset({("sv info", 2), ("kv find paths", 1)})

_SUCCESS: Final = frozenset({1, 121, 141})
_OF_ALL_DATA: Final = frozenset(
    {"KV_CLEAR", "KV_CLEAR_SET", "KV_COUNT", "KV_KEYS", "KV_SAVE", "SH_END_ALL", "SH_INFO_ALL", "SH_SAVE"}
)
_STRING_OR_BRACKET: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]')
# Below the command, its body, and the object or array of keys.
_DEEPEST_NAME: Final = 3


def command_of(step: dict[str, Any]) -> tuple[str, Any]:
    """Return the command of a frame and its body, with names in pairs; "" if it is no request."""
    try:
        request = json.loads(fill(step["send"]), object_pairs_hook=Pairs)
    except (ValueError, RecursionError):
        return "", None
    return request[0] if isinstance(request, Pairs) and len(request) == 1 else ("", None)


class Pairs(list[tuple[str, Any]]):
    """An object, with its names in their order, repeated ones too."""

    def get(self, name: str) -> Any:
        """Return the last value of a name, or None."""
        return dict(self).get(name)


def fill(text: str) -> str:
    """Return a frame with numbers for tokens and without what RFC 8259 does not know, so that it is JSON."""
    return re.sub(r"\$T(\d+)", r"\1", text).removeprefix("\ufeff").replace("/*c*/", "")


def shared_names(steps: Collection[dict[str, Any]]) -> set[str]:
    """Return the names of the shared keys in these steps."""
    names: set[str] = set()
    for step in steps:
        command, body = command_of(step)
        if command.startswith("KV_") and isinstance(body, Pairs):
            keys = body.get("keys")
            given = [name for name, _ in keys] if isinstance(keys, Pairs) else keys if isinstance(keys, list) else []
            names.update(name for name in [*given, body.get("key")] if isinstance(name, str))
    return names


def renamed(command: str, value: Any, mark: Callable[[str], str]) -> Any:
    """Return the body of a request or an answer with marked names of shared keys."""
    if not (command.startswith("KV_") and isinstance(value, Pairs)):
        return value
    return Pairs((name, _renamed_member(name, member, mark)) for name, member in value)


def _renamed_member(name: str, member: Any, mark: Callable[[str], str]) -> Any:
    if name == "key" and isinstance(member, str):
        return mark(member)
    if name in ("keys", "contains") and isinstance(member, Pairs):
        return Pairs((mark(key), value) for key, value in member)
    if name in ("keys", "contains") and isinstance(member, list):
        return [mark(key) if isinstance(key, str) else key for key in member]
    return member


def marked(name: str) -> str:
    """Return the name of a shared key with the prefix."""
    return f"$K{name}"


def renamed_frame(step: dict[str, Any], names: Collection[str]) -> str:
    """Return a frame whose shared keys have the prefix, with its spelling as it was."""
    send: str = step["send"]
    command, body = command_of(step)
    if not command:
        return send.replace('"a"', '"$Ka"')  # what a server makes of it may be a write
    if not command.startswith("KV_") or not isinstance(body, Pairs):
        return send

    depth = 0

    def mark(found: re.Match[str]) -> str:
        nonlocal depth
        if not found[0].startswith('"'):
            depth += 1 if found[0] in "[{" else -1
            return found[0]
        return f'"$K{found[0][1:]}' if depth <= _DEEPEST_NAME and json.loads(found[0]) in names else found[0]

    meant = renamed(command, body, marked)
    text = _STRING_OR_BRACKET.sub(mark, send) if meant != body else send
    if command_of({"send": text})[1] != meant:
        raise SystemExit(f"this frame cannot be renamed as text: {send}")
    return text


def renamed_answer(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer whose shared keys have the prefix, and without its message."""
    ((name, body),) = json.loads(json.dumps(answer), object_pairs_hook=Pairs)
    return {name: {key: plain(value) for key, value in renamed(name, body, marked) if key != "m"}}


def plain(value: Any) -> Any:
    """Return a value with objects as dicts."""
    if isinstance(value, Pairs):
        return {name: plain(member) for name, member in value}
    return [plain(item) for item in value] if isinstance(value, list) else value


def steps_of(case: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the steps of a recorded case, as they are shipped."""
    steps = [step for number, step in enumerate(case["steps"]) if (case["case"], number) not in STEPS_LEFT_OUT]
    names = shared_names(steps)
    for step in steps:
        made = {"send": renamed_frame(step, names), "recv": renamed_answer(step["recv"])}
        if "expect" in step:
            made["ours"] = renamed_answer(step["expect"])
        if step.get("binary"):
            made["binary"] = True
        yield made


def needs_of(case: dict[str, Any]) -> list[str]:
    """Return what a case needs: a store without the data of others, and a persist path."""
    needs: set[str] = set()
    for step in case["steps"]:
        command, _ = command_of(step)
        ((_, body),) = step["recv"].items()
        if command in _OF_ALL_DATA and isinstance(body, dict) and body.get("st") in _SUCCESS:
            needs.add("empty")
        if command.endswith(("_SAVE", "_LOAD")):
            needs.add("persist")
    return sorted(needs)


def cases() -> Iterator[dict[str, Any]]:
    """Yield all cases."""
    for line in RECORDED.read_text("utf-8").splitlines():
        case = json.loads(line)
        if case["case"] in LEFT_OUT:
            continue
        section = "oddities" if case["case"] in ODDITIES else "required"
        yield {"case": case["case"], "section": section, "needs": needs_of(case), "steps": [*steps_of(case)]}
    for case in json.loads(EXTENSIONS.read_text("utf-8")):
        yield {"case": case["case"], "section": "extensions", "needs": case.get("needs", []), "steps": case["steps"]}


def main() -> int:
    """Write the file, or compare it."""
    lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases())
    text = f"[\n{lines}\n]\n"
    if "--check" in sys.argv[1:]:
        return 0 if WRITTEN.exists() and WRITTEN.read_text("utf-8") == text else 1
    WRITTEN.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

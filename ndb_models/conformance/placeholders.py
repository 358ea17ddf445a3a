"""Fill in the placeholders of a case, and compare answers. Parts that differ from run to run do not count. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, cast

from ndb_models.conformance.answers import new_token
from ndb_models.conformance.steps import Answer, Case
from ndb_models.types import SessionToken

_TOKEN: Final = re.compile(r"\$([TN])(\d+)")
_SHARED_NAME: Final = re.compile(r'"\$K(?:[^"\\]|\\.)*"')
_WITH_DURATION: Final = frozenset({"KV_SAVE_RSP", "SH_SAVE_RSP", "KV_LOAD_RSP", "SH_LOAD_RSP"})
# Members that each server chooses: messages, its version, and if it keeps data sets.
_CHOSEN_BY_SERVERS: Final = frozenset({"m", "serverVersion", "persistEnabled"})
_REMAINING: Final = "remaining"
# Seconds that may pass between the creation of a session and the look at its timer.
_SECONDS_PASSED: Final = 5


class Placeholders:
    """The placeholders of one run of a case.

    Args:
        prefix: the prefix of shared keys.
        name: the name of a data set.
        chosen: tokens that no session has, for `$N1`, `$N2`, ...
    """

    def __init__(self, prefix: str, name: str, chosen: tuple[SessionToken, ...]) -> None:
        self._prefix = prefix
        self._name = name
        self._tokens: dict[str, SessionToken] = {f"$N{number}": tkn for number, tkn in enumerate(chosen, 1)}
        self._given = 0

    @property
    def tokens(self) -> tuple[SessionToken, ...]:
        """All tokens that may name a session of this run."""
        return tuple(self._tokens.values())

    def fill(self, text: str) -> str | None:
        """Return a frame with everything filled in; None if it needs a token that the server never gave out."""
        if any(placeholder[0] not in self._tokens for placeholder in _TOKEN.finditer(text)):
            return None
        filled = _TOKEN.sub(lambda placeholder: str(self._tokens[placeholder[0]]), text)
        return filled.replace("$K", self._prefix).replace("$NAME", self._name)

    def note(self, answer: object) -> None:
        """Take down the token in an answer to `SH_NEW`."""
        tkn = new_token(answer)
        if tkn is not None:
            self._given += 1
            self._tokens[f"$T{self._given}"] = tkn

    def shared_names(self, case: Case) -> list[str]:
        """Return the names of the shared keys that a case may write."""
        found = {name for step in case.steps for name in _SHARED_NAME.findall(step.send)}
        return sorted(str(json.loads(name)).replace("$K", self._prefix) for name in found)

    def matches(self, expected: Answer, answer: object) -> bool:
        """Tell whether an answer is the expected one. Members that each server chooses do not count."""
        return self._same(self.normalised(expected, ""), self.normalised(answer, ""))

    def normalised(self, value: object, name: str) -> Any:
        """Return the value of a member `name`: with placeholders, and without the members that each server chooses."""
        if isinstance(value, dict):
            members = cast("dict[str, Any]", value)
            kept = {key: member for key, member in members.items() if not _is_chosen_by_servers(key, name)}
            return {self._with_placeholders(key): self.normalised(member, key) for key, member in kept.items()}
        if isinstance(value, list):
            items = [self.normalised(item, "") for item in cast("list[object]", value)]
            return sorted(items, key=repr) if name == "keys" else items
        return self._with_placeholders(value)

    def _with_placeholders(self, value: Any) -> Any:
        if isinstance(value, str):
            return "$NAME" if value == self._name else value.replace(self._prefix, "$K")
        if type(value) is int:
            return next((placeholder for placeholder, tkn in self._tokens.items() if tkn == value), value)
        return value

    def _same(self, want: object, have: object) -> bool:
        """Compare values of JSON. Numbers are equal by value, and differ from true and false."""
        if isinstance(want, dict) and isinstance(have, dict):
            wanted, given = cast("dict[str, object]", want), cast("dict[str, object]", have)
            return wanted.keys() == given.keys() and all(
                self._same_member(key, wanted[key], given[key]) for key in wanted
            )
        if isinstance(want, list) and isinstance(have, list):
            wants, haves = cast("list[object]", want), cast("list[object]", have)
            return len(wants) == len(haves) and all(map(self._same, wants, haves))
        return isinstance(want, bool) is isinstance(have, bool) and bool(want == have)

    def _same_member(self, key: str, want: object, have: object) -> bool:
        if key == _REMAINING and isinstance(want, int) and isinstance(have, int):
            return -_SECONDS_PASSED <= have - want <= 1
        return self._same(want, have)


def _is_chosen_by_servers(key: str, answer: str) -> bool:
    return key in _CHOSEN_BY_SERVERS or (key == "duration" and answer in _WITH_DURATION)


def difference(placeholders: Placeholders, step: int, sent: str, expected: Answer, answer: object) -> Iterator[str]:
    """Yield lines that show how an answer differs: the step, the frame, the expected answer and the one that came."""
    yield f"step {step}: {_short(sent)}"
    yield f"expected {_short(json.dumps(expected))}"
    yield f"answered {_short(answer if isinstance(answer, str) else json.dumps(placeholders.normalised(answer, '')))}"


_SHOWN: Final = 300


def _short(text: str) -> str:
    printable = text if text.isprintable() else ascii(text)[1:-1]
    return printable if len(printable) <= _SHOWN else f"{printable[:_SHOWN]}... ({len(printable)} characters)"

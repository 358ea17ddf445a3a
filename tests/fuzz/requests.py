"""Right requests: any command of the table, with parameters of the types that its row asks for."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from ndb_models.protocol.commands import COMMANDS, MAX_TOKEN, TOKEN, Command, Param, ParamType

NAMES: Final = ("a", "b", "c", "d", "", "key", "kéy", "😀", "a b", '"', "\\", "__ndb__", "tkn", "keys")
DATA_SETS: Final = ("one", "other", "", ".", "..", "../one", "/tmp", "a/b", "a\\b", "\0", "x" * 300, "C:", "é")
STRINGS: Final = (*NAMES, "x" * 40, "text", "\x7f", "\u2028", "é" * 30, "\\ud800", "[", "{" * 9, "null", "1e3")
NUMBERS: Final = (0, 1, -1, 2**31, 2**53 + 1, 2**63, MAX_TOKEN, 10**40, -(10**40), 0.5, -0.0, 1e-300, 1e300, 12.25)
DURATIONS: Final = (0, 1, 60, 1800, 2**31, 2**63, MAX_TOKEN)
PATHS: Final = (
    *("$", "$.a", "$['a']", "$[0]", "$[-1]", "$[*]", "$.*", "$..a", "$..*", "$[0:2]", "$[::-1]", "$[?@.a]"),
    *("$[?@ == 1]", "$[?@.a && !@.b]", "$[?length(@) > 1]", "$[?count(@.*) == 1]", "$..a..b", "$..a..b..c", "", "a"),
    *("$[", "$.", "$..", "$[?", "$[?@ == 1e400]", "$[1e5]", "$['\\ud800']", "$" * 50, "$" + "[0]" * 300, "$[9" * 30),
)

# What empties the store all at once would empty it of what well-behaved clients have in it.
ENDS_ALL: Final = "SH_END_ALL"
# Each of these waits for the disk.
_ON_DISK: Final = frozenset({"KV_SAVE", "KV_LOAD", "SH_SAVE", "SH_LOAD"})
_ON_DISK_WEIGHT: Final = 0.1

Value = Any


class Requests:
    """Makes requests. `tokens` are those that sessions are created under, and asked for by."""

    def __init__(self, rng: random.Random, *, without: frozenset[str] = frozenset()) -> None:
        self._rng = rng
        self.without = without
        self.tokens = [rng.getrandbits(64) for _ in range(24)]
        self._commands = [command for command in COMMANDS.values() if command.name not in without]
        self._weights = [_ON_DISK_WEIGHT if each.name in _ON_DISK else 1.0 for each in self._commands]
        self._makers: dict[str, Callable[[], Value]] = {
            "path": lambda: rng.choice(PATHS),
            "rsp": lambda: rng.choice(("paths", "keys", "kv", "other")),
            "name": lambda: rng.choice(DATA_SETS),
            "key": lambda: rng.choice(NAMES),
            "duration": lambda: rng.choice(DURATIONS),
            "tkns": lambda: [self.token() for _ in range(rng.randrange(4))],
        }

    def token(self) -> int:
        """Return a token of a session that may exist."""
        return self._rng.choice(self.tokens)

    def any(self) -> tuple[str, dict[str, Value]]:
        """Return a command's name and its parameters."""
        (command,) = self._rng.choices(self._commands, self._weights)
        return command.name, self.body_of(command)

    def body_of(self, command: Command) -> dict[str, Value]:
        """Return parameters that a command takes."""
        body = {param.name: self._right(param) for param in command.params if self._is_given(param)}
        if command.of_session:
            body[TOKEN] = self.token()
        names = list(body)
        self._rng.shuffle(names)
        return {name: body[name] for name in names}

    def _is_given(self, param: Param) -> bool:
        return param.required or self._rng.random() < 0.6

    def _right(self, param: Param) -> Value:
        if param.inner:
            return {inner.name: self._right(inner) for inner in param.inner if self._is_given(inner)}
        if param.name in self._makers:
            return self._makers[param.name]()
        if param.name == "keys" and param.kind is ParamType.ARRAY:
            return [self._rng.choice(NAMES) for _ in range(self._rng.randrange(5))]
        return self.of_kind(param.kind)

    def of_kind(self, kind: ParamType) -> Value:
        """Return a value of a JSON type."""
        rng = self._rng
        match kind:
            case ParamType.STRING:
                return rng.choice(STRINGS)
            case ParamType.BOOL:
                return rng.random() < 0.5
            case ParamType.UINT:
                return rng.choice(DURATIONS)
            case ParamType.ARRAY:
                return [self.value(2) for _ in range(rng.randrange(4))]
            case ParamType.OBJECT:
                return {rng.choice(NAMES): self.value(2) for _ in range(rng.randrange(5))}
            case ParamType.ANY:
                return self.value(2)

    def value(self, levels: int) -> Value:
        """Return any JSON value, nested so many levels at the most."""
        rng = self._rng
        kind = rng.randrange(8 if levels else 5)
        if kind < 2:
            return rng.choice(STRINGS)
        if kind == 2:
            return rng.choice(NUMBERS)
        if kind < 5:
            return rng.choice((None, True, False))
        if kind == 5:
            return [self.value(levels - 1) for _ in range(rng.randrange(4))]
        return {rng.choice(NAMES): self.value(levels - 1) for _ in range(rng.randrange(4))}

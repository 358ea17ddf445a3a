"""Bearer tokens (RFC 6750) and their roles. `Tokens` keeps only the SHA-256 of each, and no message shows a token."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from ndb_models.errors import InvalidArgumentError
from ndb_models.raising import raise_without_context

_SHORTEST: Final = 20
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_ADVICE: Final = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"


class Role(Enum):
    """The role of a token: all commands on data, or those for admins too."""

    DATA = "data"
    ADMIN = "admin"


class Grant(NamedTuple):
    """A client's admission: its role, and the digest of its token; None if tokens were not in use."""

    role: Role
    digest: bytes | None


OPEN_TO_ALL: Final = Grant(Role.ADMIN, None)
"""The grant of every client while tokens are not in use."""


class Tokens:
    """The tokens that a server takes, each with its role.

    Raises:
        InvalidArgumentError: a token is shorter than 20 characters, has an invalid character, or has two roles.
    """

    __slots__ = ("_roles",)

    def __init__(self, tokens: Iterable[tuple[Role, str]]) -> None:
        self._roles: dict[bytes, Role] = {}
        for role, token in tokens:
            _check(token)
            if self._roles.setdefault(_digest(token), role) is not role:
                raise InvalidArgumentError("one token cannot have two roles")

    def __len__(self) -> int:
        return len(self._roles)

    def __repr__(self) -> str:
        return f"<Tokens: {len(self)}>"

    @property
    def admins(self) -> tuple[bytes, ...]:
        """The digests of the tokens for admins."""
        return tuple(digest for digest, role in self._roles.items() if role is Role.ADMIN)

    def holds(self, grant: Grant) -> bool:
        """Return True if the token of a connected client's `grant` still opens the server with the same role."""
        return grant.digest is not None and self._roles.get(grant.digest) is grant.role

    def grant_of(self, authorization: str) -> Grant | None:
        """Return the grant for `authorization`, the value of the header; None if its token is unknown.

        The time taken tells neither if the token is known nor how much of it is right.
        """
        scheme, _, token = authorization.partition(" ")
        given = _digest(token.strip() if scheme.lower() == "bearer" else "")
        found = None
        for digest, role in self._roles.items():
            if hmac.compare_digest(digest, given):
                found = Grant(role, digest)
        return found


def read_tokens(path: Path) -> list[tuple[Role, str]]:
    """Return the tokens in a file: lines of `data:TOKEN` or `admin:TOKEN`. Empty lines and `#...` are ignored.

    Raises:
        InvalidArgumentError: the file cannot be read, holds no token, or has an invalid line. The message gives the
            number of the line, and not its content.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise_without_context(InvalidArgumentError(f"{path} cannot be read: {_why(exc)}"))
    tokens: list[tuple[Role, str]] = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if line and not line.startswith("#"):
            name, _, token = line.partition(":")
            try:
                tokens.append((Role(name.strip()), token.strip()))
                _check(token.strip())
            except InvalidArgumentError as exc:
                raise_without_context(InvalidArgumentError(f"{path}, line {number}: {exc}"))
            except ValueError:  # its message may quote a token
                advice = "a line is data:TOKEN or admin:TOKEN"
                raise_without_context(InvalidArgumentError(f"{path}, line {number}: {advice}"))
    if not tokens:
        raise InvalidArgumentError(f"{path} holds no token: a line is data:TOKEN or admin:TOKEN")
    return tokens


def _check(token: str) -> None:
    if not _TOKEN.fullmatch(token):
        raise InvalidArgumentError(f"a token holds letters, digits and -._~+/ only; {_ADVICE}")
    if len(token) < _SHORTEST:
        raise InvalidArgumentError(f"a token has {_SHORTEST} characters at least; {_ADVICE}")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _why(exc: Exception) -> str:
    return (exc.strerror or type(exc).__name__) if isinstance(exc, OSError) else "it is not UTF-8"

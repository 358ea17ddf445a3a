"""Which sessions a command is for: by schema, by the values of fields, by token or by public id."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, TypeAlias

import typer

from ndb_models.cli.corrections import meant_field
from ndb_models.errors import InvalidArgumentError, NdbError
from ndb_models.redaction import quoted
from ndb_models.schema.envelope import RESERVED_KEY
from ndb_models.schema.lookup import digest
from ndb_models.sessions.bulk import in_bulk
from ndb_models.sessions.whole_sessions import peek
from ndb_models.tokens import parse_token
from ndb_models.types import NAMESPACE_END, JsonValue, SessionToken

if TYPE_CHECKING:
    from ndb_models import Repository, SessionModel
    from ndb_models.client import NdbClient

SchemaOption: TypeAlias = Annotated[
    str | None, typer.Option("--schema", metavar="NAME", help="Sessions of this schema, such as UserSession.")
]
NamespaceOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--namespace", metavar="NAME", help="With --schema or --model: those in this namespace."),
]
WhereOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="FIELD=VALUE",
        help="Sessions whose field has this value. May be repeated: then a session must have all values. VALUE is JSON"
        " or a text: 7 finds the number and the text, '\"7\"' only the text.",
    ),
]
ModelOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODULE:NAME",
        help="The session model, if its code is at hand. Upgrades and defaults then count, and lookups are used.",
    ),
]

PAGE: Final = 256
"""Sessions that are read at a time: memory does not grow with their number."""

_CONDITION: Final = re.compile(r"([^=]+)=(.*)", re.DOTALL)
_PUBLIC_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_LARGEST: Final = 2**64


class Selected(NamedTuple):
    """A selected session: its token and its parsed reserved key; None if it has none."""

    tkn: SessionToken
    reserved: JsonValue


@dataclass(frozen=True, slots=True)
class Selection:
    """Which sessions a command is for.

    Attributes:
        schema: the name of the schema as it is stored, with its namespace; None for any.
        where: the JSON texts that each field may have.
        model: the class of the sessions, if its code is at hand.
        namespace: the namespace of the schema.
    """

    schema: str | None = None
    where: Mapping[str, Sequence[bytes]] = field(default_factory=dict[str, Sequence[bytes]])
    model: type[SessionModel] | None = None
    namespace: str | None = None

    def repository(self, client: NdbClient) -> Repository[Any]:
        """Return a repository of the model. There must be one."""
        from ndb_models import Repository

        assert self.model is not None
        return Repository(client, self.model, namespace=self.namespace)


def selection_of(
    schema: str | None, namespace: str | None, where: Sequence[str] | None, model: str | None
) -> Selection:
    """Return the selection that the flags of a command describe.

    Raises:
        InvalidArgumentError: a flag is wrong, or two do not go together; names the flag.
    """
    conditions = _conditions(where or ())
    if model is not None:
        if schema is not None:
            raise InvalidArgumentError("--schema: the model has it already, so leave it out with --model")
        found = imported_model(model)
        from ndb_models.schema.registry import stored_schema_name

        _require_fields(found, conditions)
        return Selection(stored_schema_name(found, namespace), conditions, found, namespace)
    if namespace is not None and schema is None:
        raise InvalidArgumentError("--namespace: it is for --schema or --model, so give one of them too")
    stored = schema if namespace is None or schema is None else f"{namespace}{NAMESPACE_END}{schema}"
    return Selection(stored, conditions, None, namespace)


def _require_fields(model: type[SessionModel], names: Collection[str]) -> None:
    """Refuse a field that a class does not have.

    Raises:
        InvalidArgumentError: there is one.
    """
    fields = model.model_fields
    for name in names:
        if name not in fields and model.model_config.get("extra") != "allow":
            shown = f"{model.__qualname__} has no field {quoted(name, 40)}"
            raise InvalidArgumentError(f"--where: {shown}{meant_field(name, fields)}")


def imported_model(target: str) -> type[SessionModel]:
    """Import the session model that `--model MODULE:NAME` names. Output of its module goes to standard error.

    Raises:
        InvalidArgumentError: there is no such module or model, or several.
    """
    from ndb_models.cli.models import find_models

    with contextlib.redirect_stdout(sys.stderr):
        models = find_models([target])
    if len(models) != 1:
        names = ", ".join(each.__qualname__ for each in models)
        raise InvalidArgumentError(f"--model: the module has several models ({names}): name one as MODULE:NAME")
    return models[0]


def _conditions(given: Sequence[str]) -> dict[str, Sequence[bytes]]:
    conditions: dict[str, Sequence[bytes]] = {}
    for each in given:
        parts = _CONDITION.fullmatch(each)
        if parts is None:
            raise InvalidArgumentError("--where: a condition is written as FIELD=VALUE, such as user_id=7")
        name, value = parts.groups()
        if name in conditions:
            raise InvalidArgumentError("--where: one field is named twice, and cannot have two values")
        conditions[name] = _texts_of(value)
    return conditions


def _texts_of(value: str) -> Sequence[bytes]:
    """Return the JSON texts that a value on the command line may mean."""
    as_text = json.dumps(value).encode()
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return (as_text,)
    return (value.encode(),) if isinstance(parsed, str) else (value.encode(), as_text)


async def selected(client: NdbClient, selection: Selection) -> AsyncGenerator[list[Selected]]:
    """Yield the selected sessions in pages, some of them empty. Extends no expiry. Memory holds one page.

    Raises:
        UnsupportedError: the server is a NemesisDB, which can neither list sessions nor read without extending.
        ResponseError: sessions have to be listed, and the bearer token is for data alone (status 14).
    """
    if selection.model is not None and selection.where:
        pages = _by_model(client, selection)
    elif selection.where:
        pages = _by_values(client, selection)
    else:
        pages = _by_schema(client, selection)
    async for page in pages:
        yield page


async def _by_schema(client: NdbClient, selection: Selection) -> AsyncGenerator[list[Selected]]:
    async for listed in _listing(client, RESERVED_KEY):
        yield [Selected(tkn, value) for tkn, value in listed.items() if _is_of(selection.schema, value)]


async def _listing(client: NdbClient, key: str) -> AsyncGenerator[dict[SessionToken, JsonValue]]:
    after = None
    while True:
        listed = await client.sh_list(key, after, PAGE)
        yield listed.values
        after = listed.next
        if after is None:
            return


def _is_of(schema: str | None, reserved: JsonValue) -> bool:
    return schema is None or (isinstance(reserved, dict) and reserved.get("schema") == schema)


async def _by_values(client: NdbClient, selection: Selection) -> AsyncGenerator[list[Selected]]:
    """Yield the sessions with these values in their stored keys.

    This reads every session that has the first key. The index would be quicker, but only the class tells whether, and
    since when, it lists the field.
    """
    name = next(iter(selection.where))
    digests = {digest(text) for text in selection.where[name]}
    async for values in _listing(client, name):
        candidates = [tkn for tkn, value in values.items() if digest(json.dumps(value).encode()) in digests]
        yield await _confirmed(client, selection, candidates)


async def _confirmed(client: NdbClient, selection: Selection, candidates: Collection[SessionToken]) -> list[Selected]:
    """Return the candidates that have all the values."""
    found = await in_bulk(partial(_confirm, client, selection), candidates, None)
    return [each for each in map(_raised, found) if each is not None]


async def _confirm(client: NdbClient, selection: Selection, tkn: SessionToken) -> Selected | None:
    keys = await peek(client, tkn, (*selection.where, RESERVED_KEY))
    if keys is None:
        return None
    for name, texts in selection.where.items():
        if name not in keys or digest(keys[name]) not in map(digest, texts):
            return None
    reserved = json.loads(keys[RESERVED_KEY]) if RESERVED_KEY in keys else None
    return Selected(tkn, reserved) if _is_of(selection.schema, reserved) else None


def _raised(result: Selected | NdbError | None) -> Selected | None:
    if isinstance(result, NdbError):
        raise result
    return result


async def _by_model(client: NdbClient, selection: Selection) -> AsyncGenerator[list[Selected]]:
    """Yield the sessions that have the values as their class reads them."""
    from ndb_models.schema.lookup import lookups_of

    assert selection.model is not None
    if lookups_of(selection.model).keys() >= selection.where.keys():
        tkns = await _found(selection.repository(client), selection.where)
        for start in range(0, len(tkns), PAGE):
            yield await _with_reserved(client, tkns[start : start + PAGE])
        return
    repository = selection.repository(client)
    async for page in _by_schema(client, selection):
        sessions = await repository.get_many([each.tkn for each in page], extend=False)
        yield [
            each
            for each, session in zip(page, sessions, strict=True)
            if not isinstance(session, NdbError) and _has(session, selection.where)
        ]


async def _found(repository: Repository[Any], where: Mapping[str, Sequence[bytes]]) -> list[SessionToken]:
    """Return the sessions that a repository finds by values. Each value is looked up in every way it may be meant."""
    refused: InvalidArgumentError | None = None
    found: dict[SessionToken, None] = {}
    answered = False
    for number in range(max(map(len, where.values()))):
        values = {name: json.loads(texts[min(number, len(texts) - 1)]) for name, texts in where.items()}
        try:
            found.update((session.tkn, None) for session in await repository.find(extend=False, **values))
            answered = True
        except InvalidArgumentError as exc:  # the value does not fit the field when it is meant in this way
            refused = refused or exc
    if refused is not None and not answered:
        raise InvalidArgumentError(f"--where: {refused}") from None
    return [*found]


async def _with_reserved(client: NdbClient, tkns: Sequence[SessionToken]) -> list[Selected]:
    return await _confirmed(client, Selection(), tkns)


def _has(session: SessionModel, where: Mapping[str, Sequence[bytes]]) -> bool:
    dumped = session.model_dump(mode="json", include=set(where))
    return all(
        name in dumped and digest(json.dumps(dumped[name]).encode()) in map(digest, texts)
        for name, texts in where.items()
    )


async def token_of(client: NdbClient, given: str) -> SessionToken | None:
    """Return the token that an argument names: a token as a number or as text, or a public id.

    A public id is searched for among all sessions. Returns None if no session has it.

    Raises:
        InvalidArgumentError: it is neither.
    """
    tkn = parsed_token(given)
    if tkn is not None:
        return tkn
    async for listed in _listing(client, RESERVED_KEY):
        for found, reserved in listed.items():
            if isinstance(reserved, dict) and reserved.get("public_id") == given:
                return found
    return None


def parsed_token(given: str) -> SessionToken | None:
    """Return an argument as a token; None if it is a public id.

    Raises:
        InvalidArgumentError: it is neither.
    """
    if given.isascii() and given.isdigit() and 0 < int(given[:21]) < _LARGEST:
        return int(given)
    tkn = parse_token(given)
    if given.startswith("..."):
        raise InvalidArgumentError("TKN: that is a shortened token: write the public id, or all of it (--show-tokens)")
    if tkn is None and not _PUBLIC_ID.fullmatch(given):
        raise InvalidArgumentError(
            "TKN: write a session's token, a number or 11 characters, or its public id, 22 characters"
        )
    return tkn


def given_tokens(arguments: Sequence[str]) -> list[str]:
    """Return the tokens and public ids that a command line names. For `-`, read them from standard input, one a line.

    Raises:
        InvalidArgumentError: one of them is neither.
    """
    given = [line.strip() for line in sys.stdin if line.strip()] if list(arguments) == ["-"] else [*arguments]
    for each in given:
        parsed_token(each)
    return given

"""Sessions as the JSON documents that the page shows. No I/O."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ndb_models.dashboard.masking import is_secret, shown
from ndb_models.dashboard.sources import KeysRead, SessionFacts
from ndb_models.schema.envelope import NOT_OURS, REMOVED, Envelope, is_reserved, read_envelope
from ndb_models.schema.tracking import login_time
from ndb_models.types import NAMESPACE_END, JsonValue, SessionToken, redact

_REMOVED: Final = json.loads(REMOVED)


class SchemaFacts(NamedTuple):
    """Facts about a schema whose model is known.

    Attributes:
        lookups: its lookup fields.
        secrets: its fields that are secrets by their types.
    """

    lookups: Sequence[str] = ()
    secrets: Collection[str] = ()


def envelope_in(reserved: JsonValue) -> Envelope:
    """Return the contents of a parsed reserved key; `NOT_OURS` if it is another one."""
    return read_envelope(json.dumps(reserved).encode()) or NOT_OURS


def schema_document(schema: str, count: int | None, facts: SchemaFacts | None) -> dict[str, Any]:
    """Return a schema: its stored name, its name for people, its namespace, its lookup fields, its sessions."""
    namespace, name = split_schema(schema)
    return {
        "schema": schema,
        "name": name,
        "namespace": namespace,
        "count": count,
        "lookups": None if facts is None else [*facts.lookups],
    }


def split_schema(schema: str) -> tuple[str | None, str]:
    """Return the namespace of a stored schema, or None, and its name."""
    namespace, separator, name = schema.rpartition(NAMESPACE_END)
    return (namespace if separator else None), name


def row_document(name: str, tkn: SessionToken, envelope: Envelope, facts: SessionFacts, now: float) -> dict[str, Any]:
    """Return a session as a row of a list.

    Args:
        name: its name on the page.
        tkn: its token, of which the last digits are shown.
        envelope: its reserved key.
        facts: facts from the store.
        now: in seconds since 1970.
    """
    return {
        "id": name,
        "token": redact(tkn),
        "version": envelope.version,
        "created": envelope.created,
        "used": envelope.used,
        "remaining": _remaining(envelope, facts, now),
        "keys": max(0, facts.key_count - 1),
    }


def session_document(
    row: Mapping[str, Any],
    envelope: Envelope,
    facts: SessionFacts,
    keys: KeysRead,
    schema: SchemaFacts | None,
    *,
    reveal: bool,
) -> dict[str, Any]:
    """Return a session with its fields. Values are there only with `reveal`, and secrets never are."""
    namespace, name = split_schema(envelope.schema)
    return {
        **row,
        "schema": envelope.schema,
        "name": name,
        "namespace": namespace,
        "publicId": envelope.public_id,
        "authenticated": login_time(envelope),
        "deadline": envelope.deadline,
        "hasCredential": envelope.secret is not None,
        "expiry": _expiry(envelope, facts),
        "revealed": reveal,
        "fields": [*_fields(envelope, keys, schema, reveal=reveal)],
    }


def _remaining(envelope: Envelope, facts: SessionFacts, now: float) -> float | None:
    until = [facts.remaining] if facts.remaining is not None else []
    if envelope.deadline is not None:
        until.append(envelope.deadline / 1000 - now)
    return round(max(0.0, min(until)), 1) if until else None


def _expiry(envelope: Envelope, facts: SessionFacts) -> dict[str, Any]:
    timer = facts.expiry
    uses = [use for use, extends in (("reads", timer.extend_on_get), ("writes", timer.extend_on_set_add)) if extends]
    return {
        "idle": timer.duration or None,
        "absolute": envelope.absolute,
        "extendedBy": uses,
        "ends": timer.delete_session,
        "own": envelope.own,
    }


def _fields(
    envelope: Envelope, keys: KeysRead, schema: SchemaFacts | None, *, reveal: bool
) -> Iterator[dict[str, Any]]:
    secrets = () if schema is None else schema.secrets
    for name, value in sorted(counted(envelope, keys.values).items()):
        document: dict[str, Any] = {"name": name, "secret": is_secret(name, value, secrets), "value": None}
        if reveal and not document["secret"]:
            document |= {"value": shown(value)._asdict()}
        yield document
    for name in sorted(keys.left_out):
        if not is_reserved(name):
            yield {"name": name, "secret": False, "value": None, "leftOut": True}


def counted(envelope: Envelope, values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the keys that count: without reserved ones, and with those of an upgrade that is being written."""
    fields = {name: value for name, value in values.items() if not is_reserved(name)}
    if envelope.staged is not None:
        staged = ((name, value) for name, value in values.items() if name.startswith(envelope.staged))
        fields |= {name.removeprefix(envelope.staged): value for name, value in staged}
    return {name: value for name, value in fields.items() if not (envelope.upgraded and value == _REMOVED)}

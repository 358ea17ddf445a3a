"""The index without the models, for a tool that knows the stored sessions alone.

The name of a value follows from the schema, the field and the stored JSON. Which fields are looked up is not known, so
every field of a session is tried: a field without `Lookup()` has no entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ndb_models.client import NdbClient
from ndb_models.errors import ResponseError
from ndb_models.index.catalogue import Catalogue, EntrySet
from ndb_models.index.entries import IndexEntry, release
from ndb_models.protocol.statuses import Status
from ndb_models.schema.envelope import RESERVED_KEY, is_reserved, read_envelope
from ndb_models.schema.lookup import digest, index_prefix
from ndb_models.sessions.whole_sessions import read_all_keys
from ndb_models.types import SessionToken


async def end_session(client: NdbClient, tkn: SessionToken) -> bool:
    """End a session of any model or none, and remove its index entries. Return False if it has ended already."""
    keys = await read_all_keys(client, tkn, may_extend=True)
    if keys is None:
        return False
    try:
        await client.sh_end(tkn)
    except ResponseError as exc:
        if exc.status != Status.SESSION_NOT_EXIST:
            raise
        return False
    envelope = read_envelope(keys.get(RESERVED_KEY, b""))
    if envelope is not None:
        await _forget_ended(client, envelope.schema, keys, tkn)
    return True


async def _forget_ended(client: NdbClient, schema: str, keys: Mapping[str, bytes], tkn: SessionToken) -> None:
    """Remove the entries of a session that has ended, and give up its unique values. `keys` are its keys as they were.

    The values that its class would have made of them are not known. Entries under those are found out by later readers.
    """
    catalogue = Catalogue(client)
    names = [index_prefix(schema, name) + digest(text) for name, text in keys.items() if not is_reserved(name)]
    for name in await catalogue.tokens(names) if names else ():
        await catalogue.use(name, partial(_forget, tkn))


async def _forget(tkn: SessionToken, listed: EntrySet) -> None:
    """Remove the entries of a session from a set: plain ones, with the token as their key, and claims."""
    entries = await listed.entries()
    plain = [entry for entry in entries if _is_plain(entry)]
    claims = [entry for entry in entries if not _is_plain(entry)]
    await listed.remove(entry.key for entry in plain if entry.tkn == tkn)
    given_up = release(claims, lambda claim: claim.tkn == tkn)
    if given_up.vacate is not None:
        await listed.put(given_up.vacate.vacated())
    await listed.remove(given_up.remove)


def _is_plain(entry: IndexEntry) -> bool:
    return entry.key == str(entry.tkn)

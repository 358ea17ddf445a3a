"""Fields in `--where` that no session has: a misspelt name would otherwise look like a user without sessions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from ndb_models.cli.corrections import meant_field
from ndb_models.cli.session_selection import Selection, selected
from ndb_models.redaction import quoted
from ndb_models.schema.envelope import is_reserved

if TYPE_CHECKING:
    from ndb_models.client import NdbClient

_LONGEST_NAME: Final = 40
_SAMPLE: Final = 20
"""Sessions whose fields are read for the names that may have been meant."""


async def hint_at_unknown_fields(client: NdbClient, selection: Selection) -> None:
    """Write a line to standard error for each field of `--where` that no stored session has. Extends no expiry.

    For a selection that has found nothing. Nothing is written for a class: its fields were checked before.
    """
    if selection.model is not None:
        return
    for name in selection.where:
        if not await _is_stored(client, name):
            known = await _stored_fields(client, selection)
            if known:
                meant = meant_field(name, known)
                sys.stderr.write(f"--where: no session has a field {quoted(name, _LONGEST_NAME)}{meant}\n")


async def _is_stored(client: NdbClient, name: str) -> bool:
    after = None
    while True:
        listed = await client.sh_list(name, after)
        if listed.values or listed.next is None:
            return bool(listed.values)
        after = listed.next


async def _stored_fields(client: NdbClient, selection: Selection) -> set[str]:
    """Return the names of the fields of some sessions of the schema."""
    names: set[str] = set()
    async for page in selected(client, Selection(selection.schema)):
        for each in page[:_SAMPLE]:
            names.update(await client.sh_keys(each.tkn))
        if page:
            break
    return {name for name in names if not is_reserved(name)}

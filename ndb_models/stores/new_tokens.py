"""Tokens for new sessions."""

from __future__ import annotations

import secrets

from ndb_models.types import SessionToken


def draw_token() -> SessionToken:
    """Return an unpredictable token. No session has the token 0."""
    return int.from_bytes(secrets.token_bytes(8)) or 1

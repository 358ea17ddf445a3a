"""`wss://` from the server itself, certificates that are replaced, and addresses that need protection."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ndb_models import ConnectError, InvalidArgumentError, NdbClient
from ndb_models.engine import Engine
from ndb_models.server import NdbServer, Role, ServerOptions, Tokens
from ndb_models.stores.memory import MemoryStore
from tests.server.plain_client import GUARD

TOKEN = "a-token-that-is-long-enough"

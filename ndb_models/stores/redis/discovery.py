"""Finds the servers of a URI when a store is opened, in one attempt, so that a mistake shows at once."""

from __future__ import annotations

import ssl

from ndb_models.errors import StoreError, StoreUnreachableError
from ndb_models.stores.redis.opening import LOST, Opener, ignored, reason_of
from ndb_models.stores.redis.options import RedisUri
from ndb_models.stores.redis.slot_map import Address
from ndb_models.stores.redis.topology import Cluster, SingleServer, Topology


async def discovered(uri: RedisUri, tls: ssl.SSLContext | None) -> Topology:
    """Return the server of a URI, or the masters of its cluster, after connecting once.

    Args:
        uri: the servers.
        tls: the context for `rediss://`; None for one that trusts the certificates of the system, or of `tls_ca`.

    Raises:
        StoreError: no server can be used.
    """
    opener = Opener(uri, (tls or _default_tls(uri)) if uri.tls else None)
    if uri.is_cluster:
        cluster = Cluster(opener)
        if reasons := await cluster.look():
            raise StoreUnreachableError(uri.shown, "; ".join(dict.fromkeys(reasons)))
        return cluster
    try:
        connection, _ = await opener.open(Address(*uri.addresses[0]), ignored)
    except LOST as exc:
        raise StoreUnreachableError(uri.shown, reason_of(exc)) from exc
    connection.drop("the store makes its own")
    return SingleServer(opener)


def _default_tls(uri: RedisUri) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=uri.options.tls_ca)
    except OSError as exc:
        raise StoreError(uri.shown, "the file of tls_ca cannot be read as certificates") from exc

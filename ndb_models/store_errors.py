"""Errors of stores. Import them from `ndb_models.errors`, which draws the whole tree."""

from __future__ import annotations

from ndb_models.error_root import UnavailableError


class StoreError(UnavailableError):
    """A store could not be opened, or failed a request. The cause says more.

    Acknowledged writes stay. Attributes: `store`, its place; `reason`; `maybe_done`. The failed request has changed no
    data if `maybe_done` is False, as it always is for a store in a file. If it is True, the request may have been
    carried out.
    """

    def __init__(self, store: str, reason: str, maybe_done: bool = False) -> None:
        self.store = store
        self.reason = reason
        self.maybe_done = maybe_done
        super().__init__(f"{store}: {reason}" + ("; it may or may not have been carried out" if maybe_done else ""))


class StoreFormatError(StoreError):
    """The file is not a store of this package, or is damaged."""


class StoreVersionError(StoreFormatError):
    """A newer version of this package wrote it. Attributes: `found` and `known`, the versions of the schema."""

    def __init__(self, store: str, found: int, known: int) -> None:
        self.found = found
        self.known = known
        super().__init__(
            store, f"a newer version of ndb_models wrote it (schema {found}, this one knows up to {known}): upgrade"
        )


class StoreReadOnlyError(StoreError):
    """The store cannot be written to. Even reading sessions needs writes: timers and sweeping write."""


class StoreLockedError(StoreError, TimeoutError):
    """Others kept the store locked for longer than the limit. Trying again is safe."""


class StoreUnreachableError(StoreError, TimeoutError):
    """A store elsewhere did not answer in time, or the connection to it was lost at a write that cannot be repeated."""


class StoreNotReplicatedError(StoreError):
    """A write was carried out, and too few replicas confirmed it in time: a failover may lose it.

    `maybe_done` is True. Attributes: `confirmed`, the number of replicas that did; `wanted`; those of `StoreError`.
    """

    def __init__(self, store: str, name: str, confirmed: int, wanted: int) -> None:
        self.confirmed = confirmed
        self.wanted = wanted
        super().__init__(
            store, f"{confirmed} of {wanted} replicas confirmed {name} in time: a failover may lose it", maybe_done=True
        )


class StoreFullError(StoreError):
    """There is no room left. Reads work; writes work again once there is room."""

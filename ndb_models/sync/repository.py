"""`SyncRepository`: a `Repository` for programs without an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeVar

from ndb_models.clocks import wall_clock
from ndb_models.repository import Repository
from ndb_models.repository.arguments import check_arguments
from ndb_models.schema.model import SessionModel
from ndb_models.sync.client import SyncClient, portal_of
from ndb_models.sync.hook_verbs import SyncHookVerbs
from ndb_models.sync.portal import Portal
from ndb_models.sync.verbs.changing_verbs import SyncChangingVerbs
from ndb_models.sync.verbs.core_verbs import SyncCoreVerbs
from ndb_models.sync.verbs.credential_verbs import SyncCredentialVerbs
from ndb_models.sync.verbs.describing_verbs import SyncDescribingVerbs
from ndb_models.sync.verbs.listing_verbs import SyncListingVerbs
from ndb_models.sync.verbs.lookup_verbs import SyncLookupVerbs
from ndb_models.sync.verbs.repository import SyncRepositoryVerbs
from ndb_models.types import Clock
from ndb_models.uncopyable import Uncopyable
from ndb_models.usage import NotAsynchronous, NotSynchronous

M = TypeVar("M", bound=SessionModel)

_USAGE: Final = "a SyncRepository needs a SyncClient: SyncRepository(SyncClient(uri), UserSession)"


class SyncRepository(
    SyncLookupVerbs[M],
    SyncCredentialVerbs[M],
    SyncListingVerbs[M],
    SyncChangingVerbs[M],
    SyncDescribingVerbs[M],
    SyncHookVerbs[M],
    SyncCoreVerbs[M],
    SyncRepositoryVerbs[M],
    Uncopyable,
    NotSynchronous,
    NotAsynchronous,
):
    """Stores models of one class as sessions, synchronously.

        repo = SyncRepository(client, UserSession)
        session = repo.save(UserSession(username="billy"))
        session = repo.get(session.tkn)

    The verbs, their arguments, results and errors are those of `Repository`, which documents them together. Any number
    of threads may use a repository at once. `extend=False` reads without keeping the session alive, and `expiry` is an
    expiry in the place of the class's. "Cancelled" means interrupted, for example by Ctrl-C.

    A function that is given to a verb, such as the one of `mutate` or a `progress`, is called in the thread that made
    the call, and may make calls itself. Validators, steps of an upgrade and the clock are called in the client's own
    work. There a call of the same client raises `UnsupportedError`, since it would wait for itself.

    Args:
        client: a synchronous client, which stays yours to close.
        model: the class of the models that are stored and returned.
        namespace: as for `Repository`, like all that follow.
        foreign: see there.
        on_invalid: see there.
        rewrite: see there.
        verify_version: see there.
        clock: see there.
    """

    USAGE = "a SyncRepository needs no opening: repo = SyncRepository(client, UserSession); repo.get(tkn)"
    INSTEAD = "it holds a client; make one where it is needed, SyncRepository(client, Model)"

    if not TYPE_CHECKING:  # a type checker reports a missing argument itself

        def __new__(cls, *given, **options):
            """Check the arguments first, for a clearer error than Python's own."""
            given = dict(zip(("client", "model"), given, strict=False)) | options
            check_arguments(portal_of(given.get("client"), _USAGE).client, given.get("model"), "raise")
            return super().__new__(cls)

    def __init__(
        self,
        client: SyncClient,
        model: type[M],
        *,
        namespace: str | None = None,
        foreign: bool = False,
        on_invalid: Literal["raise", "end"] = "raise",
        rewrite: bool = False,
        verify_version: bool = False,
        clock: Clock = wall_clock,
    ) -> None:
        self._client = client
        self._portal: Portal = portal_of(client, _USAGE)
        self._asynchronous: Repository[M] = Repository(
            self._portal.client,
            model,
            namespace=namespace,
            foreign=foreign,
            on_invalid=on_invalid,
            rewrite=rewrite,
            verify_version=verify_version,
            clock=clock,
        )

    def unsaved(self, session: M) -> frozenset[str]:
        """Return the names of the fields that a save of this model would write. Sends no request.

        For a model without a token these are all that are stored. Reading and saving make it empty.

        Raises:
            UnstorableError: a field cannot be written as JSON.
        """
        return self._asynchronous.unsaved(session)

    def __repr__(self) -> str:
        return repr(self._asynchronous).replace("Repository", "SyncRepository", 1)

"""The synchronous verbs of `CredentialVerbs`. Written by `.ci/sync_verbs.py`, do not edit."""

from __future__ import annotations

from datetime import timedelta

from ndb_models.credentials import Credential
from ndb_models.repository.credential_verbs import GRACE, UNSEEN, M
from ndb_models.repository.opened import OpenedSession
from ndb_models.sync.verb_bases import OfRepository


class SyncCredentialVerbs(OfRepository[M]):
    """The verbs of `CredentialVerbs`, synchronous."""

    def issue(self, session: M) -> Credential:
        """Give a session its credential, and return it. A credential that it had before is dead at once.

            credential = repo.issue(repo.save(UserSession(username="billy")))
            response.set_cookie("__Host-session", str(credential), secure=True, httponly=True)

        The credential cannot be read again: only the digest of its secret is stored. This counts as a write. The
        model's unsaved changes stay unsaved. Calling it again, or after `renew`, is `renew` with `login=True` and
        without a grace period. A cancelled call may or may not have been carried out: issue another one.

        Raises:
            NotSavedError: the model was never saved.
            SessionGoneError: the session has ended or expired.
            InvalidArgumentError: another client wrote the session.
        """
        return self._portal.call(lambda: self._asynchronous.issue(session))

    def renew(self, session: M, grace: timedelta | float = GRACE, *, login: bool = False) -> Credential:
        """Give a session a new secret in place, and return the new credential.

        The token, the data and the lookups stay, so nothing is copied, and all models of the session stay valid. Call
        it at login, whenever the user or the rights of a session change, and by a timer if wanted. `rotate` also
        changes the token.

        The credential that was current opens the session until the grace period ends, for requests under way. One that
        is in its grace period already is dead at once. Of several renewals at the same time each takes effect after the
        other: the credential of the last one stays. Otherwise as `issue`.

        Args:
            session: a model that was saved or read.
            grace: a `timedelta` or seconds, by the repository's clock; 0 for none.
            login: True if the user has just logged in. `is_fresh` and `require_fresh` then count from now.

        Raises:
            InvalidArgumentError: `grace` is negative or no time; or another client wrote the session.
        """
        return self._portal.call(lambda: self._asynchronous.renew(session, grace, login=login))

    def renew_once(self, shown: str, unseen: timedelta | float = UNSEEN) -> Credential | None:
        """Renew the credential with this text, once for all requests that show it. Return the new one.

        For cookies that are replaced by a timer. The first request renews; the others, also later ones, get the same
        new credential without a write. So it does not matter which answer comes last, or whether one is lost: the old
        credential opens the session until a request shows the new one, and `note_seen` is called for that.

        Return None if the credential is not the current one, and the new one was seen already. Otherwise as `renew`.

        Args:
            shown: the text of the credential that came with the request.
            unseen: how long the old one opens the session at most if no request ever shows the new one: a `timedelta`
                or seconds, by the repository's clock.

        Raises:
            InvalidArgumentError: the text is malformed; or as `renew`.
        """
        return self._portal.call(lambda: self._asynchronous.renew_once(shown, unseen))

    def note_seen(self, shown: str, grace: timedelta | float = GRACE) -> None:
        """Begin the grace period of a credential that `renew_once` replaced, as its successor was shown now.

        Nothing happens if the text is not the current credential, or was noted already.

        Args:
            shown: the text of the new credential.
            grace: as for `renew`.

        Raises:
            InvalidArgumentError: the text is malformed; or as `renew`.
        """
        return self._portal.call(lambda: self._asynchronous.note_seen(shown, grace))

    def authenticate(self, text: str | None) -> M | None:
        """Return the session that the text of a credential opens, or None. Takes a browser's input unchecked.

        None is returned for a text that is malformed, or whose session has ended, expired, is of another model, has no
        credential, or has another secret. A malformed text costs no request, any other one read at most. A wrong secret
        does not extend the session, and is compared in constant time. The right one counts as a read, as by `get`. The
        first time, the extension is a request of its own, which is not waited for. From then on the read extends: if
        the secret has been replaced meanwhile, it extends the session once more, and opens nothing. (A NemesisDB
        extends on every read, also for a wrong secret.) Of an open class, the right one costs the requests of `get`
        besides.

        Raises (for the right credential only):
            StoredDataError: the stored data does not fit the model.
            NewerVersionError, OlderVersionError: the session is of a version that this code does not take.
        """
        return self._portal.call(lambda: self._asynchronous.authenticate(text))

    def opened_by(self, text: str | None, *, extend: bool = True, to_change: bool = False) -> OpenedSession[M] | None:
        """Do what `authenticate` does, and return facts about the credential and the expiry with the session.

        Args:
            text: the text of a credential.
            extend: count as a read. False leaves that to the caller, who calls the result's `use` later, if it has one.
            to_change: a save is likely to follow, which extends the session as well. On Redis, where a read that
                extends nothing is much less work, the read is then one, while half of the idle time is left as far as
                this program knows.
        """
        return self._portal.call(lambda: self._asynchronous.opened_by(text, extend=extend, to_change=to_change))

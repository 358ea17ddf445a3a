"""All sessions of one user: listed, and ended. No framework."""

from __future__ import annotations

from typing import TypeVar

from ndb_models.errors import SessionGoneError
from ndb_models.schema import SessionModel
from ndb_models.web.devices import Device, check_tracked, device_of, in_order
from ndb_models.web.principal import user_field
from ndb_models.web.running_visit import RunningVisit
from ndb_models.web.sessions import VisitedSessions

M = TypeVar("M", bound=SessionModel)


class UserSessions(VisitedSessions[M]):
    """The verbs about all sessions of the user of a visit.

    The user is the value of the first field that has `Principal()` and `Lookup()`. A session whose field is None has no
    user: it stands alone.
    """

    async def devices_of_visit(self, visit: RunningVisit[M]) -> list[Device[M]]:
        """Return the devices of the user of `visit`; see `WebSessions.devices`."""
        check_tracked(self.model, "devices()")
        current = await self.open_visit(visit)
        if current is None:
            return []
        return in_order(
            [each for each in [await self._device(one, current) for one in await self._all(current)] if each]
        )

    async def _all(self, current: M) -> list[M]:
        field = user_field(self.model)
        user = getattr(current, field)
        if user is None:
            return [current]
        found = await self.repo.find(extend=False, **{field: user})
        return [current, *(session for session in found if session.tkn != current.tkn)]

    async def _device(self, session: M, current: M) -> Device[M] | None:
        try:
            return device_of(session, await self.repo.describe(session, current=current))
        except SessionGoneError:  # it ended meanwhile
            return None

    async def revoke_of_visit(self, visit: RunningVisit[M], public_id: str) -> bool:
        """End the session `public_id` of the user of `visit`; see `WebSessions.revoke`."""
        check_tracked(self.model, "revoke()")
        for device in await self.devices_of_visit(visit):
            if device.public_id is not None and device.public_id == public_id:
                if device.is_current:
                    return await self.logout_visit(visit)
                return await self.repo.delete(device.session.tkn)
        return False

    async def logout_others_of_visit(self, visit: RunningVisit[M]) -> int:
        """End the other sessions of the user of `visit`; see `WebSessions.logout_others`."""
        field = user_field(self.model)
        current = await self.open_visit(visit)
        user = None if current is None else getattr(current, field)
        if current is None or user is None:
            return 0
        return await self.repo.end_all_for(but=current, **{field: user})

    async def logout_everywhere_of_visit(self, visit: RunningVisit[M]) -> int:
        """End all sessions of the user of `visit`; see `WebSessions.logout_everywhere`."""
        others = await self.logout_others_of_visit(visit)
        return others + await self.logout_visit(visit)

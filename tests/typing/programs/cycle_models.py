"""A model in a cycle of imports, whose fields name what is defined later."""

from __future__ import annotations

from typing import Annotated

from ndb_models import Lookup, SessionModel
from tests.typing.programs import cycle_verbs


class Early(SessionModel, expirey=1):  # E: "expirey"; did you mean "expiry"?  [ndb-keyword]  # P: ArgumentType
    later: Later | None = None
    other: cycle_verbs.Other | None = None
    user_id: LaterId


LaterId = Annotated[int, Lookup()]


class Later(SessionModel):
    early: Early | None = None

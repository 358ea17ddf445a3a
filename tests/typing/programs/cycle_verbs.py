"""The other half of the cycle."""

from __future__ import annotations

from ndb_models import Repository, SessionModel
from tests.typing.programs import cycle_models


class Other(SessionModel):
    number: int = 0


class Derived(cycle_models.Later):
    further: int = 0


async def change(repo: Repository[cycle_models.Early], derived: Repository[Derived]) -> None:
    await repo.update(5, later=None, other=Other(), user_id=5)
    await repo.update(5, other=5)  # E: Field "other" of "Early" is "Other | None", not "int"  [ndb-value]
    await repo.find(user_id=5)
    await repo.find(user_id="5")  # E: is looked up by "int", not "str"  [ndb-value]
    await derived.update(5, early=None, furthr=1)  # E: did you mean "further"?  [ndb-field]

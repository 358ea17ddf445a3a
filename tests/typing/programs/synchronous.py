"""The same verbs of synchronous repositories."""

from __future__ import annotations

from ndb_models.sync import SyncConfigRepository, SyncRepository
from tests.typing.programs.models import Config, Login


def right(repo: SyncRepository[Login], config: SyncConfigRepository[Config]) -> None:
    repo.update(5, username="b", roles=[])
    repo.find(user_id=7, limit=5)
    config.update(debug=True)


def wrong(repo: SyncRepository[Login], config: SyncConfigRepository[Config]) -> None:
    repo.update(5, usernme="b")  # E: "Login" has no field "usernme"; did you mean "username"?  [ndb-field]
    repo.update(5, age="x")  # E: Field "age" of "Login" is "int", not "str"  [ndb-value]
    repo.find(age=7)  # E: is not looked up; find() takes "user_id" or "email"  [ndb-field]
    repo.find_one(user_id=7)  # E: find_one() needs a field with Lookup(unique=True)  [ndb-field]
    repo.end_all_for(user_id="7")  # E: is looked up by "int", not "str"  [ndb-value]
    config.update(titel="t")  # E: "Config" has no field "titel"; did you mean "title"?  [ndb-field]

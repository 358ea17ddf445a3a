"""Class keywords of session models."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Unpack

from ndb_models import Expiry, Merge, SessionKeywords, SessionMeta, SessionModel

LIMIT = Expiry(absolute=60)


class Right(
    SessionModel,
    expiry=LIMIT,
    schema="right",
    version=2,
    oldest=1,
    track=timedelta(minutes=1),
    private="drop",
    merge=Merge.later,
    extra="forbid",
    title="t",
):
    name: str = ""


class NeverEnds(Right, expiry=None, track=60):
    pass


class Misspelt(SessionModel, expirey=LIMIT):  # E: did you mean "expiry"?  [ndb-keyword]  # P: ArgumentType
    pass


class Unlike(SessionModel, lifespan=60):  # E: it has "expiry", "schema", "version",  [ndb-keyword]  # P: ArgumentType
    pass


class ManyLines(
    SessionModel,
    schema="many",
    exttra="forbid",  # E: takes no class keyword "exttra"; did you mean "extra"?  [ndb-keyword]  # P: ArgumentType
    version="2",  # E: Class keyword "version" of "ManyLines" is "int", not "str"  [ndb-keyword]  # P: ArgumentType
):
    pass


class NoExpiry(SessionModel, expiry=timedelta(1)):  # E: not "timedelta"  [ndb-keyword]  # P: ArgumentType
    pass


class NoMerge(SessionModel, merge=Merge.add):  # E: not "Literal[Merge.add]"  [ndb-keyword]  # P: ArgumentType
    pass


class NoPrivate(SessionModel, private="keep"):  # E: not "Literal['keep']"  [ndb-keyword]  # P: ArgumentType
    pass


class NoTrack(SessionModel, track="60"):  # E: "timedelta | float | None", not "str"  [ndb-keyword]  # P: ArgumentType
    pass


class NoExtra(Right, extra="alow"):  # E: Class keyword "extra" of "NoExtra" is  [ndb-keyword]  # P: ArgumentType
    pass


class Table:
    """Takes a keyword of its own, and stands after a session model."""

    def __init_subclass__(cls, *, table: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)


class Tabled(SessionModel, Table, table=True, version=2):  # pyright: ignore[reportArgumentType]
    pass


class Two(SessionModel, Table, table=5, tabel=1):  # E: [ndb-keyword] // [ndb-keyword]  # P: ArgumentType ArgumentType
    pass


class TableMeta(SessionMeta):
    if TYPE_CHECKING:

        def __new__(
            mcs,
            name: str,
            bases: tuple[type[Any], ...],
            namespace: dict[str, Any],
            *,
            table: bool = False,
            **kwargs: Unpack[SessionKeywords],
        ) -> TableMeta: ...

        def __init__(cls, *args: Any, **kwargs: Any) -> None: ...  # noqa: N805 - a metaclass


class TableSession(SessionModel, Table, metaclass=TableMeta):
    pass


class TypedTable(TableSession, table=True, version=2):
    pass


class WrongTypedTable(TableSession, table=5):  # E: is "bool", not "int"  [ndb-keyword]  # P: ArgumentType
    pass


class WrongKeyword(TableSession, tabel=True):  # P: ArgumentType
    """A metaclass of the program's own may take any keyword, for all that mypy knows."""


class Named(SessionModel):
    """Takes a keyword of its own, and hands on the others."""

    def __init_subclass__(cls, *, label: str = "", **kwargs: Unpack[SessionKeywords]) -> None:
        super().__init_subclass__(**kwargs)


class WronglyNamed(Named, label=5):  # E: "label" of "WronglyNamed" is "str"  [ndb-keyword]  # P: ArgumentType
    pass


class Hooked(SessionModel):
    @classmethod
    def __pydantic_init_subclass__(cls, *, tag: str = "", **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)


class WronglyHooked(Hooked, tga="a"):  # E: did you mean "tag"?  [ndb-keyword]  # P: ArgumentType
    pass


def decorated(model: type[Right]) -> type[Right]:
    return model


@decorated
class Decorated(Right, version="3"):  # E: "version" of "Decorated" is "int"  [ndb-keyword]  # P: ArgumentType
    pass

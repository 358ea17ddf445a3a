"""docs/web.md: its program runs, and its table of errors is right."""

import re
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

import ndb_models.web
from ndb_models import errors
from ndb_models.web import CrossSiteError, LoginTooOldError, NotLoggedInError, SessionsUnavailableError
from tests.web.browsers import Browser

PAGE = Path(__file__).parents[2] / "docs" / "web.md"


async def test_the_program_of_the_page_runs() -> None:
    program = PAGE.read_text().partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    program = program.replace("sqlite:///sessions.db", "memory://")
    program = program.replace("track=60", 'track=60, schema="web.reference-page"')  # others have a UserSession, too
    exec(program, names)  # the text of a page of ours
    async with names["sessions"].lifespan(), Browser(names["app"], raises=True) as browser:
        assert (await browser.post("/cart/apple")).status_code == 401
        await browser.post("/login?user_id=7")
        await browser.post("/cart/apple")
        assert (await browser.post("/cart/apple")).json() == {"apple": 2}


def test_the_table_of_errors_is_right() -> None:
    rows = re.findall(r"^\| `(\w+Error)` \| `(\w+)` \| (\d*) ?\|", PAGE.read_text(), re.MULTILINE)
    told = {name: (below, status) for name, below, status in rows}
    public = [name for name in ndb_models.web.__all__ if name.endswith("Error")]
    assert sorted(told) == sorted(public)
    for name, (below, _) in told.items():
        assert issubclass(getattr(ndb_models.web, name), getattr(errors, below)), name
    answered: list[HTTPException] = [
        NotLoggedInError("Visitor"),
        LoginTooOldError("Visitor", 5),
        CrossSiteError("Visitor", "why"),
        SessionsUnavailableError("Visitor"),
    ]
    statuses = {type(error).__name__: str(error.status_code) for error in answered}
    assert {name: status for name, (_, status) in told.items() if status} == statuses

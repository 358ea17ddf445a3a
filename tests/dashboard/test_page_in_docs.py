"""The program in docs/dashboard.md lets an admin in, and no one else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

DOCS: Final = Path(__file__).parents[2] / "docs" / "dashboard.md"


@pytest.mark.parametrize(("roles", "status"), [({"admin"}, 200), (set[str](), 403)])
async def test_the_page_is_for_admins(roles: set[str], status: int) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {"__name__": "dashboard_example"}
    exec(compile(program, DOCS, "exec", dont_inherit=True), names)
    repo = names["sessions"].repo
    credential = await repo.issue(await repo.save(names["UserSession"](username="ada", roles=roles)))
    transport = httpx.ASGITransport(names["app"])
    async with httpx.AsyncClient(transport=transport, base_url="https://app.test") as browser:
        assert (await browser.get("/admin/sessions/")).status_code == 403
        browser.headers["Cookie"] = "__Host-session=" + str(credential)
        answer = await browser.get("/admin/sessions/api/about", headers={"NDB-Dashboard": "%7B%7D"})
        assert answer.status_code == status
        assert (answer.json().get("who") == "ada") is (status == 200)
    await names["client"].close()

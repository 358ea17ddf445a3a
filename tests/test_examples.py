"""The examples, and the code in the README and in the docs, run and print what they say."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ndb_models.server import NdbServer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
# That of tests is run by pytest: see tests/testing. Those of the tutorial are run as its pages say: see tests/guides.
EXAMPLES = sorted(set((ROOT / "examples").glob("*.py")) - {ROOT / "examples" / "test_my_app.py"})


def run(*command: str) -> str:
    # What runs is this tree, wherever the script stands and whatever is installed.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_on_the_embedded_default(example: Path) -> None:
    assert run(str(example))


def test_quickstart_shows_what_the_package_promises() -> None:
    printed = run("examples/quickstart.py")
    assert "equal to what was saved: True" in printed
    assert "email='billy@example.com', roles=['admin']" in printed
    assert "UnstorableError: UserSession cannot be stored: roles" in printed
    assert "SessionGoneError" in printed


def test_one_time_password_works_once_and_only_while_it_lives() -> None:
    printed = run("examples/one_time_password.py").splitlines()
    outcomes = [line.partition(":")[2].strip().partition(":")[0] for line in printed]
    assert outcomes == ["wrong code", "welcome, billy", "no such password", "no such password"]


def test_the_web_application_of_the_readme_keeps_a_cart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.testclient import TestClient

    monkeypatch.chdir(tmp_path)
    readme = (ROOT / "README.md").read_text("utf-8")
    block = next(text for kind, text in FENCED.findall(readme) if kind == "python" and "WebSessions" in text)
    (tmp_path / "web_application_of_the_readme.py").write_text(block, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    application = importlib.import_module("web_application_of_the_readme")
    with TestClient(application.app, base_url="https://testserver") as browser:
        assert browser.post("/cart/apple").status_code == 401
        assert browser.post("/login?user=billy").status_code == 200
        assert browser.post("/cart/apple").json() == {"apple": 1}
        assert browser.post("/cart/apple").json() == {"apple": 2}


def test_the_page_on_configuration_is_a_program_that_prints_what_it_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    script = tmp_path / "configuration.py"
    script.write_text(
        f"import asyncio\nasync def main():\n{textwrap.indent(code, '    ')}\nasyncio.run(main())\n", "utf-8"
    )
    assert run(str(script)) == "".join(re.findall(r"```text\n(.*?)```", page, re.DOTALL))


def test_feature_flags_follow_the_store_and_keep_the_last_good_ones() -> None:
    printed = run("examples/feature_flags.py")
    answers = [line.partition("gets: ")[2] for line in printed.splitlines() if "customer 7" in line]
    assert answers == [
        "welcome, here is the old checkout",
        "welcome, here is the new checkout",
        "happy new year, here is the new checkout",
        "happy new year, here is the new checkout",
        "happy new year, here is the old checkout",
        "503, back in a minute",
    ]
    assert "ignored: shop:new_checkout_percent" in printed


FENCED = re.compile(r"```(python|text|console)\n(.*?)```", re.DOTALL)


def test_the_page_on_versions_prints_what_it_says(tmp_path: Path) -> None:
    """Its program is all blocks that are no file's; what they print is what the page says, in that order."""
    blocks = FENCED.findall((ROOT / "docs" / "versions.md").read_text("utf-8"))
    script = tmp_path / "page.py"
    script.write_text("".join(text for kind, text in blocks if kind == "python" and not text.startswith("# ")), "utf-8")
    assert run(str(script)) == "".join(text for kind, text in blocks if kind == "text")


@pytest.mark.slow
def test_the_commands_on_the_page_on_versions_say_what_it_says(tmp_path: Path) -> None:
    """A block that begins with the name of a file is what the file holds from there on."""
    said = 0
    for kind, text in FENCED.findall((ROOT / "docs" / "versions.md").read_text("utf-8")):
        if kind == "python" and text.startswith("# "):
            (tmp_path / text.splitlines()[0].removeprefix("# ")).write_text(text, "utf-8")
        elif kind == "console":
            command, _, expected = text.partition("\n")
            assert command.startswith("$ ndb-models ")
            arguments = ["-B", "-m", "ndb_models", *command.split()[2:]]
            done = subprocess.run(
                [sys.executable, "-W", "error", *arguments],
                cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert (done.stdout, done.stderr) == (expected, "")
            assert done.returncode == (1 if "breaking" in expected else 0)
            said += 1
    assert said == 2


def test_the_page_about_lookups_prints_what_it_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "lookup.md").read_text("utf-8")
    script = tmp_path / "logging_out_everywhere.py"
    script.write_text("\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)), "utf-8")
    assert run(str(script)) == "".join(re.findall(r"```text\n(.*?)```", page, re.DOTALL))


def test_the_page_about_hooks_prints_what_it_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "hooks.md").read_text("utf-8")
    script = tmp_path / "hooks.py"
    script.write_text("\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)), "utf-8")
    assert run(str(script)) == "".join(re.findall(r"```text\n(.*?)```", page, re.DOTALL))


async def test_raw_client_example_runs_against_a_server(server: NdbServer) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "examples/raw_client.py", server.uri, cwd=ROOT, stdout=subprocess.PIPE
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert b"{'fname': 'James'}" in printed


def test_ten_tabs_lose_no_item() -> None:
    assert run("examples/cart.py") == "10 items after 10 visits\n"


def test_a_page_of_devices_shows_the_latest_three_and_ends_one() -> None:
    assert run("examples/devices.py").splitlines() == [
        "logged in on:",
        "  laptop (this device)",
        "  phone",
        "  tablet",
        "after logging out the phone:",
        "  laptop (this device)",
        "  tablet",
        "a tampered cookie opens: None",
    ]


def test_the_page_on_synchronous_programs_prints_what_it_says(tmp_path: Path) -> None:
    blocks = FENCED.findall((ROOT / "docs" / "synchronous.md").read_text("utf-8"))
    script = tmp_path / "page.py"
    script.write_text("\n".join(text for kind, text in blocks if kind == "python"), "utf-8")
    assert run(str(script)) == "".join(text for kind, text in blocks if kind == "text")


def test_a_visit_to_the_flask_application_ends_with_the_logout() -> None:
    assert run("examples/flask_app.py").splitlines() == [
        "before the login: 401 UNAUTHORIZED",
        "in the cart: {'apple': 2, 'pear': 1}",
        "after the logout: 401 UNAUTHORIZED",
    ]


def test_workers_do_all_jobs_but_the_one_that_was_cancelled() -> None:
    assert run("examples/worker.py").splitlines() == [
        "250 of 250 rows: done",
        "0 of 1000 rows: cancelled",
        "70 of 70 rows: done",
    ]

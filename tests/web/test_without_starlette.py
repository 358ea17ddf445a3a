"""What can be imported without the extra, and what is said of the rest."""

import subprocess
import sys

PROGRAM = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"starlette", "fastapi", "itsdangerous"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
"""


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", PROGRAM + program], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_the_package_does_not_import_starlette() -> None:
    loaded = run("import ndb_models; print([name for name in sys.modules if 'ndb_models.web' in name])")
    assert loaded.strip() == "[]"


def test_what_needs_no_framework_is_imported_without_one() -> None:
    program = """
import ndb_models.web
from ndb_models.web import ChangedTooLateError, CookieSettings, Device, Principal, StarletteCookie
import ndb_models.web.csrf, ndb_models.web.visit, ndb_models.web.sessions, ndb_models.web.user_sessions
print(CookieSettings().name)
"""
    assert run(program) == "__Host-session\n"


def test_what_needs_starlette_names_the_extra() -> None:
    for name in ("WebSessions", "SessionMiddleware", "NotLoggedInError"):
        said = run(f"from ndb_models.web import {name}")
        assert said.rstrip().endswith(f"{name} needs Starlette: pip install 'ndb_models[starlette]'"), said

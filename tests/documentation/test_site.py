"""The site is built strictly and offline: what leads nowhere, or to another host, fails the build."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.documentation.pages import DOCS, ROOT
from tests.documentation.test_reference import SHOWN

pytest.importorskip("mkdocs", reason="the site is built with the extra `docs`")
pytestmark = [pytest.mark.slow, pytest.mark.unmeasured]

CONFIGURATION = (ROOT / "mkdocs.yml").read_text("utf-8")
NAV = re.findall(r"^ +- (?:[^:\n]+: )?([\w/]+\.md)$", CONFIGURATION[CONFIGURATION.index("\nnav:") :], re.MULTILINE)
HOME = "# Home\n\nA page. [Another](other.md#part), and [a program](../program.py).\n"
OTHER = "# Other\n\n## Part\n\n<!-- a comment -->\n\nIt has ![a picture](picture.svg).\n"
PICTURE = (
    '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><rect fill="var(--diagram-ink, #000)"/></svg>\n'
)


def build(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Build the site of a folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", *arguments],
        cwd=root, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def small_site(tmp_path: Path) -> Path:
    """Make a folder with the configuration of the site, its hooks, and two pages."""
    nav = "nav:\n  - Home: index.md\n  - Part:\n      - Other: other.md\n      - Changes: changelog.md\n"
    (tmp_path / "mkdocs.yml").write_text(CONFIGURATION[: CONFIGURATION.index("\nnav:") + 1] + nav, "utf-8")
    shutil.copytree(ROOT / ".ci" / "site", tmp_path / ".ci" / "site", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(DOCS / "assets", tmp_path / "docs" / "assets")
    for name, text in {
        "README.md": "# Readme\n\n[Part](docs/other.md#part)\n",
        "CHANGELOG.md": "# Changes\n\n[Home](docs/index.md)\n",
        "program.py": "print('hello')\n",
        "docs/index.md": HOME,
        "docs/other.md": OTHER,
        "docs/picture.svg": PICTURE,
    }.items():
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def test_the_site_has_pages_for_files_outside_and_diagrams_in_its_pages(tmp_path: Path) -> None:
    small = small_site(tmp_path)
    assert build(small).returncode == 0
    site = small / "build" / "site"
    assert 'href="source/program.py.html"' in (site / "index.html").read_text("utf-8")
    assert "hello" in (site / "source" / "program.py.html").read_text("utf-8")
    assert 'href="index.html"' in (site / "changelog.html").read_text("utf-8")
    other = (site / "other.html").read_text("utf-8")
    assert re.search(r'aria-label="a picture"><svg [^>]*><rect fill="var\(--diagram-ink, #000\)"', other)


FAULTS = [
    ("docs/index.md", "[x](missing.md)", "'missing.md'"),
    ("docs/index.md", "[x](other.md#missing)", "'other.md#missing'"),
    ("docs/index.md", "[x](#missing)", "'#missing'"),
    ("docs/index.md", "[x](../missing.py)", "'../missing.py'"),
    ("docs/index.md", "![x](missing.png)", "'missing.png'"),
    ("docs/index.md", "![x](https://example.org/x.png)", "index.html loads from another host"),
    ("docs/new.md", "# A page that the navigation lacks", "- new.md"),
    ("README.md", "[x](docs/other.md#missing)", "README.md links to docs/other.md#missing"),
    ("README.md", "[x](docs/gone.md)", "README.md links to docs/gone.md"),
    ("CHANGELOG.md", "[x](docs/away.md)", "'away.md'"),
]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """Build a site with all faults at once."""
    small = small_site(tmp_path_factory.mktemp("faulty"))
    for file, fault, _ in FAULTS:
        with (small / file).open("a", encoding="utf-8") as page:
            page.write(f"\n{fault}\n")
    return build(small)


@pytest.mark.parametrize(("file", "fault", "said"), FAULTS)
def test_a_fault_fails_the_build(file: str, fault: str, said: str, faulty: subprocess.CompletedProcess[str]) -> None:
    assert faulty.returncode == 1
    assert said in faulty.stderr, f"{fault} in {file}"


def test_a_name_that_the_package_lacks_fails_the_build(tmp_path: Path) -> None:
    small = small_site(tmp_path)
    (small / "docs" / "index.md").write_text("# Home\n\n::: ndb_models.Missing\n", "utf-8")
    done = build(small)
    assert done.returncode == 1
    assert "ndb_models.Missing could not be found" in done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the whole site."""
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, "--site-dir", str(folder))
    assert done.returncode == 0, done.stderr
    return folder


def test_every_public_name_is_a_target_of_the_reference(site: Path) -> None:
    inventory = (site / "objects.inv").read_bytes().split(b"zlib.\n", 1)[1]
    targets = {line.split()[0] for line in zlib.decompress(inventory).decode().splitlines()}
    assert SHOWN.keys() - targets <= {"ndb_models.JsonValue"}


def test_the_index_for_language_models_has_every_page_in_the_order_of_the_navigation(site: Path) -> None:
    index = (site / "llms.txt").read_text("utf-8")
    assert re.findall(r"^- \[[^]]+\]\(([^)]+)\): \S", index, re.MULTILINE) == NAV
    assert all((site / page).read_text("utf-8").strip() for page in NAV)


def test_the_text_for_language_models_has_docstrings_and_no_directives(site: Path) -> None:
    full = (site / "llms-full.txt").read_text("utf-8")
    assert re.findall(r"^<!-- ([\w/]+\.md) -->$", full, re.MULTILINE) == NAV
    assert "Stores models of one class as sessions." in full
    assert not re.search(r"^::: ", full, re.MULTILINE)


def test_the_search_finds_what_the_pages_say_and_not_the_programs_that_they_link_to(site: Path) -> None:
    index = (site / "search" / "search_index.js").read_text("utf-8")
    assert "errors.html#sessiongoneerror" in index
    assert "source/examples" not in index


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Start a browser, if the system has one."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("there is no chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


def test_pages_opened_as_files_are_searched_and_ask_no_host(site: Path, chromium: Browser) -> None:
    page = chromium.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: asked.append(str(error)))
    page.goto((site / "web.html").as_uri())
    page.click(".md-search__input")
    page.keyboard.type("SessionGoneError")
    page.wait_for_selector(".md-search-result__link[href*='errors.html'][href$='#sessiongoneerror']")
    page.goto((site / "index.html").as_uri())
    assert page.inner_text("h1").startswith("Typed sessions")
    assert [url for url in asked if not url.startswith("file://")] == []
    page.close()


def test_no_page_is_wider_than_a_telephone(site: Path, chromium: Browser) -> None:
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    for name in NAV:
        page.goto((site / name).with_suffix(".html").as_uri(), wait_until="domcontentloaded")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    page.close()

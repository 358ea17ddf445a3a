"""The documentation of the server names what there is, and nothing else; links in README and docs lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import ndb_models
from ndb_models.engine.answer_counts import AnswerCounts
from ndb_models.protocol.commands import COMMANDS
from ndb_models.server.configuration import TOKEN_VARIABLES
from ndb_models.server.generations import Generations
from ndb_models.server.metrics import exposition
from ndb_models.server.setting_fields import Setting
from ndb_models.server.settings import SETTINGS
from ndb_models.server.traffic import Ending, Refusal, Traffic
from ndb_models.stores.contract import Statistics

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
SERVER = "".join(page.read_text("utf-8") for page in sorted((ROOT / "docs").glob("server*.md")))


def rows() -> dict[str, list[str]]:
    """Return the cells of the table of settings, by the flag of each."""
    lines = [line.strip("|").split("|") for line in SERVER.splitlines() if line.startswith("| `--")]
    return {cells[0].strip().strip("`"): [cell.strip() for cell in cells] for cells in lines}


def range_of(setting: Setting) -> str:
    """Return the bounds of a setting as the table writes them; a duration's upper bound, a year, is left out."""
    if setting.least is None or setting.most is None:
        return ""
    if setting.unit == "seconds" or setting.most >= 2**63 - 1:
        return f"{setting.least:g} or more"
    return f"{setting.least} to {setting.most}"


def test_every_setting_stands_in_the_table_with_its_names_default_and_bounds() -> None:
    table = rows()
    assert table.keys() == {"--config", *(setting.flag for setting in SETTINGS)}
    for setting in SETTINGS:
        _, variable, key, default, bounds, _ = table[setting.flag]
        assert bounds == range_of(setting)
        assert variable == f"`{setting.variable}`"
        assert key.startswith(f"`{setting.paths[0]}`")
        if setting.is_switch:
            assert default == "off"
        elif isinstance(setting.default, (int, float, str)):
            assert default == f"{setting.default:g}" if isinstance(setting.default, float) else str(setting.default)
        else:
            assert default in ("none", "the persist path")


def test_every_variable_that_holds_a_token_is_named() -> None:
    assert all(f"`{variable}`" in SERVER for variable in TOKEN_VARIABLES)


def test_every_metric_and_reason_is_named() -> None:
    text = exposition(Traffic(), AnswerCounts(), Statistics(0, 0, 0, 0), 0, Generations().workers[0])
    metrics = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    assert metrics == set(re.findall(r"`((?:ndb|process)_[a-z_]+)`", SERVER)) - {"ndb_models"}
    for reason in (*Refusal, *Ending):
        assert f"`{reason.value}`" in SERVER


def test_every_command_for_admins_is_named() -> None:
    (sentence,) = re.findall(r"a client may do all but (.*?), which are answered", SERVER, re.DOTALL)
    named = set(re.findall(r"`(\w+)`", sentence))
    assert named == {command.name for command in COMMANDS.values() if command.for_admins}


def anchors(page: Path) -> set[str]:
    """Return the names under which a page's headings are linked to."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading_that_there_is(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if path.startswith("ndb_models/"):  # which may be installed elsewhere
            target = Path(ndb_models.__file__).parent.parent / path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", ["server_attacks", "security", "web_security", "concepts/guarantees"])
def test_every_test_that_is_named_is_there(page: str) -> None:
    """A name is a path, and behind it a function, in a class or not."""
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)((?:::\w+)+)`", text)
    assert len(named) > 10
    for path, name in named:
        source = (ROOT / path).read_text("utf-8")
        *classes, function = name.split("::")[1:]
        assert re.search(rf"def {function}\(", source), f"{path} has no test {function}"
        assert all(f"class {each}:" in source for each in classes), f"{path} has no class {classes}"


@pytest.mark.parametrize("drawing", sorted((ROOT / "docs" / "images").glob("*.svg")), ids=lambda drawing: drawing.stem)
def test_a_drawing_loads_nothing_and_disturbs_nothing_else_on_its_page(drawing: Path) -> None:
    text = drawing.read_text("utf-8")
    ElementTree.fromstring(text)
    assert "var(--diagram-ink" in text
    assert not re.search(r"<(script|image|foreignObject|use)\b|@import|(href|src)=|\bclass=", text)
    assert text.count("http") == 1, "the namespace alone"
    # It is put into the page, among others: what it names has its own name before it, and no style is the page's.
    assert all(name.startswith(f"{drawing.stem}-") for name in re.findall(r' id="([^"]+)"', text))
    styled = re.findall(r"[^\s{}][^{}]*(?= \{)", "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL)))
    assert styled in ([], ["@media (prefers-color-scheme: dark)", "svg:root"])

"""The page on the standards names tests and rules that there are, and no requirement without a verdict."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from ndb_models.web.audit import RULES

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "web_security.md").read_text("utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]
# Those with a verdict: the number or section, ..., the verdict, how, the rules, the test.
REQUIREMENTS = [row for row in ROWS if len(row) in (6, 7) and row[-4] not in ("---", "verdict")]

V7 = ["7.1.1", "7.1.2", "7.1.3", "7.2.1", "7.2.2", "7.2.3", "7.2.4", "7.3.1", "7.3.2", "7.4.1", "7.4.2", "7.4.3"]
V7 += ["7.4.4", "7.4.5", "7.5.1", "7.5.2", "7.5.3", "7.6.1", "7.6.2"]


@cache
def source(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def test_the_chapter_on_sessions_and_the_section_on_cookies_are_whole() -> None:
    numbers = [row[0] for row in REQUIREMENTS]
    assert [number for number in numbers if number.startswith("7.")] == V7
    assert [number for number in numbers if number.startswith("3.3.")] == [f"3.3.{number}" for number in range(1, 6)]


def test_each_requirement_has_a_verdict_and_where_it_is_met_a_test_that_there_is() -> None:
    assert len(REQUIREMENTS) > 90
    for row in REQUIREMENTS:
        verdict, _, _, named = row[-4:]
        assert verdict in ("met", "not met", "the application's"), row
        assert named or verdict != "met", row
        for text in re.findall(r"`([^`]+)`", named):
            path, _, name = text.rpartition("::")
            code = source(path or "tests/web/test_standards.py")
            assert re.search(rf"^(async )?def {name}\(", code, re.MULTILINE), text


def test_each_rule_of_the_audit_stands_in_the_rows_that_it_judges_and_in_no_other() -> None:
    on_the_page = {(name, row[0]) for row in REQUIREMENTS for name in re.findall(r"`([^`]+)`", row[-2])}
    in_the_code = {
        (rule.name, re.sub(r"^(ASVS |NIST |sheet: )", "", requirement))
        for rule in RULES
        for requirement in rule.requirements
    }
    assert on_the_page == in_the_code

"""The code of docs/web_moving_in.md runs."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent.parent / "docs" / "web_moving_in.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_each_piece_of_code_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": f"moving_page_{number}"}
    exec(compile(BLOCKS[number], "web_moving_in.md", "exec"), namespace)
    assert [*tmp_path.iterdir()] == []  # a store is opened at its first use

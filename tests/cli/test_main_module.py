"""`python -m ndb_models` is the command line; importing the module is not."""

from __future__ import annotations

import importlib

import pytest


def test_importing_it_runs_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    importlib.import_module("ndb_models.__main__")
    assert capsys.readouterr() == ("", "")

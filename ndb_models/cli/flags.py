"""Flags for the settings of a server."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from ndb_models.server.setting_fields import Setting


def add_flags(parser: argparse.ArgumentParser, settings: Iterable[Setting]) -> None:
    """Add the flag of each setting. Values stay texts until all sources are combined: see `configure`."""
    for setting in settings:
        if setting.is_switch:
            parser.add_argument(setting.flag, action="store_true", default=None, help=setting.meaning)
        else:
            parser.add_argument(
                setting.flag,
                metavar=setting.metavar,
                action="append" if setting.many else "store",
                help=setting.meaning + _default(setting),
            )


def _default(setting: Setting) -> str:
    if setting.many:
        return "; may be repeated"
    return "" if setting.default is None else f" (default: {setting.default})"

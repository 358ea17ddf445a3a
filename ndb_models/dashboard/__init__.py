"""The status page: live figures, and sessions to find, to look at and to end.

`ndb-models serve --dashboard` serves it. `Dashboard` is the same page as an ASGI application, to mount into your own:

    app.mount("/sessions", Dashboard(repo, allow=is_admin))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ndb_models.dashboard.application import Allow, Dashboard

__all__ = ["Allow", "Dashboard"]


def __getattr__(name: str) -> object:
    # The server serves the page without a client: only the application needs one.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ndb_models.dashboard import application

    return getattr(application, name)

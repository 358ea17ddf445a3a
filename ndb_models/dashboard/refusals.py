"""The refusal of a call of the page."""

from __future__ import annotations

from http import HTTPStatus

from ndb_models.error_root import NdbError


class CallRefusedError(NdbError):
    """A call of the status page is refused. Its message is for the person at the page. Attribute: `status`."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        self.status = status
        super().__init__(message)

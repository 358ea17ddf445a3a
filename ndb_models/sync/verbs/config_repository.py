"""The synchronous verbs of `ConfigRepository`. Written by `.ci/sync_verbs.py`, do not edit."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from ndb_models.config.access import C
from ndb_models.config.configuration import ConfigDifference
from ndb_models.errors import ConfigProblem
from ndb_models.sync.editing import SyncEditing
from ndb_models.sync.verb_bases import OfConfiguration


class SyncConfigRepositoryVerbs(OfConfiguration[C]):
    """The verbs of `ConfigRepository`, synchronous."""

    def load(self) -> C:
        """Return the stored configuration. Fields that are not stored have the model's defaults.

        Raises:
            StoredConfigError: stored values do not fit the model. It lists each key. Nothing is changed.
        """
        return self._portal.call(lambda: self._asynchronous.load())

    def check(self) -> list[ConfigProblem]:
        """Return the problems of the stored configuration: those that `load` raises, and unknown keys in the namespace.

        Never raises for stored values, and changes nothing. An unknown key is not an error. Without a namespace,
        unknown keys are not looked for.
        """
        return self._portal.call(lambda: self._asynchronous.check())

    def diff(self, other: C | None = None) -> list[ConfigDifference]:
        """Return the fields in which the stored configuration differs from another one.

        Args:
            other: a configuration, or None for the model's defaults. A field without a default does not differ from
                them.

        Raises:
            StoredConfigError: stored values do not fit the model.
            UnstorableError: `other` holds a value that cannot be stored.
        """
        return self._portal.call(lambda: self._asynchronous.diff(other))

    def save(self, config: C, *, replace_invalid: bool = False) -> C:
        """Store a whole configuration, and return it. Every field is written, also those at their defaults.

        Changes that others made since it was read are overwritten. To change some fields, use `update` or `edit`. The
        write is atomic, unless it is larger than the server takes in one frame. The errors below are raised before any
        write.

        Args:
            config: the configuration.
            replace_invalid: overwrite values that do not fit the model, too.

        Raises:
            UnstorableError: a value does not fit the model, or would not come back equal.
            StoredConfigError: stored values do not fit the model. Missing keys do not count.
            PayloadTooLargeError: a single field is larger than the server takes.
        """
        return self._portal.call(lambda: self._asynchronous.save(config, replace_invalid=replace_invalid))

    def update(self, /, **changes: Any) -> C:
        """Apply `changes`, new values by the names of their fields, and return the resulting configuration.

        Each field validates its change, and the model's validators validate the whole. A named field is stored from
        then on, even at the model's default. A value that is stored already is not written again. Other fields are
        written only if a validator changed them. The errors below are raised before any write.

        Raises:
            InvalidArgumentError: a name is not that of a field.
            UnstorableError: a value does not fit its field, or would not come back equal.
            StoredConfigError: stored values do not fit the model.
        """
        return self._portal.call(lambda: self._asynchronous.update(**changes))

    def edit(self) -> AbstractContextManager[C]:
        """Load the configuration, let it be changed freely, and store the changes: `with config.edit() as c`.

        On a clean exit the whole is validated, together with changes that others made meanwhile, and the fields that
        changed are written. On an exception, including cancellation, no field is written. Overlapping edits of
        different fields both survive. Of overlapping edits of one field, the later one survives.

        Raises (on entry as `load`, on exit as `update`).
        """
        return SyncEditing(self._portal, self._asynchronous.edit())

"""The settings of `ndb-models serve`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from ndb_models.engine.context import EngineLimits
from ndb_models.engine.paths import PathLimits
from ndb_models.errors import InvalidArgumentError
from ndb_models.protocol.data_sets import why_not_a_data_set
from ndb_models.server.options import ServerOptions
from ndb_models.server.setting_fields import choice, directory, file, number, seconds, settings_of, text
from ndb_models.stores.occupancy import StoreLimits
from ndb_models.stores.opening import parse_store_uri
from ndb_models.strict_json import MAX_NESTING

IN_MEMORY: Final = "memory://"
_SEARCHES: Final = PathLimits()


def _store(text: str) -> str:
    try:
        parse_store_uri(text)
    except InvalidArgumentError as exc:
        raise ValueError(str(exc)) from None
    return text


def _data_set(text: str) -> str:
    reason = why_not_a_data_set(text)
    if reason is not None:
        raise ValueError(reason)
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ServerOptions):
    """Every setting of a serving process: the options of its server, and those of its store, engine and log.

    Flags, variables, keys of the configuration file and `--help` follow from these fields.

    Attributes:
        warnings: messages to log once logging is set up.
        sources: the flag, the variable or the key in the file that each setting comes from, by the name of its field.
    """

    store: str = text(IN_MEMORY, "where the data lives: memory://, sqlite:///PATH or redis://HOST", _store, "URI")
    persist_path: Path | None = directory("directory for KV_SAVE, KV_LOAD, SH_SAVE and SH_LOAD", key="persist.path")
    load_names: tuple[str, ...] = text(
        (), "load this data set, of keys or of sessions, before being ready", _data_set, "NAME", many=True
    )
    load_path: Path | None = directory("directory to load it from; without it, the persist path")
    token_file: Path | None = file("file of the tokens that open the server: lines of data:TOKEN or admin:TOKEN")
    max_nesting: int = number(MAX_NESTING, "deepest nesting of a request", least=3, most=MAX_NESTING)
    search_timeout: float = seconds(_SEARCHES.seconds, "time for one search by JSONPath")
    max_search_nodes: int = number(_SEARCHES.nodes, "most values that a search visits")
    max_search_results: int = number(_SEARCHES.results, "most places that a search finds")
    max_containers: int | None = number(
        None,
        "most arrays and objects in a request or a searched value"
        f" (default: {_SEARCHES.containers} for each MiB of --max-payload, and no fewer)",
        least=3,
    )
    max_answer: int | None = number(
        None,
        "most bytes of several keys in one answer (default: 8388608, or twice --max-payload if that is more)",
        least=1024,
        unit="bytes",
    )
    max_sessions: int | None = number(None, "most sessions")
    max_keys: int | None = number(None, "most keys in a session")
    max_bytes: int | None = number(
        None,
        "most bytes of memory for a store in memory; 0 for any number (default: 3/4 of the memory that is left)",
        least=0,
        unit="bytes",
    )
    workers: int = number(1, "processes that share the port, for stores that can be shared", most=1024)
    log_level: str = choice("warning", "how much is logged", ("debug", "info", "warning", "error"), "LEVEL")
    log_format: str = choice("text", "text, or one JSON object a line", ("text", "json"), "FORMAT")
    warnings: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def limits(self) -> StoreLimits:
        """The limits of the store."""
        return StoreLimits(sessions=self.max_sessions, keys=self.max_keys, size=self.max_bytes)

    @property
    def engine(self) -> EngineLimits:
        """The limits of one request."""
        return EngineLimits.for_payload(
            self.max_payload,
            seconds=self.search_timeout,
            nodes=self.max_search_nodes,
            results=self.max_search_results,
            containers=self.max_containers,
            answer=self.max_answer,
        )


SETTINGS: Final = settings_of(fields(Settings))
"""Every setting, in the order of the help."""

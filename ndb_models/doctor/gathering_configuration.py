"""Gather the facts about the configuration of a server, from the sources that `serve` reads. Nothing is started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ndb_models.doctor.certificates import certificate_in_files
from ndb_models.doctor.facts import ConfigurationFacts
from ndb_models.errors import InvalidArgumentError
from ndb_models.private_files import open_to
from ndb_models.server.configuration import TOKEN_VARIABLES, configure, require_startable
from ndb_models.server.file_descriptors import descriptor_limit, descriptors_for
from ndb_models.server.memory_limit import memory_left
from ndb_models.server.settings import Settings
from ndb_models.server.tokens import Role, read_tokens
from ndb_models.web.audited import most_bits, store_settings
from ndb_models.web.hosts import is_loopback


def configuration_facts(
    given: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[ConfigurationFacts, Settings | None]:
    """Return the facts about a configuration, and the settings; None if they cannot be read.

    Args:
        given: the texts of flags, by the names of settings, as of `configure`.
        environment: the variables.
    """
    try:
        settings = configure(given, environment)
    except InvalidArgumentError as exc:
        return ConfigurationFacts(refused=str(exc)), None
    tokens = _tokens(settings, environment)
    needed = descriptors_for(settings)
    path = settings.persist_path
    return (
        ConfigurationFacts(
            refused=_refusal(settings),
            host=settings.host,
            is_loopback=is_loopback(settings.host),
            is_secure=settings.secure,
            is_insecure=settings.insecure,
            token_bits=tuple(most_bits(token) for _, token in tokens),
            admin_tokens=sum(role is Role.ADMIN for role, _ in tokens),
            warnings=settings.warnings,
            certificate=None if settings.certificate is None else certificate_in_files(*settings.certificate),
            store=store_settings(settings.store).shown,
            max_payload=settings.max_payload,
            max_bytes=settings.max_bytes,
            memory_left=memory_left(),
            descriptors=(needed, descriptor_limit(wanted=needed)),
            persist_path=None if path is None else (str(path), open_to(Path(path))),
            allow_origins=settings.allow_origins,
            limits_guessing=settings.miss_rate is not None or settings.miss_rate_per_address is not None,
            has_dashboard=settings.dashboard,
            writes_dashboard=settings.dashboard_write,
            workers=settings.workers,
            log_level=settings.log_level,
        ),
        settings,
    )


def _refusal(settings: Settings) -> str | None:
    try:
        require_startable(settings)
    except InvalidArgumentError as exc:
        return str(exc)
    return None


def _tokens(settings: Settings, environment: Mapping[str, str]) -> list[tuple[Role, str]]:
    """Return the tokens themselves: settings keep their digests only."""
    tokens = [] if settings.token_file is None else read_tokens(settings.token_file)
    return [*tokens, *((role, environment[name]) for name, role in TOKEN_VARIABLES.items() if name in environment)]

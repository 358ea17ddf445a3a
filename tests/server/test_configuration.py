"""Flags, variables of the environment, the file: which goes first, and that what is wrong is said by its source."""

from __future__ import annotations

import json
import os
import stat
import struct
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from ndb_models import InvalidArgumentError
from ndb_models.engine.context import EngineLimits
from ndb_models.server.config_file import read_config_file, without_comments
from ndb_models.server.configuration import configure
from ndb_models.server.options import ServerOptions
from ndb_models.server.settings import SETTINGS, Settings
from ndb_models.stores.occupancy import StoreLimits

TLS = Path(__file__).parent.parent / "transport" / "tls"

# As NemesisDB 0.7 is shipped with it, but for the address.
OF_NEMESISDB = """
{
  "version":5,                // must be version 5 from server v0.6.4
  "core":0,                   // CPU core the server instance is assigned to
  "sessionsEnabled":true,     /* if true,
                                 see further settings */
  "ip":"127.0.0.2",           // must be IPv4
  "port":1988,
  "maxPayload":1024,          // max n bytes the query interface can accept
  "persist":
  {
    "enabled":true,           // if true, the "path" must exist
    "path":"%s"
  }
}
"""


def config(tmp_path: Path, document: dict[str, Any] | str) -> str:
    path = tmp_path / "server.jsonc"
    path.write_text(document if isinstance(document, str) else json.dumps({"version": 5, **document}), "utf-8")
    return str(path)


def from_file(tmp_path: Path, document: dict[str, Any] | str) -> Settings:
    return configure({"config": config(tmp_path, document)}, {})


def options_of(settings: Settings) -> ServerOptions:
    return ServerOptions(**{field.name: getattr(settings, field.name) for field in fields(ServerOptions)})


def test_without_any_source_everything_is_at_its_default() -> None:
    configuration = configure({}, {})
    assert options_of(configuration) == ServerOptions()
    assert configuration.limits == StoreLimits()
    assert (configuration.max_nesting, configuration.workers, configuration.load_names) == (512, 1, ())
    assert (configuration.log_level, configuration.log_format) == ("warning", "text")


def test_the_file_of_a_nemesisdb_is_taken_as_it_is(tmp_path: Path) -> None:
    configuration = from_file(tmp_path, OF_NEMESISDB % tmp_path)
    assert options_of(configuration) == ServerOptions("127.0.0.2", 1988, 1024)
    assert configuration.persist_path == tmp_path
    assert configuration.warnings == ()


def test_the_file_of_its_last_release_is_taken_too(tmp_path: Path) -> None:
    arrays = {"maxCapacity": 10000, "maxResponseSize": 10000}
    configuration = from_file(tmp_path, {"version": 6, "port": 2000, "arrays": arrays, "lists": {}})
    assert configuration.port == 2000
    assert configuration.warnings == ()


def test_what_is_not_to_be_persisted_has_no_path(tmp_path: Path) -> None:
    configuration = from_file(tmp_path, {"persist": {"enabled": False, "path": "./no/such/directory"}})
    assert configuration.persist_path is None


def test_what_nemesisdb_does_not_have_stands_apart(tmp_path: Path) -> None:
    ours = {
        "maxSessions": 10,
        "maxKeys": 20,
        "maxBytes": 30,
        "maxNesting": 40,
        "idleTimeout": 1.5,
        "allowOrigin": ["https://a.example", "https://b.example"],
        "insecure": True,
        "logFormat": "json",
    }
    configuration = from_file(tmp_path, {"ndb_models": ours})
    assert configuration.limits == StoreLimits(sessions=10, keys=20, size=30)
    assert configuration.max_nesting == 40
    assert configuration.log_format == "json"
    options = configuration
    assert (options.idle_timeout, options.insecure) == (1.5, True)
    assert options.allow_origins == ("https://a.example", "https://b.example")


def test_what_one_request_may_cost_is_set_by_flags_variables_and_the_file(tmp_path: Path) -> None:
    assert configure({}, {}).engine == EngineLimits()
    flags = {"search_timeout": "0.5", "max_search_nodes": "50"}
    environment = {"NDB_SEARCH_TIMEOUT": "4", "NDB_MAX_SEARCH_RESULTS": "60", "NDB_MAX_ANSWER": "5000"}
    ours = {"maxSearchNodes": 1, "maxContainers": 70, "maxAnswer": 2000}
    limits = configure({"config": config(tmp_path, {"ndb_models": ours}), **flags}, environment).engine
    paths = limits.paths
    assert (paths.seconds, paths.nodes, paths.results, paths.containers) == (0.5, 50, 60, 70)
    assert limits.answer == 5000
    assert paths.size == EngineLimits().paths.size


def test_what_one_request_may_cost_follows_a_larger_payload_and_no_smaller_one() -> None:
    assert configure({"max_payload": "1000"}, {}).engine == EngineLimits()
    larger = configure({"max_payload": str(16 * 2**20)}, {}).engine
    assert (larger.paths.size, larger.paths.containers, larger.answer) == (16 * 2**20, 1_600_000, 32 * 2**20)
    told = configure({"max_payload": str(16 * 2**20), "max_containers": "10", "max_answer": "2000"}, {}).engine
    assert (told.paths.containers, told.answer) == (10, 2000)


def test_keys_that_nobody_knows_are_reported_and_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "server.jsonc"
    warnings = from_file(tmp_path, {"canary": 1, "persist": {"enabled": False, "more": 2}}).warnings
    assert warnings == (
        f"{path}: 'canary' is not known, and passed over",
        f"{path}: 'persist.more' is not known, and passed over",
    )


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    given: dict[str, Any] = {"config": config(tmp_path, {"ip": "127.0.0.4", "port": 4, "maxPayload": 400})}
    environment = {"NDB_PORT": "3", "NDB_MAX_PAYLOAD": "300"}
    server = configure({**given, "max_payload": "200"}, environment)
    assert (server.host, server.port, server.max_payload) == ("127.0.0.4", 3, 200)


def test_the_file_itself_may_be_named_by_the_environment(tmp_path: Path) -> None:
    assert configure({}, {"NDB_CONFIG": config(tmp_path, {"port": 4})}).port == 4


def test_a_variable_that_is_empty_says_nothing() -> None:
    assert options_of(configure({}, {"NDB_PORT": "", "NDB_INSECURE": ""})) == ServerOptions()


def test_lists_in_the_environment_are_separated_by_commas(tmp_path: Path) -> None:
    environment = {"NDB_LOAD_NAME": "keys, sessions,", "NDB_LOAD_PATH": str(tmp_path)}
    assert configure({}, environment).load_names == ("keys", "sessions")


@pytest.mark.parametrize(("text", "on"), [("1", True), ("Yes", True), ("off", False), ("0", False)])
def test_switches_in_the_environment_are_words(text: str, on: bool) -> None:
    assert configure({}, {"NDB_INSECURE": text}).insecure is on


def test_the_path_to_load_from_is_the_persist_path_where_there_is_no_other(tmp_path: Path) -> None:
    given = {"load_name": ["keys"], "persist_path": str(tmp_path)}
    assert configure(given, {}).load_path == tmp_path
    with pytest.raises(InvalidArgumentError, match="--load-path or --persist-path"):
        configure({"load_name": ["keys"]}, {})


@pytest.mark.parametrize(
    ("given", "environment", "document", "complaint"),
    [
        ({"port": "x"}, {}, {}, "--port: 'x' is not a number"),
        ({}, {"NDB_PORT": "65536"}, {}, "NDB_PORT: 65536 is not between 0 and 65535"),
        ({}, {}, {"port": 65536}, "port in .*server.jsonc: 65536 is not between"),
        ({}, {}, {"port": "1987"}, "port in .*server.jsonc: must be a number"),
        ({}, {}, {"port": True}, "port in .*: must be a number"),
        ({}, {}, {"port": 1.5}, "port in .*: '1.5' is not a number"),
        ({}, {}, {"ip": 127}, "ip in .*: must be a string"),
        ({}, {}, {"maxPayload": 1}, "maxPayload in .*: 1 is not between"),
        ({}, {}, {"persist": []}, "'persist' must be an object"),
        ({}, {}, {"persist": {"path": "."}}, "'persist.enabled' must be true or false"),
        ({}, {}, {"persist": {"enabled": True, "path": "/no/such"}}, "persist.path in .*: /no/such is not a directory"),
        ({}, {}, {"ndb_models": {"canary": 1}}, "ndb_models.canary in .*: there is no such setting"),
        ({}, {}, {"ndb_models": {"insecure": 1}}, "ndb_models.insecure in .*: must be true or false"),
        ({}, {}, {"ndb_models": {"allowOrigin": "https://a"}}, "ndb_models.allowOrigin in .*: must be an array"),
        ({"idle_timeout": "nan"}, {}, {}, "--idle-timeout: nan is not between"),
        ({}, {"NDB_INSECURE": "maybe"}, {}, "NDB_INSECURE: is not one of"),
        ({}, {"NDB_LOG_LEVEL": "loud"}, {}, "NDB_LOG_LEVEL: is not one of debug, info, warning, error"),
        ({}, {"NDB_TOKEN": "canary"}, {}, "NDB_TOKEN: a token has 20 characters at least"),
        ({"token_file": "/no/such"}, {}, {}, "--token-file: /no/such is not a file"),
        ({"tls_key": __file__}, {}, {}, "give both or none"),
        ({"allow_origin": ["*"]}, {}, {}, "an origin is like"),
    ],
)
def test_what_is_wrong_is_said_by_its_source(
    tmp_path: Path, given: dict[str, Any], environment: dict[str, str], document: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=complaint):
        configure({**given, "config": config(tmp_path, document)}, environment)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"version": 4}', "'version' must be 5 or 6"),
        ('{"version": "5"}', "'version' must be 5 or 6"),
        ('{"version": true}', "'version' must be 5 or 6"),
        ("{}", "'version' must be 5 or 6"),
        ("[]", "a configuration is an object"),
        ('{"version": 5,\n "port": }', "line 2, column 10"),
        ('{"version": 5, /* never ends', "line 1, column 16"),
        ('{"version": 5, "port": 1, "port": 2}', "stands twice"),
        ('{"version": NaN}', "JSON has no NaN"),
        ("", "line 1, column 1"),
    ],
)
def test_what_is_no_configuration_is_refused_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InvalidArgumentError, match=complaint):
        read_config_file(Path(config(tmp_path, text)))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe{")
    for name, complaint in (("missing", "No such file"), ("binary", "not UTF-8"), ("", "directory")):
        with pytest.raises(InvalidArgumentError, match=complaint):
            read_config_file(tmp_path / name)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    text = '\ufeff{\r\n"version": 5, // five\r\n"port": 7\r\n}'
    assert from_file(tmp_path, text).port == 7


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ('{"a": "// no comment", "b": "/* nor this */"} // but this', '{"a": "// no comment", "b": "/* nor this */"}'),
        (r'{"a": "\"// still in it"} /* out */', r'{"a": "\"// still in it"}'),
        ("{/* one\n two */}", "{      \n       }"),
        ("1 /* a */ /* b */ 2", "1                 2"),
        ("1 /*/ 2 */", "1"),
    ],
)
def test_comments_become_spaces_and_strings_stay(text: str, without: str) -> None:
    cleaned = without_comments(text)
    assert cleaned.rstrip(" ") == without
    assert len(cleaned) == len(text)


def test_every_setting_has_names_of_its_own() -> None:
    for names in zip(*((each.flag, each.variable, each.key) for each in SETTINGS), strict=True):
        assert len(set(names)) == len(SETTINGS)


@pytest.mark.parametrize(
    ("mode", "others"), [(0o600, None), (0o400, None), (0o640, "its group"), (0o604, "every user of this machine")]
)
def test_tokens_and_keys_that_others_may_read_are_warned_of(tmp_path: Path, mode: int, others: str | None) -> None:
    tokens, key, certificate = (tmp_path / name for name in ("tokens", "key.pem", "certificate.pem"))
    tokens.write_text("data:a-token-that-is-long-enough")
    certificate.write_bytes((TLS / "certificate.pem").read_bytes())
    key.write_bytes((TLS / "key.pem").read_bytes())
    for path in (tokens, key):
        path.chmod(mode)
    files = {"token_file": str(tokens), "tls_cert": str(certificate), "tls_key": str(key)}
    assert configure(files, {}).warnings == tuple(
        f"{path} is open to {others}; make it private with: chmod go-rwx {path}"
        for path in (tokens, key)
        if others is not None
    )
    assert stat.S_IMODE(key.stat().st_mode) == mode


@pytest.mark.skipif(sys.platform != "linux", reason="access lists are Linux's")
def test_a_file_that_an_access_list_gives_to_one_user_is_not_its_group_s(tmp_path: Path) -> None:
    """As systemd hands credentials to a service: the group's bits are what the list may allow at most."""
    tokens = tmp_path / "tokens"
    tokens.write_text("data:a-token-that-is-long-enough")
    everyone = 2**32 - 1
    entries = ((0x01, 6, everyone), (0x02, 4, 12345), (0x04, 0, everyone), (0x10, 4, everyone), (0x20, 0, everyone))
    access_list = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(tokens, "system.posix_acl_access", access_list)
    except OSError:
        pytest.skip("this file system has no access lists")
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o640
    assert configure({"token_file": str(tokens)}, {}).warnings == ()

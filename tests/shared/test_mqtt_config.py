"""How to reach the broker: bounds, secrets, and where the TLS files lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from dicem_shared.broker_config import BrokerConfig, TlsConfig
from dicem_shared.errors import ConfigError


def test_the_default_is_a_plain_broker_here() -> None:
    config = BrokerConfig()
    assert (config.host, config.port, config.tls, config.keepalive_s) == ("127.0.0.1", 1883, None, 30)
    assert config.session_expiry_s == 3600
    assert config.password() is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"host": ""}, "host"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"keepalive_s": 0}, "keepalive_s"),
        ({"session_expiry_s": -1}, "session_expiry_s"),
        ({"username": "u", "password": "secret"}, "password"),
        ({"username": "u", "password_env": "not a name"}, "password_env"),
        ({"username": "u", "password_env": "1ST"}, "password_env"),
        ({"password_env": "DICEM_PW"}, "password_env needs a username"),
        ({"tls": {"cert_file": "me.pem"}}, "cert_file and key_file go together"),
        ({"tls": {"key_file": "me.key"}}, "cert_file and key_file go together"),
        ({"tls": {"ca": "ca.pem"}}, "tls.ca"),
    ],
)
def test_configs_that_cannot_be_meant(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        BrokerConfig.model_validate(wrong)


def test_the_password_is_in_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    config = BrokerConfig(username="boat-1", password_env="DICEM_TEST_PW")
    monkeypatch.setenv("DICEM_TEST_PW", "hunter2")
    assert config.password() == "hunter2"
    assert "hunter2" not in repr(config) + config.model_dump_json()
    for absent in (lambda: monkeypatch.setenv("DICEM_TEST_PW", ""), lambda: monkeypatch.delenv("DICEM_TEST_PW")):
        absent()
        with pytest.raises(ConfigError, match=r"the environment variable DICEM_TEST_PW is not set .*Set DICEM_TEST_PW"):
            config.password()


def test_tls_files_lie_beside_the_config() -> None:
    tls = TlsConfig(ca_file=Path("ca.pem"), cert_file=Path("/etc/me.pem"), key_file=Path("keys/me.key"))
    moved = BrokerConfig(port=8883, tls=tls).relative_to(Path("/boat/configs"))
    assert moved.tls is not None
    assert moved.tls.ca_file == Path("/boat/configs/ca.pem")
    assert moved.tls.cert_file == Path("/etc/me.pem")
    assert moved.tls.key_file == Path("/boat/configs/keys/me.key")
    assert moved.port == 8883


def test_without_tls_files_there_is_nothing_to_move() -> None:
    assert BrokerConfig().relative_to(Path("/boat")) == BrokerConfig()
    moved = BrokerConfig(tls=TlsConfig()).relative_to(Path("/boat"))
    assert moved.tls == TlsConfig()

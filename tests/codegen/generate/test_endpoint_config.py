"""The endpoint's config: where it is found, what it refuses, and that no key is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicem_codegen.generate.config import ENDPOINT_ENV, EndpointConfig, load_endpoint, usual_path
from dicem_shared.config import load_config
from dicem_shared.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
GOOD = "base_url: http://127.0.0.1:1/v1\nmodel: m\n"


def test_without_a_config_one_line_says_how_to_make_one() -> None:
    with pytest.raises(ConfigError) as caught:
        load_endpoint()
    said = str(caught.value)
    assert "no model endpoint is configured" in said
    for part in ("configs/endpoint.yaml", "~/.config/dicem/endpoint.yaml", "--endpoint FILE", "dicem programs"):
        assert part in said
    assert "\n" not in said


def test_the_file_that_is_given_goes_before_the_environment_and_that_before_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual_path().parent.mkdir(parents=True)
    usual_path().write_text(GOOD.replace("model: m", "model: usual"))
    assert load_endpoint().model == "usual"
    (tmp_path / "env.yaml").write_text(GOOD.replace("model: m", "model: env"))
    monkeypatch.setenv(ENDPOINT_ENV, str(tmp_path / "env.yaml"))
    assert load_endpoint().model == "env"
    (tmp_path / "given.yaml").write_text(GOOD.replace("model: m", "model: given"))
    assert load_endpoint(tmp_path / "given.yaml").model == "given"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"endpoint config .* is not there"):
        load_endpoint(tmp_path / "none.yaml")


def test_the_example_is_a_config() -> None:
    config = load_config(EndpointConfig, ROOT / "configs" / "endpoint.yaml")
    assert config.is_local
    defaults = EndpointConfig(base_url=config.base_url, model=config.model)
    assert config == defaults, "the example shows the defaults"


def test_the_example_names_every_key() -> None:
    text = (ROOT / "configs" / "endpoint.yaml").read_text(encoding="utf-8")
    assert [name for name in EndpointConfig.model_fields if f"{name}:" not in text] == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("base_url: ftp://host/v1", "http:// or https://"),
        ("base_url: file:///etc/passwd", "http:// or https://"),
        ("base_url: http:///v1", "http:// or https://"),
        ("base_url: http://host:port/v1", "not a URL"),
        ("base_url: http://[::1/v1", "not a URL"),
        ('base_url: "http://ho st/v1"', "http:// or https://"),
        ("base_url: https://user:hush@host/v1", "no user, password"),
        ("base_url: https://host/v1?key=hush", "no user, password, query"),
        ("api_key: hush-hush-hush", "unknown key api_key. Did you mean api_key_env"),
        ("api_key_env: sk-hush-hush", "NAME of an environment variable"),
        ("api_key_env: hush1234hush", "NAME of an environment variable"),
        ("timeout_s: 0", "timeout_s"),
        ("timeout_s: .nan", "timeout_s"),
        ("rounds: 11", "rounds"),
        ("retries: -1", "retries"),
        ("max_tokens: 1", "max_tokens"),
        ("format: xml", "format"),
        ("budget_usd: 1", "budget_usd needs usd_per_million_prompt_tokens"),
        ("budget_tokens: 10", "budget_tokens"),
        ('model: "a\\nb"', "printable"),
        ("temperature: 3", "temperature"),
    ],
)
def test_what_is_refused(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "endpoint.yaml"
    key = line.partition(":")[0]
    kept = [each for each in GOOD.splitlines() if each.partition(":")[0] != key]
    path.write_text("\n".join([*kept, line]))
    with pytest.raises(ConfigError, match=said) as caught:
        load_endpoint(path)
    assert "hush" not in str(caught.value), "what may be a key is not repeated"
    assert "\n" not in str(caught.value)


def test_a_slash_at_the_end_does_no_harm() -> None:
    assert EndpointConfig(base_url="https://host/v1/", model="m").base_url == "https://host/v1"


@pytest.mark.parametrize(("url", "local"), [("http://localhost:1/v1", True), ("http://[::1]/v1", True),
                                            ("https://localhost.example/v1", False)])  # fmt: skip
def test_what_is_this_machine(url: str, local: bool) -> None:
    assert EndpointConfig(base_url=url, model="m").is_local is local

"""The cloud's config: one clear line for each mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dicem_cloud.config import CloudConfig, load_cloud_config
from dicem_shared.broker_config import BrokerConfig
from dicem_shared.config import parse_config
from dicem_shared.demo import DEMO_NOTICE, demo_notice
from dicem_shared.errors import ConfigError

ROOT = Path(__file__).parents[2]
MINIMAL: dict[str, Any] = {"functions": {"depth": {}}}


def mistake(**keys: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(CloudConfig, MINIMAL | keys, where="cloud.yaml")
    text = str(caught.value)
    assert text.startswith("cloud.yaml: ")
    assert "\n" not in text
    return text


def test_the_demo_config_says_everything_there_is() -> None:
    path = ROOT / "configs" / "cloud-demo.yaml"
    config = load_cloud_config(path)
    assert set(config.functions.prices) == {"yolov8", "blip2", "blip", "depth"}
    text = path.read_text(encoding="utf-8")
    sections = [
        config.http,
        config.limits,
        config.blobs,
        config.broker,
        config.store,
        config.functions.yolov8,
        config.functions.blip2,
    ]
    for section in sections:
        assert section is not None
        for key in type(section).model_fields:
            assert f"{key}:" in text, f"{key} of {type(section).__name__} stands nowhere in {path.name}"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"htpp": {}}, "unknown key htpp. Did you mean http?"),
        ({"http": {"prot": 1}}, "unknown key http.prot. Did you mean port?"),
        ({"functions": {"blip": {"model": "m"}}}, "unknown key functions.blip. Did you mean blip2?"),
        ({"functions": {"depth": {"pice_usd_per_hour": 1}}}, "Did you mean price_usd_per_hour?"),
        ({"http": {"port": 0}}, "http.port"),
        ({"http": {"port": "no"}}, "http.port"),
        ({"http": {"host": "0.0.0.0"}}, "needs token_env"),
        ({"functions": {}}, "no function is configured"),
        ({"functions": {"blip2": {"model": "m", "backend": "pickle"}}}, "functions.blip2.backend"),
        ({"functions": {"blip2": {"model": "m", "prompt": "no place"}}}, "{query}"),
        ({"functions": {"yolov8": {"model": "m", "score": 1.5}}}, "functions.yolov8.score"),
        ({"functions": {"yolov8": {}}}, "functions.yolov8.model"),
        ({"limits": {"message_bytes": 10}}, "limits.message_bytes"),
        ({"limits": {"max_pixels": 10**9}}, "limits.max_pixels"),
        ({"blobs": {"max_mb": 0}}, "blobs.max_mb"),
        ({"fleets": ["a/b"]}, "fleets"),
        ({"fleets": []}, "fleets"),
        ({"broker": {"tls": {"cert_file": "c.pem"}}}, "cert_file and key_file go together"),
        ({"broker": {"password": "x"}}, "unknown key broker.password. Did you mean password_env?"),
    ],
)
def test_mistakes(keys: dict[str, Any], reason: str) -> None:
    assert reason in mistake(**keys)


def test_paths_are_taken_from_the_configs_folder(tmp_path: Path) -> None:
    (tmp_path / "models" / "depth").mkdir(parents=True)
    (tmp_path / "cloud.yaml").write_text(
        "functions:\n"
        "  depth: {model: models/depth}\n"
        "  yolov8: {model: /elsewhere/y.onnx}\n"
        "  blip2: {backend: transformers, model: Salesforce/blip2-opt-2.7b}\n"
        "broker: {tls: {ca_file: ca.pem}}\n"
    )
    config = load_cloud_config(tmp_path / "cloud.yaml")
    assert config.functions.models == {
        "depth": str(tmp_path / "models" / "depth"),
        "yolov8": "/elsewhere/y.onnx",
        "blip2": "Salesforce/blip2-opt-2.7b",
    }
    assert config.broker is not None
    assert config.broker.tls is not None
    assert config.broker.tls.ca_file == tmp_path / "ca.pem"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.yaml is not there"):
        load_cloud_config(tmp_path / "no.yaml")


def test_the_brokers_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = BrokerConfig(username="cloud", password_env="BROKER_PASSWORD")
    monkeypatch.setenv("BROKER_PASSWORD", "x")
    assert (broker.password(), BrokerConfig().password()) == ("x", None)
    monkeypatch.delenv("BROKER_PASSWORD")
    with pytest.raises(ConfigError, match="BROKER_PASSWORD is not set"):
        broker.password()


def test_demo_models_are_announced(tmp_path: Path) -> None:
    demo, field = tmp_path / "demo", tmp_path / "field"
    demo.mkdir()
    field.mkdir()
    (demo / "card.md").write_text("# Tiny\n\n*trained on rendered scenes; for demonstration and tests*\n")
    assert demo_notice([field, demo]) == DEMO_NOTICE
    assert demo_notice([demo / "model.onnx"]) == DEMO_NOTICE
    assert demo_notice([field, tmp_path / "nothing"]) is None

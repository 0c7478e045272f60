"""`dicem functions` and `dicem cloud`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from dicem_cloud.commands import register
from dicem_shared.catalog import SPECS
from dicem_shared.errors import ConfigError, MissingExtra, ModelError, UnknownFunction

from ..ports import free_port


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


def printed(app: typer.Typer, *arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "120"}, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_table_names_every_function(app: typer.Typer) -> None:
    table = printed(app, "functions")
    for spec in SPECS:
        assert spec.name in table
    assert "alias of blip2" in table
    assert "edge = cloud" in table
    assert "classes?" in table
    assert "best_text_match" not in printed(app, "functions", "depth")


def test_one_function_as_a_resource(app: typer.Typer) -> None:
    text = printed(app, "functions", "blip2", "-o", "yaml")
    resource = yaml.safe_load(text)
    assert [*resource] == ["apiVersion", "kind", "metadata", "spec", "status"]
    assert text.startswith("apiVersion: hermod.dicem.io/v1\nkind: Function\nmetadata:\n  name: blip2\nspec:\n")
    assert json.loads(resource["status"]["parametersSchema"])["required"] == ["image", "query"]
    assert json.loads(printed(app, "functions", "blip2", "-o", "json")) == resource


def test_all_functions_as_resources(app: typer.Typer) -> None:
    many = list(yaml.safe_load_all(printed(app, "functions", "--output", "yaml")))
    assert [one["metadata"]["name"] for one in many] == sorted(spec.name for spec in SPECS)
    assert json.loads(printed(app, "functions", "-o", "json"))["items"] == many


def test_documentation_of_several_lines_stands_as_a_block(app: typer.Typer) -> None:
    assert "  documentation: |-\n    Find the objects" in printed(app, "functions", "yolov8", "-o", "yaml")


def test_an_unknown_function(app: typer.Typer) -> None:
    with pytest.raises(UnknownFunction, match="Did you mean depth"):
        CliRunner().invoke(app, ["functions", "deph"], catch_exceptions=False)


def test_functions_needs_no_extra() -> None:
    """In a process of its own: nothing heavy may be imported on the way to the table."""
    code = (
        "import sys, typer, dicem_cloud.commands as c; app = typer.Typer(); c.register(app); c.functions(None, 'json');"
        "assert not {'fastapi', 'uvicorn', 'torch', 'transformers', 'onnxruntime', 'PIL'} & set(sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


class TestCloud:
    @pytest.fixture
    def config(self, tmp_path: Path) -> Path:
        return tmp_path / "cloud.yaml"

    def run(self, app: typer.Typer, config: Path) -> None:
        CliRunner().invoke(app, ["cloud", "--config", str(config)], catch_exceptions=False)

    def test_no_config(self, app: typer.Typer, config: Path) -> None:
        with pytest.raises(ConfigError, match="is not there"):
            self.run(app, config)

    def test_without_the_extra(self, app: typer.Typer, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config.write_text("functions: {depth: {}}")
        monkeypatch.setitem(sys.modules, "uvicorn", None)
        monkeypatch.delitem(sys.modules, "dicem_cloud.http.server", raising=False)
        with pytest.raises(MissingExtra, match=r"dicem\[cloud\]"):
            self.run(app, config)

    def test_a_port_that_is_taken(self, app: typer.Typer, config: Path) -> None:
        pytest.importorskip("uvicorn", reason="needs the extra [cloud]")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            config.write_text(f"{{functions: {{depth: {{}}}}, http: {{port: {taken.getsockname()[1]}}}}}")
            with pytest.raises(ConfigError, match="cannot listen on 127"):
                self.run(app, config)

    def test_a_model_that_is_not_there(self, app: typer.Typer, config: Path) -> None:
        pytest.importorskip("uvicorn", reason="needs the extra [cloud]")
        config.write_text(f"{{functions: {{depth: {{model: ./no}}}}, http: {{port: {free_port()}}}}}")
        with pytest.raises(ModelError, match="no does not exist"):
            self.run(app, config)

"""`dicem models`: a list that is true, a hub that is there or not, checkpoints that are tried, pickles that are not."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from dicem_cloud.config import CloudConfig, load_cloud_config
from dicem_cloud.functions import hashes
from dicem_cloud.functions_config import DepthConfig
from dicem_cloud.models import exporting
from dicem_cloud.models.commands import register
from dicem_cloud.models.known import defaults
from dicem_shared.config import parse_config
from dicem_shared.errors import ConfigError, ImageError, MissingExtra, ModelError

pytest.importorskip("torch", reason="needs the extra [transformers]")
pytest.importorskip("transformers", reason="needs the extra [transformers]")

from .checkpoints import save_depth, save_grounding_dino, save_siglip

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> typer.Typer:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    app = typer.Typer()
    register(app)
    app.command("other")(lambda: None)
    return app


def printed(app: typer.Typer, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["models", *arguments], env={"COLUMNS": "200"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


class TestList:
    def test_what_comes_with_dicem_and_what_can_be_fetched(self, app: typer.Typer) -> None:
        rows = json.loads(printed(app, "list", "--json"))
        by_model = {row["model"]: row for row in rows}
        assert {name: row["licence"] for name, row in by_model.items() if row["backend"] == "onnx"} == {
            "models/yolov8/model.onnx": "AGPL-3.0",
            "models/blip2": "Apache-2.0",
            "models/depth": "Apache-2.0",
        }
        assert by_model["models/depth"]["here"]
        assert by_model["models/depth"]["size_bytes"] == (ROOT / "models/depth/model.onnx").stat().st_size
        assert {row["function"] for row in rows if row["default"]} == {"blip2", "depth", "glip", "xvlm"}
        assert not by_model["Salesforce/blip2-opt-2.7b"]["here"]
        assert by_model["depth-anything/Depth-Anything-V2-Metric-Outdoor-Large-hf"]["licence"] == "CC-BY-NC-4.0"

    def test_every_name_stands_whole_in_a_narrow_table(self, app: typer.Typer) -> None:
        shown = CliRunner().invoke(app, ["models", "list"], env={"COLUMNS": "80"}).output
        letters = "".join(line.split("│")[3].strip() for line in shown.splitlines() if line.count("│") == 6)
        for name in defaults().values():
            assert name in letters

    def test_what_a_config_names(self, app: typer.Typer, tmp_path: Path) -> None:
        save_depth(tmp_path / "depth")
        path = tmp_path / "cloud.yaml"
        path.write_text(
            "functions:\n"
            "  depth: {backend: transformers, model: depth}\n"
            "  glip: {}\n"
            "  yolov8: {model: nowhere.onnx}\n"
            "  llm: {base_url: 'http://127.0.0.1:1/v1', model: m}\n"
        )
        rows = {row["function"]: row for row in json.loads(printed(app, "list", "--config", str(path), "--json"))}
        assert rows["depth"]["size_bytes"] == (tmp_path / "depth" / "model.safetensors").stat().st_size
        assert (rows["glip"]["model"], rows["glip"]["here"]) == (defaults()["glip"], False)
        assert (rows["yolov8"]["here"], rows["llm"]["backend"]) == (False, "endpoint")
        assert "http://127.0.0.1:1/v1" in printed(app, "list", "--config", str(path))

    def test_it_loads_nothing_heavy(self) -> None:
        code = (
            "import sys, typer, dicem_cloud.commands, dicem_cloud.models.commands as c;"
            "assert not {'torch', 'transformers', 'huggingface_hub', 'onnxruntime'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_without_the_extra_nothing_of_the_hub_is_here(
        self, app: typer.Typer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        rows = json.loads(printed(app, "list", "--json"))
        assert {row["here"] for row in rows if row["backend"] == "transformers"} == {False}
        with pytest.raises(MissingExtra, match=r"dicem\[transformers\]"):
            printed(app, "pull", "glip")


class TestTheConfigForGpus:
    """configs/cloud-gpu.yaml names every key of every function, and the suggested models."""

    PATH = ROOT / "configs" / "cloud-gpu.yaml"

    def config(self) -> CloudConfig:
        """With what stands there as a comment only."""
        text = self.PATH.read_text(encoding="utf-8")
        lines = [re.sub(r"^  # (?=yolov8:|llm:|  \w+:)", "  ", line) for line in text.splitlines()]
        return parse_config(CloudConfig, yaml.safe_load("\n".join(lines)), where="cloud-gpu.yaml")

    def test_it_can_be_used(self) -> None:
        config = load_cloud_config(self.PATH)
        assert {name: config.functions.models[name] for name in defaults()} == defaults()
        assert self.config().functions.configured == ("yolov8", "blip2", "depth", "glip", "xvlm", "llm")

    @pytest.mark.parametrize("name", ["blip2", "glip", "xvlm", "llm"])
    def test_every_key_is_explained(self, name: str) -> None:
        text = self.PATH.read_text(encoding="utf-8")
        section = getattr(self.config().functions, name)
        assert [key for key in type(section).model_fields if f"{key}:" not in text] == []

    def test_what_is_left_out_is_what_stands_there(self) -> None:
        short = {name: {} for name in ("glip", "xvlm")} | {
            name: {"backend": "transformers"} for name in ("blip2", "depth")
        }
        plain = CloudConfig.model_validate({"functions": short}).functions
        assert plain.models == load_cloud_config(self.PATH).functions.models
        assert DepthConfig().model is None


class TestCheck:
    def test_a_checkpoint(self, app: typer.Typer, tmp_path: Path) -> None:
        save_grounding_dino(tmp_path)
        checked = json.loads(printed(app, "check", str(tmp_path), "--device", "cpu", "--json"))
        assert (checked["function"], checked["what"]) == ("glip", "GroundingDinoForObjectDetection")
        assert checked["numbers"] == "float32 on cpu, F32 on disk"
        assert checked["parameters"] > 10_000
        assert checked["peak_bytes"] > 10_000_000
        assert checked["load_s"] > 0 < checked["answer_s"]
        assert len(checked["sha256"]) == 64

    def test_in_words_and_with_a_picture(self, app: typer.Typer, tmp_path: Path) -> None:
        from PIL import Image

        save_siglip(tmp_path)
        Image.new("RGB", (30, 20), "red").save(tmp_path / "red.png")
        shown = printed(app, "check", str(tmp_path), "--image", str(tmp_path / "red.png"), "--dtype", "bfloat16")
        assert "class        SiglipModel" in shown
        assert "bfloat16 on" in shown
        assert '"scores": [' in shown

    @pytest.mark.parametrize("model", ["models/depth", "models/yolov8/model.onnx"])
    def test_what_comes_with_dicem(self, model: str, app: typer.Typer) -> None:
        assert json.loads(printed(app, "check", model, "--json"))["sha256"]

    def test_a_folder_of_onnx_parts(self, app: typer.Typer, tmp_path: Path) -> None:
        for path in (ROOT / "models" / "blip2").iterdir():
            if path.suffix in (".onnx", ".json") and path.name not in ("config.json", "processor_config.json"):
                (tmp_path / path.name).write_bytes(path.read_bytes())
        checked = json.loads(printed(app, "check", str(tmp_path), "--json"))
        assert (checked["function"], checked["what"]) == ("blip2", "parts in ONNX")

    @pytest.mark.parametrize(
        ("name", "content", "reason"),
        [
            ("model.pt", b"\x80\x04.", "never loaded"),
            ("model.bin", b"\x80\x04.", "never loaded"),
            ("notes.txt", b"hello", "no model"),
            ("model.onnx", b"garbage", "model.onnx"),
        ],
    )
    def test_a_file_that_is_no_model(
        self, name: str, content: bytes, reason: str, app: typer.Typer, tmp_path: Path
    ) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=reason):
            printed(app, "check", str(tmp_path / name))

    def test_a_folder_of_pickles(self, app: typer.Typer, tmp_path: Path) -> None:
        save_depth(tmp_path)
        (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
        with pytest.raises(ModelError, match=r"expected \*\.safetensors, got .*pytorch_model\.bin.*never loaded"):
            printed(app, "check", str(tmp_path))

    def test_an_empty_folder(self, app: typer.Typer, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="holds no ONNX file"):
            printed(app, "check", str(tmp_path))

    @pytest.mark.parametrize("name", ["nonsense", "a b/c", "/no/such/folder", "\x00", "x" * 5000])
    def test_no_such_model(self, name: str, app: typer.Typer) -> None:
        with pytest.raises(ConfigError, match=r"no model is called"):
            printed(app, "check", name)

    @pytest.mark.parametrize(
        ("options", "reason"),
        [(("--device", "tpu"), r"functions\.depth\.device"), (("--dtype", "int4"), r"functions\.depth\.dtype")],
    )
    def test_options_that_are_none(self, options: tuple[str, ...], reason: str, app: typer.Typer) -> None:
        with pytest.raises(ConfigError, match=reason):
            printed(app, "check", "models/depth", *options)

    def test_a_picture_that_is_none(self, app: typer.Typer, tmp_path: Path) -> None:
        for path in (tmp_path / "no.png", ROOT / "LICENSE", tmp_path):
            with pytest.raises(ImageError):
                printed(app, "check", "models/depth", "--image", str(path))


class TestPull:
    def test_names_that_are_none(self, app: typer.Typer) -> None:
        for name in ("nonsense", "../../etc/passwd", "a/b/c", "llm", ""):
            with pytest.raises(ConfigError, match="is no name on the hub"):
                printed(app, "pull", name)

    def test_a_hub_that_is_not_asked(self, app: typer.Typer) -> None:
        with pytest.raises(ModelError, match=r"HF_HUB_OFFLINE is set\)\. Unset it and run `dicem models pull"):
            printed(app, "pull", "glip")


class Hub(ThreadingHTTPServer):
    """As much of the Hugging Face hub as its client asks for: one model, `team/depth`, from a folder."""

    daemon_threads = True
    commit = "0123456789abcdef0123456789abcdef01234567"

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.given: list[str] = []


class HubHandler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path, files = self.path.partition("?")[0], self.server.files
        headers, status = {"X-Repo-Commit": self.server.commit}, 200
        if path.startswith("/api/models/team/depth/tree/"):
            listed = [{"type": "file", "path": n, "size": len(d), "oid": _oid(d)} for n, d in files.items()]
            data = json.dumps(listed).encode()
        elif path.startswith("/api/models/team/depth"):
            siblings = [{"rfilename": name} for name in files]
            data = json.dumps({"id": "team/depth", "sha": self.server.commit, "siblings": siblings}).encode()
        elif (name := path.removeprefix(f"/team/depth/resolve/{self.server.commit}/")) in files:
            data = files[name]
            headers["ETag"] = f'"{_oid(data)}"'
            if with_body:
                self.server.given.append(name)
        else:
            data, status = b"{}", 404
            headers["X-Error-Code"] = "RepoNotFound"
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if with_body:
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


def _oid(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    save_depth(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (folder / "modeling_evil.py").write_text("raise SystemExit")
    with Hub(folder) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def dicem(home: Path, hub: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own: the hub's client reads its settings when it is imported."""
    environment = {
        **os.environ, "HF_HOME": str(home / "hf"), "XDG_CACHE_HOME": str(home), "HF_ENDPOINT": hub,
        "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1", **more,
    }  # fmt: skip
    command = [sys.executable, "-m", "dicem_shared.cli", "models", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_a_model_is_fetched_once_and_used_without_the_hub(hub: Hub, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{hub.server_address[1]}"
    done = dicem(tmp_path, url, "pull", "team/depth")
    assert done.returncode == 0, done.stderr
    assert "team/depth: depth, 0." in done.stdout
    assert "Traceback" not in done.stderr
    assert sorted(hub.given) == ["config.json", "model.safetensors", "preprocessor_config.json"]
    asked = len(hub.given)
    find = (
        "from dicem_cloud.functions.checkpoints import find_checkpoint as find;"
        "print(find('team/depth', ['depth_anything']).folder.parent.name)"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": "http://127.0.0.1:9"}
    found = subprocess.run([sys.executable, "-c", find], env=environment, capture_output=True, text=True, check=True)
    assert (found.stdout, len(hub.given)) == ("snapshots\n", asked)


@pytest.mark.parametrize(
    ("url", "name", "reason"),
    [
        ("http://127.0.0.1:9", "team/depth", "cannot be fetched from the Hugging Face hub"),
        ("", "team/nothing", "the Hugging Face hub has no model team/nothing"),
    ],
)
def test_what_the_hub_does_not_give_is_one_line(url: str, name: str, reason: str, hub: Hub, tmp_path: Path) -> None:
    done = dicem(tmp_path, url or f"http://127.0.0.1:{hub.server_address[1]}", "pull", name)
    assert done.returncode == 2
    assert reason in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


class TestExport:
    """With a stand-in for ultralytics; the real one was tried by hand."""

    @pytest.fixture
    def library(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        class YOLO:
            def __init__(self, path: str, task: str) -> None:
                if b"broken" in Path(path).read_bytes():
                    raise RuntimeError("not a checkpoint")
                self.path = Path(path)

            def export(self, **how: Any) -> str:
                made = self.path.with_suffix(".onnx")
                made.write_bytes(
                    b"no network" if how["imgsz"] == 64 else (ROOT / "models/yolov8/model.onnx").read_bytes()
                )
                return str(made)

        module = types.ModuleType("ultralytics")
        module.YOLO = YOLO  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "ultralytics", module)

    @pytest.fixture
    def pickle(self, tmp_path: Path) -> Path:
        path = tmp_path / "boats.pt"
        path.write_bytes(b"\x80\x04.")
        return path

    def test_nobody_loads_a_pickle_unless_told_to(self, app: typer.Typer, library: Any, pickle: Path) -> None:
        output = pickle.with_suffix(".onnx")
        with pytest.raises(ConfigError, match=r"is a pickle.*say --i-trust-this-file"):
            printed(app, "export", str(pickle), "-o", str(output))
        assert not output.exists()

    def test_with_a_warning(self, app: typer.Typer, library: Any, pickle: Path) -> None:
        output = pickle.with_suffix(".onnx")
        shown = printed(app, "export", str(pickle), "-o", str(output), "--i-trust-this-file")
        assert "warning: " in shown
        assert "boats.onnx: 9 classes (plastic bottle, " in shown
        assert output.is_file()
        assert sorted(path.name for path in pickle.parent.iterdir() if path.is_file()) == ["boats.onnx", "boats.pt"]

    def test_what_fails_leaves_nothing_behind(self, app: typer.Typer, library: Any, pickle: Path) -> None:
        output = pickle.with_suffix(".onnx")
        output.write_bytes(b"the old one")
        with pytest.raises(ModelError):
            printed(app, "export", str(pickle), "-o", str(output), "--size", "64", "--i-trust-this-file")
        pickle.write_bytes(b"broken")
        with pytest.raises(ModelError, match=r"boats\.pt cannot be exported"):
            printed(app, "export", str(pickle), "-o", str(output), "--i-trust-this-file")
        assert output.read_bytes() == b"the old one"
        assert sorted(path.name for path in pickle.parent.glob(".export*")) == []

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("boats.onnx", "-o", "b.onnx"), r"expected NAME\.pt"),
            (("boats.pt", "-o", "b.txt"), "output cannot be written"),
            (("boats.pt", "-o", "/no/such/folder/b.onnx"), "output cannot be written"),
            (("boats.pt", "-o", "b.onnx", "--size", "33"), "multiple of 32"),
            (("boats.pt", "-o", "b.onnx", "--size", "0"), "multiple of 32"),
        ],
    )
    def test_mistakes(self, arguments: tuple[str, ...], reason: str, app: typer.Typer, library: Any) -> None:
        with pytest.raises(ConfigError, match=reason):
            printed(app, "export", *arguments, "--i-trust-this-file")

    def test_without_ultralytics(self, app: typer.Typer, pickle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ultralytics", None)
        with pytest.raises(MissingExtra, match=r"dicem\[train\]"):
            printed(app, "export", str(pickle), "-o", str(pickle.with_suffix(".onnx")), exporting.TRUST)


class TestHashes:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(hashes, "KEPT_FROM_BYTES", 4)

    @pytest.fixture
    def reads(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        read: list[str] = []
        digest = hashlib.file_digest

        def counted(file: Any, how: str) -> Any:
            read.append(Path(file.name).name)
            return digest(file, how)

        monkeypatch.setattr(hashlib, "file_digest", counted)
        return read

    def test_a_large_file_is_read_once_while_it_stays(self, tmp_path: Path, reads: list[str]) -> None:
        large, little = tmp_path / "large", tmp_path / "little"
        large.write_bytes(b"12345")
        little.write_bytes(b"123")
        first = hashes.hash_of([large, little])
        assert hashes.hash_of([little, large]) == first
        assert reads == ["large", "little", "little"]
        large.write_bytes(b"123456")
        assert hashes.hash_of([large, little]) != first
        assert reads[3:] == ["large", "little"]

    def test_as_without_a_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a").write_bytes(b"12345")
        kept = [hashes.hash_of([tmp_path / "a"]) for _ in range(2)]
        monkeypatch.setattr(hashes, "KEPT_FROM_BYTES", 10**9)
        assert kept == [hashes.hash_of([tmp_path / "a"])] * 2

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', "[" * 9000, "\x00"])
    def test_a_cache_that_is_damaged(self, content: str, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"12345")
        expected = hashes.hash_of([tmp_path / "a"])
        hashes.cache_path().write_text(content)
        assert hashes.hash_of([tmp_path / "a"]) == expected

    def test_a_cache_that_cannot_be_written(self, tmp_path: Path, reads: list[str]) -> None:
        (tmp_path / "cache").write_text("a file")
        (tmp_path / "a").write_bytes(b"12345")
        assert hashes.hash_of([tmp_path / "a"]) == hashes.hash_of([tmp_path / "a"])
        assert len(reads) == 2

"""Whatever a user gives `dicem simulate`: one clear line, a non-zero exit, nothing half-written."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dicem_shared.cli import main

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "recordings" / "litter-mission"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """The first four frames of the shipped recording."""
    folder = tmp_path / "short"
    (folder / "camera").mkdir(parents=True)
    for name in ("recording.yaml", "imu.csv", "gps.csv", "truth.jsonl"):
        shutil.copy(SHIPPED / name, folder / name)
    lines = (SHIPPED / "camera.csv").read_text(encoding="utf-8").splitlines()[:5]
    (folder / "camera.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for line in lines[1:]:
        file = line.split(",")[1]
        shutil.copy(SHIPPED / "camera" / file, folder / "camera" / file)
    return folder


Dicem = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dicem(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Dicem:
    """Run the command line; its exit code, what it printed, what it complained about."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["dicem", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def refused(dicem: Dicem, tmp_path: Path, *arguments: str | Path, says: str) -> None:
    """The command ends with code 2 and one line of ours, and leaves no output behind."""
    code, out, err = dicem("simulate", *arguments, "--json", tmp_path / "out.json", "--report", tmp_path / "out.html")
    assert code == 2
    complaints = [line for line in err.splitlines() if line.startswith("dicem: ")]
    assert len(complaints) == 1
    assert says in complaints[0]
    assert "Traceback" not in err
    assert out == ""
    assert not [path for path in tmp_path.iterdir() if "out." in path.name]


def images(recording: Path) -> list[Path]:
    return sorted((recording / "camera").iterdir())


def missing(recording: Path) -> None:
    shutil.rmtree(recording)


def empty(recording: Path) -> None:
    shutil.rmtree(recording)
    recording.mkdir()


def cut_manifest(recording: Path) -> None:
    path = recording / "recording.yaml"
    path.write_text(path.read_text(encoding="utf-8")[:40] + "\n  - [", encoding="utf-8")


def cut_index(recording: Path) -> None:
    (recording / "camera.csv").write_text("t_s,file\n1780304400.0\n", encoding="utf-8")


def cut_images(recording: Path) -> None:
    for image in images(recording):
        image.write_bytes(image.read_bytes()[:3000])


def wrong_kind(recording: Path) -> None:
    for image in images(recording):
        image.write_text("this is no picture", encoding="utf-8")


def wrong_size(recording: Path) -> None:
    path = recording / "recording.yaml"
    manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    manifest["camera"]["calibration"]["width"] = 1280
    path.write_text(yaml.safe_dump(manifest), encoding="utf-8")


def unknown_key(recording: Path) -> None:
    path = recording / "recording.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "gpss: gps.csv\n", encoding="utf-8")


def cut_imu(recording: Path) -> None:
    (recording / "imu.csv").write_text("t_s,roll_deg,pitch_deg,heading_deg\n1780304400.0,0.1,ab\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (missing, "is not there"),
        (empty, "holds no images"),
        (cut_manifest, "recording.yaml:"),
        (cut_index, "camera.csv:2"),
        (cut_images, "not one image can be used"),
        (wrong_kind, "not one image can be used"),
        (wrong_size, "640 x 480"),
        (unknown_key, "Did you mean gps?"),
        (cut_imu, "imu.csv:2"),
    ],
)
def test_bad_recordings(
    dicem: Dicem, tmp_path: Path, recording: Path, damage: Callable[[Path], None], says: str
) -> None:
    damage(recording)
    refused(dicem, tmp_path, recording, says=says)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def execute_command(image:\n    return 1\n", "prog.py:1:"),
        ("def execute_command(image):\n    return hermod.call_sync('blip3', image=image)\n", "Did you mean blip"),
        ("def execute_command(image):\n    while True:\n        pass\n", "endless loop"),
        ("def execute_command(image):\n    return lambda: 1\n", "cannot be stored"),
        ("def execute_command(image):\n    return 1 / 0\n", "prog:2: ZeroDivisionError"),
        ("def execute_command(image):\n    import torch\n", "No module named 'torch'"),
        ("x = 1\n", "no entry function"),
        (
            "def execute_command(image):\n    return hermod.call_sync('depth', picture=image)\n",
            "depth has no parameter picture",
        ),
    ],
)
def test_bad_programs(dicem: Dicem, tmp_path: Path, recording: Path, source: str, says: str) -> None:
    program = tmp_path / "prog.py"
    program.write_text(source, encoding="utf-8")
    refused(dicem, tmp_path, recording, "--program", program, "--mode", "split", says=says)


def broken_config(tmp_path: Path, name: str, change: Callable[[dict[str, object]], None]) -> Path:
    config = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8"))
    change(config)
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def test_unknown_config_key(dicem: Dicem, tmp_path: Path, recording: Path) -> None:
    config = broken_config(tmp_path, "edge-demo", lambda c: c.update(shiping={}))
    refused(dicem, tmp_path, recording, "--edge-config", config, says="unknown key shiping. Did you mean shipping?")


def test_value_out_of_bounds(dicem: Dicem, tmp_path: Path, recording: Path) -> None:
    config = broken_config(tmp_path, "edge-demo", lambda c: c.update(shipping={"quality": 500}))
    refused(dicem, tmp_path, recording, "--edge-config", config, says="shipping.quality")


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08\x07\x12\x04test"])
def test_corrupt_network(dicem: Dicem, tmp_path: Path, recording: Path, content: bytes) -> None:
    network = tmp_path / "net.onnx"
    network.write_bytes(content)
    config = broken_config(tmp_path, "edge-demo", lambda c: c["detector"].update(model=str(network)))  # type: ignore[attr-defined]
    refused(dicem, tmp_path, recording, "--edge-config", config, says="net.onnx")


def test_wrong_network(dicem: Dicem, tmp_path: Path, recording: Path) -> None:
    """A network that looks at pictures but is no detector."""
    network = ROOT / "models" / "depth" / "model.onnx"
    config = broken_config(tmp_path, "edge-demo", lambda c: c["detector"].update(model=str(network)))  # type: ignore[attr-defined]
    refused(dicem, tmp_path, recording, "--edge-config", config, says="model.onnx")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--link", "carrier-pigeon"), "coastal-lte"),
        (("--mode", "fastest"), "cloud-only, per-call, split"),
        (("--edge-profile", "abacus"), "jetson-orin-nano"),
        (("--program", "nothing"), "litter_best"),
    ],
)
def test_unknown_names(dicem: Dicem, tmp_path: Path, recording: Path, arguments: tuple[str, ...], says: str) -> None:
    refused(dicem, tmp_path, recording, *arguments, says=says)


@pytest.mark.parametrize(
    ("trace", "says"),
    [
        ("t_s,up_kbps,down_kbps,rtt_ms,loss,up\n0,100,100,50,0,1\n5,0,0,50,0,0\n", "ends in an outage"),
        ("t_s,up_kbps,down_kbps,rtt_ms,loss,up\n0,fast,100,50,0,1\n", "trace.csv:2"),
        ("t_s,up_kbps,down_kbps,rtt_ms,loss,up\n3,100,100,50,0,1\n", "from t_s 0"),
        ("", "from t_s 0"),
    ],
)
def test_bad_traces(dicem: Dicem, tmp_path: Path, recording: Path, trace: str, says: str) -> None:
    (tmp_path / "trace.csv").write_text(trace, encoding="utf-8")
    refused(dicem, tmp_path, recording, "--link", tmp_path / "trace.csv", says=says)


def test_one_bad_frame_is_skipped_and_counted(dicem: Dicem, tmp_path: Path, recording: Path) -> None:
    images(recording)[1].write_bytes(b"rubbish")
    code, out, err = dicem("simulate", recording, "--mode", "split")
    assert code == 0
    assert "3 / 3" in out
    assert "1 frames skipped" in err
    assert images(recording)[1].name in err


def test_output_that_cannot_be_written(dicem: Dicem, tmp_path: Path, recording: Path) -> None:
    code, _, err = dicem("simulate", recording, "--mode", "split", "--json", tmp_path / "no" / "such" / "out.json")
    assert code == 2
    assert "does not exist" in err


def test_json_with_one_record_a_frame(dicem: Dicem, tmp_path: Path, recording: Path) -> None:
    target = tmp_path / "out.json"
    code, _, _ = dicem("simulate", recording, "--mode", "split", "--json", target)
    assert code == 0
    assert json.loads(target.read_text(encoding="utf-8"))["modes"]["split"]["frames"] == 4
    code, _, _ = dicem("simulate", recording, "--mode", "split", "--json", target, "--frames")
    assert code == 0
    records = json.loads(target.read_text(encoding="utf-8"))["modes"]["split"]["frames"]
    assert [record["frame"] for record in records] == [0, 1, 2, 3]
    assert {"value", "observations", "latency_s", "cost"} <= records[0].keys()

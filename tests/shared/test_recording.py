"""Recordings: what is read, what is interpolated, and one clear error for whatever cannot be."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dicem_shared import images
from dicem_shared.errors import RecordingError
from dicem_shared.ids import blob_id
from dicem_shared.recording import Recording, Track, open_recording
from dicem_shared.types import FrameInfo

SIZE = (32, 24)
START = 1_780_304_400.0
CALIBRATION = {"width": 32, "height": 24, "fx": 40, "fy": 40, "cx": 16, "cy": 12, "height_m": 1.2}
MANIFEST: dict[str, Any] = {
    "schema_version": 1,
    "name": "test-voyage",
    "vehicle": "boat-7",
    "camera": {"id": "bow", "calibration": CALIBRATION},
    "imu": "imu.csv",
    "gps": "gps.csv",
    "truth": "truth.jsonl",
    "clock": {"source": "gps", "uncertainty_s": 0.05},
}


def picture(shade: int, size: tuple[int, int] = SIZE) -> bytes:
    return images.encode(np.full((size[1], size[0], 3), shade, np.uint8), format="png")


@pytest.fixture
def voyage(tmp_path: Path) -> Path:
    """Four frames a second apart, with an IMU at 2 Hz, a GPS at 1 Hz and what is there."""
    (tmp_path / "camera").mkdir()
    for i in range(4):
        (tmp_path / "camera" / f"{i}.png").write_bytes(picture(50 * i))
    rows = "".join(f"{START + i},{i}.png\n" for i in range(4))
    (tmp_path / "camera.csv").write_text(f"t_s,file\n{rows}")
    tilts = "".join(f"{START + i / 2},{i},{-i},{(358 + i) % 360}\n" for i in range(8))
    (tmp_path / "imu.csv").write_text(f"t_s,roll_deg,pitch_deg,heading_deg\n{tilts}")
    fixes = "".join(f"{START + i - 0.5},{10 + i},{20 - i},{1 + i}\n" for i in range(5))
    (tmp_path / "gps.csv").write_text(f"t_s,lat,lon,accuracy_m\n{fixes}")
    (tmp_path / "truth.jsonl").write_text('{"file": "1.png", "objects": [1]}\n')
    write_manifest(tmp_path)
    return tmp_path


def write_manifest(path: Path, **changes: Any) -> None:
    (path / "recording.yaml").write_text(yaml.safe_dump(MANIFEST | changes))


def infos(recording: Recording) -> list[FrameInfo]:
    return [frame.info for frame in recording.frames()]


def refused(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        list(open_recording(path).frames())
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message.replace(f"{path}/", "").replace(str(path), "HERE")


# What is read


def test_a_recording_is_read_whole(voyage: Path) -> None:
    recording = open_recording(voyage)
    frames = list(recording.frames())
    assert (len(recording), len(frames), recording.skipped) == (4, 4, [])
    assert recording.manifest.name == "test-voyage"
    assert recording.manifest.vehicle == "boat-7"
    assert recording.can_range
    first = frames[0]
    assert (first.file, first.data, first.truth) == ("0.png", picture(0), None)
    assert frames[1].truth == {"file": "1.png", "objects": [1]}
    info = first.info
    assert (info.camera, info.sequence, info.t_utc, info.t_unc_s, info.clock_source) == ("bow", 0, START, 0.05, "gps")
    assert (info.width, info.height, info.blob) == (32, 24, blob_id(picture(0)))
    assert info.calibration == recording.manifest.camera.calibration
    assert [frame.info.sequence for frame in frames] == [0, 1, 2, 3]


def test_poses_are_interpolated(voyage: Path) -> None:
    """Frame i lies on row 2 i of the IMU, and half-way between rows i and i + 1 of the GPS."""
    for i, info in enumerate(infos(open_recording(voyage))):
        assert info.pose is not None
        assert (info.pose.lat, info.pose.lon) == (10.5 + i, 19.5 - i)
        assert info.pose.position_unc_m == 1.5 + i
        attitude = info.pose.attitude
        assert attitude is not None
        assert (attitude.roll_deg, attitude.pitch_deg, attitude.heading_deg) == (2 * i, -2 * i, (358 + 2 * i) % 360)


def test_reading_twice_gives_the_same(voyage: Path) -> None:
    recording = open_recording(voyage)
    assert infos(recording) == infos(recording) == infos(open_recording(voyage))


def test_without_sensors_there_is_no_pose(voyage: Path) -> None:
    write_manifest(voyage, imu=None, gps=None, truth=None)
    recording = open_recording(voyage)
    assert all(info.pose is None for info in infos(recording))
    assert not recording.can_range


def test_one_sensor_gives_half_a_pose(voyage: Path) -> None:
    write_manifest(voyage, imu=None)
    (voyage / "gps.csv").write_text(f"t_s,lat,lon\n{START},1,2\n")
    first, *_, last = infos(open_recording(voyage))
    assert first.pose is not None
    assert (first.pose.lat, first.pose.position_unc_m, first.pose.attitude) == (1.0, None, None)
    assert last.pose is None  # three seconds after the only fix
    write_manifest(voyage, gps=None)
    pose = infos(open_recording(voyage))[0].pose
    assert pose is not None
    assert (pose.lat, pose.lon) == (None, None)
    assert pose.attitude is not None


@pytest.mark.parametrize("heading", ["-0.00000000000000001", "360", "-360", "720"])
def test_a_heading_of_a_full_turn_is_north(voyage: Path, heading: str) -> None:
    (voyage / "imu.csv").write_text(f"t_s,roll_deg,pitch_deg,heading_deg\n{START},0,0,{heading}\n")
    pose = infos(open_recording(voyage))[0].pose
    assert pose is not None
    assert pose.attitude is not None
    assert pose.attitude.heading_deg == 0.0


def test_files_from_spreadsheets_are_read(voyage: Path) -> None:
    text = (voyage / "camera.csv").read_text()
    (voyage / "camera.csv").write_bytes(b"\xef\xbb\xbf" + text.replace(",", ", ").replace("\n", ",note\r\n").encode())
    (voyage / "truth.jsonl").write_text('\n{"file": "2.png", "label": "a\u2028b"}\n\n', encoding="utf-8")
    frames = list(open_recording(voyage).frames())
    assert [frame.file for frame in frames] == ["0.png", "1.png", "2.png", "3.png"]
    assert frames[2].truth == {"file": "2.png", "label": "a\u2028b"}


def test_a_photograph_on_its_side_has_the_size_that_everybody_will_see(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    (frame,) = open_recording(tmp_path).frames()
    assert (frame.info.width, frame.info.height) == (20, 40)
    assert images.decode(frame.data).shape == (40, 20, 3)


# Tracks


def track(*rows: tuple[float, float], name: str = "x") -> Track:
    return Track([t for t, _ in rows], {name: [value for _, value in rows]}, frozenset({"heading_deg", "lon"}))


def test_tracks_between_rows_and_on_them() -> None:
    line = track((0, 10), (1, 20), (3, 0))
    assert [line.at(t) for t in (0, 0.25, 1, 2, 3)] == [{"x": v} for v in (10, 12.5, 20, 10, 0)]


def test_nothing_is_known_in_a_gap_and_little_beyond_the_ends() -> None:
    line = track((0, 10), (2, 20), (4.5, 30))
    assert line.at(1.5) == {"x": 17.5}  # two seconds are no gap
    assert line.at(2.1) is None
    assert line.at(4.4) is None
    assert line.at(4.5) == {"x": 30}
    assert (line.at(-1.0), line.at(-1.01)) == ({"x": 10}, None)
    assert (line.at(5.5), line.at(5.51)) == ({"x": 30}, None)


@pytest.mark.parametrize(
    ("a", "b", "middle"),
    [(359, 1, 0), (1, 359, 0), (350, 20, 5), (20, 350, 5), (10, 20, 15), (720, 2, 1)],
)
def test_headings_go_the_short_way_round(a: float, b: float, middle: float) -> None:
    found = track((0, a), (1, b), name="heading_deg").at(0.5)
    assert found is not None
    assert (found["heading_deg"] - middle + 180) % 360 - 180 == pytest.approx(0)


@pytest.mark.parametrize(
    ("a", "b", "middle"), [(179.9, -179.7, -179.9), (-179.7, 179.9, -179.9), (179.6, -179.8, 179.9), (-10, 10, 0)]
)
def test_longitudes_cross_the_antimeridian(a: float, b: float, middle: float) -> None:
    found = track((0, a), (1, b), name="lon").at(0.5)
    assert found is not None
    assert found["lon"] == pytest.approx(middle)


@given(st.floats(-720, 720), st.floats(-720, 720), st.floats(0, 1))
def test_a_heading_never_swings_more_than_the_turn(a: float, b: float, share: float) -> None:
    found = track((0, a), (1, b), name="heading_deg").at(share)
    assert found is not None
    turn = abs((b - a + 180) % 360 - 180)
    swing = abs((found["heading_deg"] - a + 180) % 360 - 180)
    assert swing <= turn + 1e-9


@given(st.floats(-180, 180), st.floats(-180, 180), st.floats(0, 1))
def test_a_longitude_stays_one(a: float, b: float, share: float) -> None:
    found = track((0, a), (1, b), name="lon").at(share)
    assert found is not None
    assert -180 <= found["lon"] <= 180


def test_rows_of_a_sensor_may_come_out_of_order(voyage: Path) -> None:
    before = infos(open_recording(voyage))
    header, *rows = (voyage / "imu.csv").read_text().splitlines()
    (voyage / "imu.csv").write_text("\n".join([header, *reversed(rows)]))
    assert infos(open_recording(voyage)) == before


# Folders of photographs


def photograph(path: Path, taken: str | None = None, offset: str | None = None) -> None:
    exif = Image.Exif()
    details = exif.get_ifd(0x8769)
    if taken is not None:
        details[0x9003] = taken
    if offset is not None:
        details[0x9011] = offset
    Image.new("RGB", SIZE).save(path, exif=exif)


def stamps(path: Path) -> list[tuple[str, float]]:
    return [(frame.file, frame.info.t_utc) for frame in open_recording(path).frames()]


def test_photographs_are_stamped_by_their_dates(tmp_path: Path) -> None:
    photograph(tmp_path / "a.jpg", "2026:06:01 09:00:05")
    photograph(tmp_path / "b.JPEG", "2026:06:01 09:00:00")
    photograph(tmp_path / "c.jpg", "2026:06:01 11:00:02", "+02:00")
    assert stamps(tmp_path) == [("b.JPEG", START), ("c.jpg", START + 2), ("a.jpg", START + 5)]


@pytest.mark.parametrize(
    "other", [None, "2026:06:01 09:00:00", "0000:00:00 00:00:00", "yesterday", "1969:12:31 23:59:59"]
)
def test_without_a_date_of_its_own_for_each_they_are_a_second_apart(tmp_path: Path, other: str | None) -> None:
    photograph(tmp_path / "b.jpg", "2026:06:01 09:00:00")
    photograph(tmp_path / "a.jpg", other)
    assert stamps(tmp_path) == [("a.jpg", 0.0), ("b.jpg", 1.0)]
    (tmp_path / "gps.csv").write_text(f"t_s,lat,lon\n{START + 9},1,2\n{START + 10},2,3\n")
    assert stamps(tmp_path) == [("a.jpg", START + 9), ("b.jpg", START + 10)]


def test_photographs_with_sensors_beside_them_have_poses(tmp_path: Path) -> None:
    for second in (0, 1):
        photograph(tmp_path / f"{second}.jpg", f"2026:06:01 09:00:0{second}")
    (tmp_path / "gps.csv").write_text(f"t_s,lat,lon,accuracy_m\n{START - 1},1,179.9,3\n{START + 1},3,-179.9,5\n")
    (tmp_path / "imu.csv").write_text(
        f"t_s,roll_deg,pitch_deg,heading_deg\n{START - 0.5},0,2,359\n{START + 0.5},4,0,1\n"
    )
    recording = open_recording(tmp_path)
    assert recording.manifest.name == tmp_path.name
    pose = infos(recording)[0].pose
    assert pose is not None
    assert (pose.lat, abs(pose.lon or 0), pose.position_unc_m) == (2.0, 180.0, 4.0)
    assert pose.attitude is not None
    assert (pose.attitude.roll_deg, pose.attitude.pitch_deg, pose.attitude.heading_deg) == (2.0, 1.0, 0.0)


def test_only_images_count_and_a_camera_folder_goes_first(tmp_path: Path) -> None:
    (tmp_path / "camera").mkdir()
    photograph(tmp_path / "camera" / "a.jpg")
    photograph(tmp_path / "aside.jpg")
    (tmp_path / "camera" / "._a.jpg").write_bytes(b"what a Mac leaves on a card")
    (tmp_path / "camera" / "notes.txt").write_text("calm sea")
    (tmp_path / "camera" / "b.jpg").mkdir()
    recording = open_recording(tmp_path)
    assert [frame.file for frame in recording.frames()] == ["a.jpg"]
    assert recording.skipped == []


# What cannot be read


def test_a_bad_image_in_the_middle_is_skipped_and_counted(voyage: Path) -> None:
    good = infos(open_recording(voyage))
    whole = picture(50)
    for bad, said in (
        (b"", "empty"),
        (whole[:60], "truncated or damaged"),
        (b"GIF89a" + whole, "no image we accept"),
        (picture(50, (24, 32)), "expected 32 x 24, got 24 x 32"),
    ):
        (voyage / "camera" / "1.png").write_bytes(bad)
        recording = open_recording(voyage)
        assert infos(recording) == [good[0], *good[2:]]
        assert len(recording.skipped) == 1
        assert recording.skipped[0].startswith("1.png: ")
        assert said in recording.skipped[0]
    (voyage / "camera" / "1.png").unlink()
    recording = open_recording(voyage)
    assert len(list(recording.frames())) == 3
    assert len(list(recording.frames())) == 3
    assert len(recording.skipped) == 1  # counted anew each time


def test_an_image_over_the_limit_is_skipped(voyage: Path) -> None:
    recording = open_recording(voyage)
    recording.max_pixels = 32 * 24 - 1
    with pytest.raises(RecordingError, match=r"not one image can be used .*too large"):
        list(recording.frames())
    assert len(recording.skipped) == 4


def test_when_all_are_bad_the_first_reason_is_given(voyage: Path) -> None:
    for file in (voyage / "camera").iterdir():
        file.write_bytes(b"no image")
    assert refused(voyage).startswith(
        "recording HERE: not one image can be used (got 0.png: this is no image we accept"
    )


def test_a_calibration_for_another_size_refuses_every_image(voyage: Path) -> None:
    write_manifest(voyage, camera={"calibration": CALIBRATION | {"width": 64}})
    assert "not as the calibration says (expected 64 x 24, got 32 x 24)" in refused(voyage)


@pytest.mark.parametrize("name", ["absent", "x" * 300, "a\0b", "file.txt/sub"])
def test_recordings_that_are_not_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(RecordingError, match="does not exist"):
        open_recording(tmp_path / name)


def test_what_is_no_folder_or_holds_no_images(tmp_path: Path) -> None:
    (tmp_path / "file.mp4").write_bytes(b"video")
    with pytest.raises(RecordingError, match=r"is no folder .*a folder with recording.yaml or images"):
        open_recording(tmp_path / "file.mp4")
    with pytest.raises(RecordingError, match=r"holds no images .*JPEG, PNG or WebP"):
        open_recording(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"frames": 3}, "recording.yaml: unknown key frames"),
        ({"nam": "x"}, "recording.yaml: unknown key nam. Did you mean name?"),
        ({"camera": {"calibration": CALIBRATION | {"focal": 1}}}, "unknown key camera.calibration.focal"),
        ({"camera": {"rate": 1}}, "unknown key camera.rate. Did you mean rate_hz?"),
        ({"schema_version": 2}, "recording.yaml: schema_version: Input should be 1 (got 2)"),
        ({"name": None}, "recording.yaml: name: Input should be a valid string"),
        ({"vehicle": "boat/7"}, "recording.yaml: vehicle: "),
        ({"camera": "bow"}, "recording.yaml: camera: "),
        ({"camera": {"calibration": CALIBRATION | {"fx": "wide"}}}, "camera.calibration.fx: "),
        ({"camera": {"calibration": CALIBRATION | {"cx": float("nan")}}}, "camera.calibration.cx: "),
        ({"camera": {"calibration": {"width": 32}}}, "camera.calibration.height: Field required"),
        ({"clock": {"uncertainty_s": -1}}, "clock.uncertainty_s: "),
        ({"imu": "../imu.csv"}, "recording.yaml: imu: must lie in the recording's folder"),
        ({"gps": "/etc/passwd"}, "recording.yaml: gps: must lie in the recording's folder"),
        ({"truth": "a/../../b"}, "recording.yaml: truth: must lie in the recording's folder"),
        ({"imu": "a\0b"}, "recording.yaml: imu: must lie in the recording's folder"),
        ({"camera": {"images": ".."}}, "recording.yaml: camera.images: must lie in the recording's folder"),
        ({"camera": {"index": ""}}, "recording.yaml: camera.index: must lie in the recording's folder"),
        ({"imu": "nothing.csv"}, "nothing.csv cannot be read"),
        ({"gps": "camera"}, "camera cannot be read (got [Errno 21] Is a directory"),
        ({"truth": "nothing.jsonl"}, "nothing.jsonl cannot be read"),
        ({"camera": {"index": "nothing.csv"}}, "nothing.csv cannot be read"),
    ],
)
def test_bad_manifests(voyage: Path, changes: dict[str, Any], said: str) -> None:
    write_manifest(voyage, **changes)
    assert said in refused(voyage)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "recording.yaml is empty or no mapping"),
        (b"- 1\n", "recording.yaml is empty or no mapping"),
        (b"name: [\n", "recording.yaml:2:1: not YAML"),
        (b"\xff\xfe\x00", "recording.yaml cannot be read"),
        (b"\x89PNG\r\n\x1a\n", "recording.yaml cannot be read"),
        (b"vehicle: boat\n", "recording.yaml: name: Field required"),
    ],
)
def test_manifests_that_are_none(voyage: Path, text: bytes, said: str) -> None:
    (voyage / "recording.yaml").write_bytes(text)
    assert said in refused(voyage)


def test_a_manifest_that_is_a_folder(voyage: Path) -> None:
    (voyage / "recording.yaml").unlink()
    (voyage / "recording.yaml").mkdir()
    assert "recording.yaml cannot be read" in refused(voyage)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "camera.csv:1: column t_s is missing (expected t_s,file)"),
        ("t_s,image\n1,0.png\n", "camera.csv:1: column file is missing"),
        ("t_s,file\n", "camera.csv: no rows"),
        ("t_s,file\n1,0.png\n2\n", "camera.csv:3: the row is cut off (expected t_s,file)"),
        ("t_s,file\n1,0.png\nnoon,1.png\n", "camera.csv:3: t_s is no number (got 'noon')"),
        ("t_s,file\nnan,0.png\n", "camera.csv:2: t_s is no number"),
        ("t_s,file\ninf,0.png\n", "camera.csv:2: t_s is no number"),
        ("t_s,file\n-1,0.png\n", "camera.csv:2: t_s is out of bounds"),
        ("t_s,file\n1e18,0.png\n", "camera.csv:2: t_s is out of bounds"),
        ("t_s,file\n2,0.png\n1,1.png\n", "camera.csv:3: time does not go forward (expected more than 2.0, got 1.0)"),
        ("t_s,file\n2,0.png\n2,1.png\n", "camera.csv:3: time does not go forward"),
        ("t_s,file\n1,../secret.png\n", "camera.csv:2: no image file of this recording (expected the name"),
        ("t_s,file\n1,/etc/passwd\n", "camera.csv:2: no image file of this recording"),
        ("t_s,file\n1,sub/0.png\n", "camera.csv:2: no image file of this recording"),
        ("t_s,file\n1,..\n", "camera.csv:2: no image file of this recording"),
        ("t_s,file\n1,.\n", "camera.csv:2: no image file of this recording"),
        ("t_s,file\n1,\n", "camera.csv:2: no image file of this recording"),
        ("t_s,file\n1,a\0b.png\n", "camera.csv"),
        ("t_s,file\n1," + "x" * 200_000, "camera.csv cannot be read (got field larger than field limit"),
        ("t_s,file\n1," + "x" * 300, "not one image can be used"),
    ],
    ids=range(20),
)  # fmt: skip
def test_bad_indexes(voyage: Path, text: str, said: str) -> None:
    (voyage / "camera.csv").write_text(text)
    assert said in refused(voyage)


IMU = "t_s,roll_deg,pitch_deg,heading_deg\n"


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("imu.csv", "", "imu.csv:1: column t_s is missing"),
        ("imu.csv", "t_s,roll_deg,pitch_deg\n1,2,3\n", "imu.csv:1: column heading_deg is missing"),
        ("imu.csv", IMU, "imu.csv: no rows"),
        ("imu.csv", IMU + "1,2,3,4\n2,3\n", "imu.csv:3: the row is cut off"),
        ("imu.csv", IMU + "1,2,x,4\n", "imu.csv:2: pitch_deg is no number (got 'x')"),
        ("imu.csv", IMU + "1,200,3,4\n", "imu.csv:2: roll_deg is out of bounds (expected -180"),
        ("imu.csv", IMU + "1,2,-91,4\n", "imu.csv:2: pitch_deg is out of bounds"),
        ("imu.csv", IMU + "1,2,3,nan\n", "imu.csv:2: heading_deg is no number"),
        ("gps.csv", "t_s,lat\n1,2\n", "gps.csv:1: column lon is missing"),
        ("gps.csv", "t_s,lat,lon\n1,91,2\n", "gps.csv:2: lat is out of bounds (expected -90 to 90, got 91)"),
        ("gps.csv", "t_s,lat,lon\n1,2,181\n", "gps.csv:2: lon is out of bounds"),
        ("gps.csv", "t_s,lat,lon\n1,,2\n", "gps.csv:2: lat is no number (got '')"),
        ("gps.csv", "t_s,lat,lon,accuracy_m\n1,2,3,4\n2,3,4\n", "gps.csv:3: the row is cut off (expected t_s,"),
        ("gps.csv", "t_s,lat,lon,accuracy_m\n1,2,3,-4\n", "gps.csv:2: accuracy_m is out of bounds (expected 0 to inf"),
        ("truth.jsonl", "{\n", "truth.jsonl:1: no line of truth"),
        ("truth.jsonl", '{"file": "1.png"}\n{"objects": []}\n', "truth.jsonl:2: no line of truth"),
        ("truth.jsonl", "[]\n", "truth.jsonl:1: no line of truth"),
        ("truth.jsonl", '{"file": [1]}\n', "truth.jsonl:1: no line of truth"),
        ("truth.jsonl", "[" * 100_000, "truth.jsonl:1: no line of truth"),
    ],
    ids=range(19),
)  # fmt: skip
def test_bad_sensor_files(voyage: Path, file: str, text: str, said: str) -> None:
    (voyage / file).write_text(text)
    assert said in refused(voyage)


@pytest.mark.parametrize("file", ["camera.csv", "imu.csv", "gps.csv", "truth.jsonl"])
def test_files_that_are_no_text(voyage: Path, file: str) -> None:
    (voyage / file).write_bytes(b"\xff\xfet\x00_\x00s\x00")
    assert f"{file} cannot be read" in refused(voyage)
    (voyage / file).unlink()
    assert f"{file} cannot be read" in refused(voyage)


@pytest.mark.parametrize("file", ["gps.csv", "imu.csv"])
def test_bad_sensors_beside_photographs(tmp_path: Path, file: str) -> None:
    photograph(tmp_path / "a.jpg")
    (tmp_path / file).write_text("t_s\n")
    assert refused(tmp_path).startswith(f"{file}:1: column ")


FILES = ("recording.yaml", "camera.csv", "imu.csv", "gps.csv", "truth.jsonl", "camera/1.png")


@pytest.mark.parametrize("file", FILES)
def test_whatever_one_file_holds_it_is_one_error_or_a_recording(voyage: Path, file: str) -> None:
    rng = np.random.default_rng(FILES.index(file))
    whole = (voyage / file).read_bytes()

    def flip(data: bytearray) -> None:
        data[rng.integers(len(data))] = rng.integers(256)

    def cut(data: bytearray) -> None:
        del data[rng.integers(len(data)) :]

    def repeat(data: bytearray) -> None:
        at = rng.integers(len(data))
        data[at:at] = data[: rng.integers(len(data))]

    changes: tuple[Callable[[bytearray], None], ...] = (flip, flip, cut, repeat)
    for _ in range(40):
        data = bytearray(whole)
        changes[rng.integers(len(changes))](data)
        (voyage / file).write_bytes(data)
        with contextlib.suppress(RecordingError):
            recording = open_recording(voyage)
            good = list(recording.frames())
            assert len(good) + len(recording.skipped) == len(recording)
            assert json.dumps([frame.info.model_dump(mode="json") for frame in good], allow_nan=False)

"""Recorded sensor feeds in folders: camera images with stamps, and where there is one an IMU and a GPS track.

    recording.yaml    what is where (`recording_schema()` is its published JSON Schema)
    camera/*.jpg      the images            camera.csv   t_s,file
    imu.csv           t_s,roll_deg,pitch_deg,heading_deg
    gps.csv           t_s,lat,lon[,accuracy_m]
    truth.jsonl       what is really there, for rendered recordings

Times are seconds since 1970-01-01, UTC.  No path may lead out of the folder.

A folder of photographs without a `recording.yaml` is a recording too: images in the order of their names, stamped by
their EXIF date or one a second, with `gps.csv` and `imu.csv` beside them where there are any.  A single photograph is
a recording of one frame.
"""

from __future__ import annotations

import bisect
import csv
import io
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from PIL import Image
from pydantic import AfterValidator, Field

from . import images
from .camera import Attitude, Calibration, Strict
from .config import parse_config, read_yaml
from .errors import ImageError, RecordingError
from .ids import blob_id
from .types import FrameInfo, Id, Pose

MAX_GAP_S = 2.0
"""Pose is interpolated over gaps up to this; over longer ones it is unknown."""
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_EXIF_DATE, _EXIF_OFFSET = 0x9003, 0x9011
_END_OF_TIME = 253402300799.0
_BOUNDS = {
    "t_s": (0.0, _END_OF_TIME),
    "lat": (-90.0, 90.0),
    "lon": (-180.0, 180.0),
    "accuracy_m": (0.0, math.inf),
    "roll_deg": (-180.0, 180.0),
    "pitch_deg": (-90.0, 90.0),
}


def _inside(path: str) -> str:
    if not path or "\0" in path or Path(path).is_absolute() or ".." in Path(path).parts:
        raise ValueError("must lie in the recording's folder")
    return path


Inside = Annotated[str, AfterValidator(_inside)]
"""A path relative to the recording, that does not leave it."""


class Origin(Strict):
    """Where a recording comes from."""

    kind: Literal["rendered", "recorded"]
    renderer: str = ""
    seed: int | None = None
    note: str = ""


class CameraEntry(Strict):
    """The camera of a recording."""

    id: Id = "front"
    images: Inside = "camera"
    """folder of the images"""
    index: Inside = "camera.csv"
    """which image was taken when"""
    rate_hz: Annotated[float, Field(gt=0, le=1000)] = 1.0
    calibration: Calibration | None = None


class ClockEntry(Strict):
    """Which clock stamped the images."""

    source: str = "system"
    uncertainty_s: Annotated[float, Field(ge=0, le=1e6)] = 0.0


class Manifest(Strict):
    """`recording.yaml`."""

    schema_version: Literal[1] = 1
    name: str
    description: str = ""
    origin: Origin = Origin(kind="recorded")
    vehicle: Id = "boat-1"
    camera: CameraEntry = CameraEntry()
    imu: Inside | None = None
    gps: Inside | None = None
    truth: Inside | None = None
    clock: ClockEntry = ClockEntry()


@dataclass(frozen=True)
class RecordedFrame:
    """One image as it was recorded; `data` is its encoded bytes, `truth` what is known to be in it."""

    info: FrameInfo
    data: bytes
    file: str
    truth: dict[str, Any] | None = None


@dataclass
class Track:
    """Rows of numbers by time; `at(t)` interpolates, angles over the short way round."""

    times: list[float]
    columns: dict[str, list[float]]
    angles: frozenset[str] = frozenset()

    def at(self, t: float) -> dict[str, float] | None:
        """Each column at time `t`, or None outside the track or in a gap."""
        right = bisect.bisect_left(self.times, t)
        if right < len(self.times) and self.times[right] == t:
            return {name: column[right] for name, column in self.columns.items()}
        nearest = min((abs(self.times[i] - t), i) for i in (right - 1, right) if 0 <= i < len(self.times))
        if right in (0, len(self.times)):
            return {n: c[nearest[1]] for n, c in self.columns.items()} if nearest[0] <= MAX_GAP_S / 2 else None
        before, after = self.times[right - 1], self.times[right]
        if after - before > MAX_GAP_S:
            return None
        share = (t - before) / (after - before)
        return {name: self._mix(name, c[right - 1], c[right], share) for name, c in self.columns.items()}

    def _mix(self, name: str, a: float, b: float, share: float) -> float:
        if name not in self.angles:
            return a + (b - a) * share
        turned = a + (((b - a + 180) % 360) - 180) * share
        if name == "lon" and not -180 <= turned <= 180:  # over the antimeridian
            return (turned + 180) % 360 - 180
        return turned


@dataclass
class Recording:
    """An opened recording.  Frames are read one at a time; bad ones are counted in `skipped` and left out."""

    path: Path
    manifest: Manifest
    index: list[tuple[float, Path]]
    """stamp and image file, in time order"""
    imu: Track | None = None
    gps: Track | None = None
    truth: dict[str, dict[str, Any]] = field(default_factory=dict)
    """by image file name"""
    max_pixels: int = 40_000_000
    limit: int | None = None
    """so many good frames are read; None: all"""
    skipped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def can_range(self) -> bool:
        """Whether distances can be had from the horizon: there is a calibration and an IMU."""
        return self.manifest.camera.calibration is not None and self.imu is not None

    def frames(self) -> Iterator[RecordedFrame]:
        """Every good frame in time order.

        :raises RecordingError: not one frame is good
        """
        self.skipped = []
        good = 0
        for sequence, (t_s, file) in enumerate(self.index):
            if good == self.limit:
                return
            try:
                frame = self._read(sequence, t_s, file)
            except (ImageError, OSError) as cause:
                reason = cause.strerror if isinstance(cause, OSError) else str(cause)
                self.skipped.append(f"{file.name}: {reason}")
                continue
            good += 1
            yield frame
        if not good:
            first = self.skipped[0] if self.skipped else "no images"
            raise RecordingError(f"recording {self.path}: not one image can be used", got=first)

    def _read(self, sequence: int, t_s: float, file: Path) -> RecordedFrame:
        data = file.read_bytes()
        height, width, _ = images.decode(data, max_pixels=self.max_pixels).shape  # upright, as everybody will see it
        calibration = self.manifest.camera.calibration
        if calibration is not None and (width, height) != (calibration.width, calibration.height):
            raise ImageError(
                "the image is not as the calibration says", expected=f"{calibration.width} x {calibration.height}",
                got=f"{width} x {height}",
            )  # fmt: skip
        info = FrameInfo(
            camera=self.manifest.camera.id,
            sequence=sequence,
            t_utc=t_s,
            t_unc_s=self.manifest.clock.uncertainty_s,
            clock_source=self.manifest.clock.source,
            blob=blob_id(data),
            width=width,
            height=height,
            pose=self._pose(t_s),
            calibration=calibration,
        )
        return RecordedFrame(info, data, file.name, self.truth.get(file.name))

    def _pose(self, t_s: float) -> Pose | None:
        fix = self.gps.at(t_s) if self.gps else None
        tilt = self.imu.at(t_s) if self.imu else None
        if fix is None and tilt is None:
            return None
        return Pose(
            lat=fix["lat"] if fix else None,
            lon=fix["lon"] if fix else None,
            position_unc_m=fix.get("accuracy_m") if fix else None,
            attitude=Attitude(
                roll_deg=tilt["roll_deg"],
                pitch_deg=tilt["pitch_deg"],
                heading_deg=tilt["heading_deg"] % 360 % 360,  # twice: a hair below 0 gives 360.0 at first
            )
            if tilt
            else None,
        )


def open_recording(path: Path) -> Recording:
    """Open a recording folder, or a single photograph.

    :raises RecordingError: missing, neither, no images, or a file of it cannot be read; says which, and the line
    """
    if not os.path.exists(path):  # pathlib's own raises for a name that is too long or a folder that is closed
        raise RecordingError(
            f"recording {path} does not exist",
            todo="Give a recording folder, or render one with `dicem scenes render`.",
        )
    if path.is_file() and path.suffix.lower() in _SUFFIXES:
        return Recording(path=path, manifest=Manifest(name=path.name), index=[(_exif_time(path) or 0.0, path)])
    if not path.is_dir():
        expected = "a folder with recording.yaml or images, or a JPEG, PNG or WebP file"
        raise RecordingError(f"recording {path} is no folder", expected=expected)
    if os.path.exists(path / "recording.yaml"):
        raw = read_yaml(path / "recording.yaml", error=RecordingError, what="recording")
        manifest = parse_config(Manifest, raw, where=str(path / "recording.yaml"), error=RecordingError)
        index = _camera_index(path, manifest)
    else:
        manifest = Manifest(
            name=path.name,
            gps="gps.csv" if os.path.exists(path / "gps.csv") else None,
            imu="imu.csv" if os.path.exists(path / "imu.csv") else None,
        )
        index = _photographs(path)
    if not index:
        raise RecordingError(f"recording {path} holds no images", expected="JPEG, PNG or WebP files")
    return Recording(
        path=path,
        manifest=manifest,
        index=index,
        imu=_track(path / manifest.imu, ("roll_deg", "pitch_deg", "heading_deg")) if manifest.imu else None,
        gps=_track(path / manifest.gps, ("lat", "lon"), optional=("accuracy_m",)) if manifest.gps else None,
        truth=_truth(path / manifest.truth) if manifest.truth else {},
    )


def recording_schema() -> dict[str, Any]:
    """The published JSON Schema of `recording.yaml`."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "$id": "https://dicem.io/recording-1.json", **Manifest.model_json_schema()}


def _camera_index(path: Path, manifest: Manifest) -> list[tuple[float, Path]]:
    rows = _rows(path / manifest.camera.index, ("t_s", "file"))
    folder = path / manifest.camera.images
    index = []
    last = -math.inf
    for line, row in rows:
        where = f"{path / manifest.camera.index}:{line}"
        t_s = _number(row, "t_s", where)
        if t_s <= last:
            raise RecordingError(f"{where}: time does not go forward", expected=f"more than {last}", got=str(t_s))
        if row["file"] in ("", "..") or "\0" in row["file"] or Path(row["file"]).name != row["file"]:
            raise RecordingError(
                f"{where}: no image file of this recording",
                expected=f"the name of a file in {manifest.camera.images}/",
                got=repr(row["file"])[:80],
            )
        last = t_s
        index.append((t_s, folder / row["file"]))
    return index


def _photographs(path: Path) -> list[tuple[float, Path]]:
    """Images by name; stamped by EXIF where every one has a date of its own, else one a second."""
    folder = path / "camera" if os.path.isdir(path / "camera") else path
    try:
        named = [f for f in folder.iterdir() if f.suffix.lower() in _SUFFIXES and not f.name.startswith(".")]
        files = sorted(f for f in named if f.is_file())
    except OSError as cause:
        raise RecordingError(f"{folder} cannot be read", got=str(cause)) from None
    dates = [_exif_time(file) for file in files]
    if files and all(d is not None for d in dates) and len(set(dates)) == len(dates):
        return sorted((d, f) for d, f in zip(dates, files, strict=True) if d is not None)
    gps = _track(path / "gps.csv", ("lat", "lon")) if os.path.exists(path / "gps.csv") else None
    start = gps.times[0] if gps else 0.0
    return [(start + i, file) for i, file in enumerate(files)]


def _exif_time(file: Path) -> float | None:
    """When it was taken; a camera that does not say its offset from UTC is taken to run on UTC."""
    try:
        with Image.open(io.BytesIO(file.read_bytes()), formats=("JPEG", "PNG", "WEBP")) as image:
            exif = image.getexif().get_ifd(0x8769)
        text = f"{exif.get(_EXIF_DATE)} {exif.get(_EXIF_OFFSET) or '+00:00'}"
        taken = datetime.strptime(text, "%Y:%m:%d %H:%M:%S %z").timestamp()
    except Exception:  # a photograph without a usable date is an ordinary one, whatever Pillow says of it
        return None
    return taken if 0 <= taken <= _END_OF_TIME else None


def _track(path: Path, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> Track:
    rows = _rows(path, ("t_s", *needed), optional)
    names = [*needed, *(name for name in optional if name in rows[0][1])]
    table: dict[float, list[float]] = {}
    for line, row in rows:
        where = f"{path}:{line}"
        table[_number(row, "t_s", where)] = [_number(row, name, where) for name in names]
    times = sorted(table)
    columns = {name: [table[t][i] for t in times] for i, name in enumerate(names)}
    return Track(times, columns, frozenset({"heading_deg", "lon"}))


def _rows(path: Path, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with their line numbers."""
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")), skipinitialspace=True)
        missing = [name for name in needed if name not in (reader.fieldnames or ())]
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise RecordingError(f"{path} cannot be read", got=str(cause)) from None
    if missing:
        raise RecordingError(f"{path}:1: column {missing[0]} is missing", expected=",".join(needed))
    if not rows:
        raise RecordingError(f"{path}: no rows", expected="at least one")
    used = [*needed, *(name for name in optional if name in rows[0][1])]
    for line, row in rows:
        if any(row[name] is None for name in used):
            raise RecordingError(f"{path}:{line}: the row is cut off", expected=",".join(used))
    return rows


def _number(row: dict[str, str], name: str, where: str) -> float:
    try:
        value = float(row[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RecordingError(f"{where}: {name} is no number", got=repr(row[name])[:40])
    low, high = _BOUNDS.get(name, (-math.inf, math.inf))
    if not low <= value <= high:
        raise RecordingError(f"{where}: {name} is out of bounds", expected=f"{low:g} to {high:g}", got=row[name][:40])
    return value


def _truth(path: Path) -> dict[str, dict[str, Any]]:
    truth = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # a JSON string may hold what splitlines splits at
    except (OSError, UnicodeDecodeError) as cause:
        raise RecordingError(f"{path} cannot be read", got=str(cause)) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            truth[entry["file"]] = entry
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RecordingError(f"{path}:{number}: no line of truth", expected='{"file", "objects", ...}') from None
    return truth

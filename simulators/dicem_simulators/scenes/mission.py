"""A recording of a voyage: a boat on a track, objects at fixed places, camera, IMU and GPS, and the truth.

The mix of frames (empty water, only far objects, near litter) is fixed before anything is drawn: the voyage is planned
as legs that hold exactly so many frames of each, and searched, from the seed, for headings at which nothing else
comes into view.  Empty frames show no object at all; in far frames all objects lie beyond `FAR_LIMIT_M`; in near frames
the nearest object is litter within `NEAR_LIMIT_M`; the nearest is never between the two limits, so that no label hangs
on a centimetre.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image

from dicem_shared.camera import Attitude
from dicem_shared.errors import ConfigError, RecordingError
from dicem_simulators.scenes.objects import LITTER, SceneObject, random_object
from dicem_simulators.scenes.render import CAMERA, SPECK_PX, Lens, Scene, Truth, take
from dicem_simulators.scenes.water import Weather, make_sea, random_weather

NEAR_LIMIT_M = 4.5
FAR_LIMIT_M = 5.5
MEETING_FRAMES = (4.6, 6.0, 8.0, 11.0, 15.0)
"""Frames of a meeting, on average; what is tried first stands first."""
LONG = 150
"""Frames beyond which what was met is taken out of the water behind the boat: else it would be met again."""
START_S = 1780304400.0
"""2026-06-01T09:00:00Z"""
_SPEED = 2.0
"""metres a second under way"""
_TURN = 55.0
"""degrees that the boat turns between two frames at most; it turns on the spot"""
_ORIGIN = (43.2700, 5.3200)
_METRES_PER_DEGREE = 111_320.0

MAX_VOYAGES = 8
"""Plans that are rendered before a recording is given up: waves and tilt can hide what a plan counts on."""

Progress = Callable[[int, int], None]


class _NotAsPlannedError(RecordingError):
    """A rendered frame is not what its plan says."""


@dataclass(frozen=True)
class Mix:
    """Shares of the frames; they add up to 1."""

    empty: float = 0.60
    far: float = 0.25
    near: float = 0.15

    def counts(self, frames: int) -> tuple[int, int, int]:
        """Frames of empty water, of far objects only, and of near litter; `ConfigError` if no voyage can hold them."""
        far, near = round(frames * self.far), round(frames * self.near)
        empty = frames - far - near
        shares = (self.empty, self.far, self.near)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ConfigError("the mix cannot be used", expected="three shares that add up to 1", got=str(shares))
        if empty < 3 or (near and empty * 2.2 < near):
            raise ConfigError(
                "the mix leaves too little empty water to turn in",
                expected="at least 3 empty frames, and one for every two near ones",
                got=f"{empty} empty and {near} near of {frames} frames",
                todo="Raise `empty` or `frames`.",
            )
        return empty, far, near


@dataclass(frozen=True)
class Stand:
    """Where the boat is at one frame, and what the frame must show."""

    north_m: float
    east_m: float
    heading_deg: float
    label: str


@dataclass(frozen=True)
class Placed:
    """An object at a fixed place on the water, until the boat has picked it up."""

    north_m: float
    east_m: float
    item: SceneObject
    until: int | None = None
    """the first frame in which it is gone"""
    since: int = 0
    """the first frame in which it is there"""


@dataclass(frozen=True)
class Leg:
    """Frames of empty water, then of far objects, then of near litter."""

    empty: int
    far: int
    near: int


def plan_legs(rng: np.random.Generator, counts: tuple[int, int, int], crowded: int = 0) -> list[Leg]:
    """Legs that hold exactly `counts` frames (empty, far, near), in a random order; the last one is empty water.

    `crowded` skips so many of the shorter meetings: fewer, longer ones leave more room to turn in between.
    """
    empty, far, near = counts
    encounters: list[tuple[int, int]] = []
    for size in MEETING_FRAMES[crowded:]:  # frames of a meeting: longer ones where there is little room to turn
        near_legs = max(1, round(near / size)) if near else 0
        approach = min(3, far // (2 * near_legs)) if near_legs else 0
        left = far - approach * near_legs
        far_legs = max(1, round(left / size)) if left else 0
        encounters = [(approach, n) for n in _split(near, near_legs)] + [(f, 0) for f in _split(left, far_legs)]
        if 3 * (len(encounters) + 1) <= empty:
            break
    order = rng.permutation(len(encounters))
    gaps = _split(empty, len(encounters) + 1)
    spare = [g - 2 for g in gaps]
    for _ in range(2 * len(gaps)):  # uneven gaps look less like a machine
        a, b = rng.integers(len(gaps)), rng.integers(len(gaps))
        moved = int(rng.integers(0, max(spare[a] // 3, 0) + 1))
        spare[a] -= moved
        spare[b] += moved
    gaps = [s + 2 for s in spare]
    legs = [Leg(gaps[i], *encounters[k]) for i, k in enumerate(order)]
    return [*legs, Leg(gaps[-1], 0, 0)]


def _split(total: int, parts: int) -> list[int]:
    return [total // parts + (i < total % parts) for i in range(parts)] if parts else []


@dataclass(frozen=True)
class Voyage:
    """A track and what floats along it."""

    stands: list[Stand]
    placed: list[Placed]


def plan_voyages(seed: int, frames: int, mix: Mix, reach_m: float) -> Iterator[Voyage]:
    """Voyages of `frames` frames whose labels are those of `mix`; objects beyond `reach_m` are out of sight."""
    counts = mix.counts(frames)
    for attempt in range(300):
        rng = np.random.default_rng([seed, attempt])
        legs = plan_legs(rng, counts, min(attempt // 30, len(MEETING_FRAMES) - 1))
        voyage = _try_voyage(rng, legs, reach_m, passing=frames > LONG)
        if voyage is not None:
            yield voyage


def plan_voyage(seed: int, frames: int, mix: Mix, reach_m: float) -> Voyage:
    """The first of `plan_voyages`; `RecordingError` if there is none."""
    for voyage in plan_voyages(seed, frames, mix, reach_m):
        return voyage
    raise RecordingError(
        "no voyage was found that shows this mix", got=f"{mix} over {frames} frames", todo="Try another seed."
    )


def _try_voyage(rng: np.random.Generator, legs: list[Leg], reach_m: float, passing: bool) -> Voyage | None:
    """A track leg by leg; None where one does not fit.  `passing`: each leg's objects are afloat in that leg alone."""
    course = float(rng.uniform(0, 360))
    stands = [Stand(0.0, 0.0, course, "empty")]
    placed: list[Placed] = []
    for index, leg in enumerate(legs):
        for _ in range(150):
            found = _try_leg(rng, stands, leg, first=index == 0)
            before = stands if index else []
            afloat = [p for p in placed if p.until is None]
            if _in_order([] if passing else before, found.stands, afloat, found.placed, reach_m):
                stands = before + found.stands
                met = [replace(p, since=len(before), until=len(stands)) if passing else p for p in found.placed]
                placed = placed + met
                break
        else:
            return None
    return Voyage(stands, placed)


def _try_leg(rng: np.random.Generator, stands: list[Stand], leg: Leg, first: bool) -> Voyage:
    """One random continuation of the track: transit, turn in, meet."""
    last = stands[-1]
    north, east, heading = last.north_m, last.east_m, last.heading_deg
    middle = heading + float(rng.uniform(-150, 150))  # swing out, run, and turn in to what is met
    onto = middle + float(rng.choice([-1, 1])) * float(rng.uniform(42, 110))
    track: list[Stand] = []
    for i in range(leg.empty):
        turn = float(np.clip(middle - heading, -_TURN, _TURN))
        if abs(onto - heading - turn) > (leg.empty - i) * _TURN:  # time to turn in: the last step is the meeting's own
            turn = float(np.clip(onto - heading, -_TURN, _TURN))
        heading += turn
        pace = (_SPEED if abs(turn) < 12 else 0.5) * (0 if first and not i else 1)
        north, east = north + pace * math.cos(math.radians(heading)), east + pace * math.sin(math.radians(heading))
        track.append(Stand(north, east, heading, "empty"))
    if not leg.far + leg.near:
        return Voyage(track, [])
    heading = heading + float(np.clip(onto - heading, -_TURN, _TURN))
    dn, de = math.cos(math.radians(heading)), math.sin(math.radians(heading))
    aheads = _approach(rng, leg)
    for i, ahead in enumerate(aheads):
        step = aheads[i - 1] - ahead if i else 0.5
        north, east = north + step * dn, east + step * de
        track.append(Stand(north, east, heading, "far" if i < leg.far else "near"))
    back = aheads[-1]
    items = _company(rng, leg, aheads[0], back)
    taken = len(track) + (0 if first else len(stands))
    found = []
    for k, item in enumerate(items):
        a, s = item.ahead_m - aheads[0] + back, item.starboard_m
        until = taken if leg.near and not k else None
        found.append(Placed(north + a * dn - s * de, east + a * de + s * dn, item, until))
    return Voyage(track, found)


def _approach(rng: np.random.Generator, leg: Leg) -> list[float]:
    """Metres ahead of the nearest object, frame by frame: at speed while it is far, slowly once it is near."""
    if not leg.near:
        start = float(rng.uniform(7.5, 20)) + _SPEED * leg.far
        return [start - _SPEED * i for i in range(leg.far)]
    near = [float(d) for d in np.linspace(4.2, float(rng.uniform(2.7, 3.0)), leg.near)]
    edge = near[0] + float(rng.uniform(1.7, 2.3))
    return [edge + _SPEED * i for i in reversed(range(leg.far))] + near


def _company(rng: np.random.Generator, leg: Leg, first: float, last: float) -> list[SceneObject]:
    """Objects of one meeting, in metres ahead and to starboard of its first frame; the first is the nearest."""
    litter = sorted(LITTER)
    roomy = leg.empty >= 4
    if leg.near:
        items = [random_object(rng, str(rng.choice(litter)), first, float(rng.uniform(-0.45, 0.45)))]
        if roomy and rng.uniform() < 0.4:
            items.append(_beside(rng, str(rng.choice(litter)), first + float(rng.uniform(3.0, 9.0))))
        if roomy and rng.uniform() < 0.3:
            items.append(_beside(rng, "buoy", first - last + float(rng.uniform(9, 22))))
        return items
    kinds = [*litter, "buoy", "buoy", "boat"] if roomy else litter
    items = [_beside(rng, str(rng.choice(kinds)), first)]
    for _ in range(int(rng.integers(0, 3)) if roomy else 0):
        items.append(_beside(rng, str(rng.choice(kinds)), first + float(rng.uniform(1.5, 14))))
    return [replace(i, ahead_m=i.ahead_m + 10) if i.kind == "boat" else i for i in items]


def _beside(rng: np.random.Generator, kind: str, ahead: float) -> SceneObject:
    return random_object(rng, kind, ahead, float(rng.uniform(-0.18, 0.18)) * ahead)


def _relative(stand: Stand, thing: Placed) -> tuple[float, float]:
    """Metres ahead and to starboard of `thing` as seen from `stand`."""
    north, east = thing.north_m - stand.north_m, thing.east_m - stand.east_m
    c, s = math.cos(math.radians(stand.heading_deg)), math.sin(math.radians(stand.heading_deg))
    return north * c + east * s, -north * s + east * c


def _may_show(stand: Stand, thing: Placed, reach_m: float) -> bool:
    """Whether `thing` could be in the picture, on the safe side."""
    ahead, starboard = _relative(stand, thing)
    away = math.hypot(ahead, starboard)
    if away > reach_m or thing.item.length_m * CAMERA.fx / max(away, 0.1) < SPECK_PX:
        return False
    half_view = math.degrees(math.atan2(CAMERA.width / 2, CAMERA.fx))
    margin = math.degrees(0.6 * thing.item.length_m / max(away, 0.5)) + 3.5
    return abs(math.degrees(math.atan2(starboard, ahead))) < half_view + margin


def _in_order(
    before: Sequence[Stand],
    new: Sequence[Stand],
    old_things: Sequence[Placed],
    things: Sequence[Placed],
    reach_m: float,
) -> bool:
    """Whether nothing shows in an empty frame, and nothing but a meeting's own objects is closer than far."""
    return all(
        not _may_show(stand, thing, reach_m)
        or (stand.label != "empty" and (mine or math.hypot(*_relative(stand, thing)) > 9.0))
        for stands, group, mine in ((new, old_things, False), (before, things, False), (new, things, True))
        for stand in stands
        for thing in group
    )


@dataclass(frozen=True)
class Motion:
    """How the boat rolls, pitches and yaws: (degrees, seconds, phase) of a few sines each."""

    roll: npt.NDArray[np.float64]
    pitch: npt.NDArray[np.float64]

    @classmethod
    def random(cls, rng: np.random.Generator, chop: float) -> Motion:
        def sines(size: float) -> npt.NDArray[np.float64]:
            return np.stack([rng.uniform(0.3, 1, 3) * size, rng.uniform(2.2, 7.5, 3), rng.uniform(0, 6.3, 3)], axis=1)

        return cls(sines(0.6 + 1.2 * chop), sines(0.25 + 0.5 * chop))

    def at(self, t_s: float) -> tuple[float, float]:
        """Roll and pitch in degrees."""
        r, p = (float(np.sum(w[:, 0] * np.sin(2 * np.pi * t_s / w[:, 1] + w[:, 2]))) for w in (self.roll, self.pitch))
        return r, p


def fair_weather(rng: np.random.Generator) -> Weather:
    """A day on which one would go out to survey: a breeze, some clouds, a hazy horizon."""
    day = random_weather(rng, 0.3)
    return replace(
        day,
        chop=float(rng.uniform(0.25, 0.5)),
        visibility_m=260.0,
        clouds=float(rng.uniform(0.4, 0.8)),
        sky=str(rng.choice(["clear", "pale", "dawn"])),
        water=str(rng.choice(["blue", "green"])),
        shore=float(rng.uniform(0.8, 1.8)),
    )


def write_recording(
    folder: Path,
    seed: int,
    frames: int = 120,
    mix: Mix | None = None,
    quality: int = 85,
    *,
    rate_hz: float = 1.0,
    weather: Weather | None = None,
    name: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a rendered recording into `folder`, which must not exist; nothing is left behind if it fails.

    The same arguments give the same bytes.  Raises `RecordingError` (the folder exists, or no voyage shows this mix)
    and `ConfigError` (a mix that no voyage can hold).
    """
    folder = Path(folder)
    if folder.exists():
        raise RecordingError(f"{folder} exists already", todo="Name a new folder, or remove this one.")
    mix = mix or Mix()
    rng = np.random.default_rng([seed, 7])
    weather = weather or fair_weather(rng)
    part = folder.with_name(folder.name + ".part")
    for voyage in islice(plan_voyages(seed, frames, mix, weather.visibility_m), MAX_VOYAGES):
        shutil.rmtree(part, ignore_errors=True)
        try:
            (part / "camera").mkdir(parents=True)
            motion = Motion.random(rng, weather.chop)
            truths = _write_camera(part, voyage, weather, motion, seed, rate_hz, quality, progress)
            _write_truth(part, voyage, truths, rate_hz)
            _write_imu(part, voyage, motion, rng, rate_hz)
            _write_gps(part, voyage, rng, rate_hz)
            manifest = _manifest(name or folder.name, seed, mix, rate_hz)
            (part / "recording.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False, width=110))
            part.rename(folder)
            return
        except _NotAsPlannedError:
            continue
        finally:
            shutil.rmtree(part, ignore_errors=True)
    raise RecordingError(
        "no voyage was found that shows this mix", got=f"{mix} over {frames} frames", todo="Try another seed."
    )


def _manifest(name: str, seed: int, mix: Mix, rate_hz: float) -> dict[str, object]:
    shares = ", ".join(
        f"{100 * s:.0f} % {what}"
        for s, what in ((mix.empty, "empty water"), (mix.far, "only far objects"), (mix.near, "near litter"))
    )
    return {
        "schema_version": 1,
        "name": name,
        "description": f"A rendered voyage, not a real one: {shares}. The mix was fixed before anything was measured.",
        "origin": {"kind": "rendered", "renderer": "dicem scenes 1", "seed": seed},
        "vehicle": "demo-boat",
        "camera": {
            "id": "bow",
            "images": "camera",
            "index": "camera.csv",
            "rate_hz": rate_hz,
            "calibration": CAMERA.model_dump(mode="json"),
        },
        "imu": "imu.csv",
        "gps": "gps.csv",
        "truth": "truth.jsonl",
        "clock": {"source": "gps", "uncertainty_s": 0.05},
    }


def _write_camera(
    part: Path,
    voyage: Voyage,
    weather: Weather,
    motion: Motion,
    seed: int,
    rate_hz: float,
    quality: int,
    progress: Progress | None,
) -> list[list[Truth]]:
    sea = make_sea(weather)
    rows, all_truths = [], []
    for i, stand in enumerate(voyage.stands):
        t_s = i / rate_hz
        roll, pitch = motion.at(t_s)
        objects = []
        for thing in voyage.placed:
            if i < thing.since or (thing.until is not None and i >= thing.until):
                continue
            ahead, starboard = _relative(stand, thing)
            objects.append(replace(thing.item, ahead_m=ahead, starboard_m=starboard))
        attitude = Attitude(roll_deg=roll, pitch_deg=pitch, heading_deg=stand.heading_deg % 360)
        scene = Scene(
            weather, tuple(objects), attitude, lens=Lens(0.45, 1.6), east_m=stand.east_m, north_m=stand.north_m, t_s=t_s
        )
        picture = take(scene, seed * 100_003 + i, sea)
        _check(i, stand.label, picture.truths)
        Image.fromarray(picture.image).save(part / "camera" / f"{i:06d}.jpg", quality=quality)
        rows.append((f"{START_S + t_s:.3f}", f"{i:06d}.jpg"))
        all_truths.append(picture.truths)
        if progress:
            progress(i + 1, len(voyage.stands))
    _write_csv(part / "camera.csv", ("t_s", "file"), rows)
    return all_truths


def label(truths: Sequence[Truth]) -> str:
    """`empty`, `far`, `near`, or `between` for a frame that the mix has no place for."""
    if not truths:
        return "empty"
    nearest = min(truths, key=lambda t: t.distance_m)
    if nearest.distance_m > FAR_LIMIT_M and max(max(t.width, t.height) for t in truths) >= 3:
        return "far"
    return "near" if nearest.distance_m < NEAR_LIMIT_M and nearest.litter and nearest.visible > 0.5 else "between"


def _check(frame: int, wanted: str, truths: Sequence[Truth]) -> None:
    if label(truths) != wanted:
        raise _NotAsPlannedError(f"frame {frame} does not show what was planned", expected=wanted, got=label(truths))


def _write_truth(part: Path, voyage: Voyage, truths: list[list[Truth]], rate_hz: float) -> None:
    lines = []
    for i, (stand, seen) in enumerate(zip(voyage.stands, truths, strict=True)):
        line = {"frame": i, "file": f"{i:06d}.jpg", "t_s": START_S + i / rate_hz, "label": stand.label}
        lines.append(json.dumps({**line, "objects": [asdict(t) for t in seen]}))
    (part / "truth.jsonl").write_text("\n".join(lines) + "\n")


def _write_imu(part: Path, voyage: Voyage, motion: Motion, rng: np.random.Generator, rate_hz: float) -> None:
    frame_t = np.arange(len(voyage.stands)) / rate_hz
    heading = np.array([s.heading_deg for s in voyage.stands])
    rows = []
    for step in range(round(frame_t[-1] * 10) + 1):
        t_s = step / 10
        roll, pitch = motion.at(t_s)
        e = rng.normal(0, 0.15, 3)
        turned = (float(np.interp(t_s, frame_t, heading)) + e[2]) % 360
        rows.append((f"{START_S + t_s:.3f}", f"{roll + e[0]:.3f}", f"{pitch + e[1]:.3f}", f"{turned:.3f}"))
    _write_csv(part / "imu.csv", ("t_s", "roll_deg", "pitch_deg", "heading_deg"), rows)


def _write_gps(part: Path, voyage: Voyage, rng: np.random.Generator, rate_hz: float) -> None:
    frame_t = np.arange(len(voyage.stands)) / rate_hz
    north, east = (np.array([getattr(s, k) for s in voyage.stands]) for k in ("north_m", "east_m"))
    rows = []
    for second in range(int(frame_t[-1]) + 1):
        (n0, e0), (n1, e1) = (
            (float(np.interp(t, frame_t, north)), float(np.interp(t, frame_t, east)))
            for t in (second - 0.5, second + 0.5)
        )
        n, e = float(np.interp(second, frame_t, north)), float(np.interp(second, frame_t, east))
        n, e = n + rng.normal(0, 0.4), e + rng.normal(0, 0.4)
        lat = _ORIGIN[0] + n / _METRES_PER_DEGREE
        lon = _ORIGIN[1] + e / (_METRES_PER_DEGREE * math.cos(math.radians(_ORIGIN[0])))
        course = math.degrees(math.atan2(e1 - e0, n1 - n0)) % 360
        speed = math.hypot(n1 - n0, e1 - e0)
        rows.append(
            (
                f"{START_S + second:.3f}",
                f"{lat:.7f}",
                f"{lon:.7f}",
                f"{1.2 + rng.normal(0, 0.2):.2f}",
                f"{speed:.2f}",
                f"{course:.1f}",
                "1.0",
            )
        )
    _write_csv(part / "gps.csv", ("t_s", "lat", "lon", "alt_m", "speed_mps", "course_deg", "accuracy_m"), rows)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)

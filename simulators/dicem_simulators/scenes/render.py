"""From a scene to a picture and the truth about it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from dicem_shared.camera import Attitude, Calibration, camera_to_level, project
from dicem_simulators.scenes import water as sea_and_sky
from dicem_simulators.scenes.objects import KINDS, LITTER, SceneObject, random_object
from dicem_simulators.scenes.paint import View, extent, paint
from dicem_simulators.scenes.water import Plane, Sea, Weather, make_sea, random_weather

FAR_M = 200.0
"""Metres that stand for everything farther off, the sky included, in a map of distances."""

SPECK_PX = 2.0
"""Things shorter than this are not drawn."""

CAMERA = Calibration(width=640, height=480, fx=700, fy=700, cx=320, cy=240, height_m=1.2, mount_pitch_deg=-10)
"""The camera of the rendered scenes."""


@dataclass(frozen=True)
class Lens:
    """What the camera adds: blur (pixels), noise (of 255), exposure."""

    blur: float = 0.5
    noise: float = 2.5
    exposure: float = 1.0


@dataclass(frozen=True)
class Scene:
    """All there is to know before a picture is taken."""

    weather: Weather
    objects: tuple[SceneObject, ...] = ()
    attitude: Attitude = field(default_factory=Attitude)
    camera: Calibration = CAMERA
    lens: Lens = field(default_factory=Lens)
    east_m: float = 0.0
    north_m: float = 0.0
    t_s: float = 0.0
    waves: bool = True


@dataclass(frozen=True)
class Truth:
    """What is really there: one visible object. The box is tight on its visible pixels, from the frame's top left."""

    kind: str
    material: str
    colour: str
    litter: bool
    distance_m: float
    """horizontal, from below the camera to the waterline foot"""
    x: int
    y: int
    width: int
    height: int
    visible: float
    """share of the object's own pixels that are in the frame and not hidden"""


@dataclass(frozen=True)
class Picture:
    """A rendered frame: RGB (h, w, 3) uint8, its truths, and metres (h, w) to what each pixel shows."""

    image: npt.NDArray[np.uint8]
    truths: list[Truth]
    distance_m: Plane


def render(scene: Scene, seed: int, sea: Sea | None = None) -> tuple[npt.NDArray[np.uint8], list[Truth]]:
    """The picture (h, w, 3) uint8 RGB of `scene` and its truths, nearest first.

    `seed` is that of the sensor's noise.  `sea` saves making the same sea again for every frame of a recording.
    """
    picture = take(scene, seed, sea)
    return picture.image, picture.truths


def take(scene: Scene, seed: int, sea: Sea | None = None) -> Picture:
    """As `render`, with the map of distances."""
    canvas, distance = _backdrop(scene, sea or make_sea(scene.weather))
    ids = np.full(distance.shape, -1, dtype=np.int32)
    order = sorted(range(len(scene.objects)), key=lambda i: -_range(scene.objects[i]))
    own: dict[int, int] = {}
    for i in order:
        own[i] = _place(scene, scene.objects[i], i, canvas, distance, ids)
    truths = [t for i in reversed(order) if (t := _truth(scene.objects[i], ids == i, own[i])) is not None]
    return Picture(_expose(canvas, scene.lens, seed), truths, distance)


def _range(item: SceneObject) -> float:
    return math.hypot(item.ahead_m, item.starboard_m)


def _backdrop(scene: Scene, sea: Sea) -> tuple[Plane, Plane]:
    """Sky and water without objects, RGB in 0..1, and metres (h, w) to the water."""
    camera, weather = scene.camera, scene.weather
    m = camera_to_level(camera, scene.attitude)
    x = ((np.arange(camera.width, dtype=np.float64) + 0.5 - camera.cx) / camera.fx)[None, :]
    y = ((np.arange(camera.height, dtype=np.float64) + 0.5 - camera.cy) / camera.fy)[:, None]
    size = 1 / np.sqrt(x * x + y * y + 1)
    a, s, down = ((m[i, 0] * x + m[i, 1] * y + m[i, 2]) * size for i in range(3))
    a, s, down = a.astype(np.float32), s.astype(np.float32), down.astype(np.float32)
    heading = math.radians(scene.attitude.heading_deg)
    azimuth = math.radians(weather.sun_azimuth_deg) - heading
    high = math.radians(weather.sun_elevation_deg)
    sun = (math.cos(high) * math.cos(azimuth), math.cos(high) * math.sin(azimuth), math.sin(high))
    lowest = int(np.max(np.nonzero((down < 0).any(axis=1))[0], initial=-1)) + 1
    highest = int(np.min(np.nonzero((down > -0.003).any(axis=1))[0], initial=camera.height))
    canvas = np.zeros((camera.height, camera.width, 3), dtype=np.float32)
    distance = np.full((camera.height, camera.width), FAR_M, dtype=np.float32)
    if lowest:
        a_, s_, up = a[:lowest], s[:lowest], -down[:lowest]
        elevation = up * np.float32(57.2958) * (1 + up * up * np.float32(0.17))
        bearing = np.float32(scene.attitude.heading_deg) + np.float32(57.2958) * s_ / np.maximum(a_, 0.1)
        toward = a_ * np.float32(sun[0]) + s_ * np.float32(sun[1]) + up * np.float32(sun[2])
        canvas[:lowest] = sea_and_sky.sky(sea, weather, elevation, bearing, toward)
    if highest < camera.height:
        rays = a[highest:], s[highest:], np.maximum(down[highest:], np.float32(1e-3))
        scale = np.float32(camera.height_m) / rays[2]
        ahead, starboard = rays[0] * scale, rays[1] * scale
        away = np.sqrt(ahead * ahead + starboard * starboard)
        centre = away[:, camera.width // 2 : camera.width // 2 + 1]
        print_a = np.minimum((centre**2 / camera.height_m + camera.height_m) / camera.fy, 400)
        slope = (np.zeros_like(away), np.zeros_like(away))
        if scene.waves:
            axes = (math.cos(heading), math.sin(heading))
            slope = sea_and_sky.slopes(
                sea, ahead, starboard, axes, (scene.north_m, scene.east_m), scene.t_s, (print_a, centre / camera.fx)
            )
        rgb = sea_and_sky.water(sea, weather, rays, sun, slope, away)
        edge = np.clip(down[highest:] * np.float32(camera.fy) + np.float32(0.5), 0, 1)[..., None]
        canvas[highest:] += (rgb - canvas[highest:]) * edge
        distance[highest:] = np.where(down[highest:] > 1e-3, np.minimum(away, FAR_M), FAR_M)
    return canvas, distance


def _place(scene: Scene, item: SceneObject, i: int, canvas: Plane, distance: Plane, ids: npt.NDArray[np.int32]) -> int:
    """Paint `item` and its reflection into `canvas`; return how many pixels it would have if nothing cut it off."""
    camera, away = scene.camera, _range(item)
    foot = project(camera, scene.attitude, item.ahead_m, item.starboard_m, _heave(scene, item))
    above = project(camera, scene.attitude, item.ahead_m, item.starboard_m, 0.05)
    below = project(camera, scene.attitude, item.ahead_m, item.starboard_m, 0.0)
    if foot is None or above is None or below is None or away > scene.weather.visibility_m:
        return 0
    # the plane that faces the camera: its up is the image of the vertical
    lean = math.atan2(above[0] - below[0], below[1] - above[1])
    reach = math.hypot(away, camera.height_m)
    scale = camera.fx / (reach * _forward(scene, item, reach))
    half, tall = extent(item)
    view = View(1 / scale, math.atan2(camera.height_m, away), _light(scene))
    pad = 2 + abs(math.sin(lean)) * max(half, tall) * scale
    x0, x1 = math.floor(foot[0] - half * scale - pad), math.ceil(foot[0] + half * scale + pad)
    y0, y1 = math.floor(foot[1] - tall * scale - pad), math.ceil(foot[1] + 0.8 * tall * scale + pad)
    whole = (x0, y0, x1, y1)
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, camera.width), min(y1, camera.height)
    if x0 >= x1 or y0 >= y1 or scale * item.length_m < SPECK_PX:
        return 0
    fine = 3 if scale * half < 16 else 2 if scale * half < 90 else 1
    cut = _sample(item, view, foot, lean, scale, (x0, y0, x1, y1), fine)
    body = cut.cover > 0.5
    part = canvas[y0:y1, x0:x1]
    clear = float(sea_and_sky.transmission(scene.weather, np.array([[away]], dtype=np.float32))[0, 0])
    haze = sea_and_sky.haze_colour(scene.weather)
    part += (cut.mirror_rgb * 0.8 - part) * (cut.mirror * 0.42 * clear)[..., None]
    part *= 1 - (cut.contact * 0.35 * clear)[..., None]
    hazed = haze + (cut.rgb - haze) * clear
    part += (hazed - part) * cut.weight[..., None]
    ids[y0:y1, x0:x1][body] = i
    distance[y0:y1, x0:x1][body] = away
    if whole == (x0, y0, x1, y1):
        return int(body.sum())
    coarse = _sample(item, view, foot, lean, scale, whole, 1)
    return int((coarse.cover > 0.5).sum())


def _forward(scene: Scene, item: SceneObject, reach: float) -> float:
    """Cosine between the optical axis and the line of sight to the object's foot."""
    axis = camera_to_level(scene.camera, scene.attitude)[:, 2]
    sight = np.array([item.ahead_m, item.starboard_m, scene.camera.height_m]) / reach
    return float(axis @ sight)


def _heave(scene: Scene, item: SceneObject) -> float:
    """Metres that the waves lift an object by."""
    if not scene.waves:
        return 0.0
    return 0.022 * scene.weather.chop * math.sin(1.9 * scene.t_s + item.seed % 63)


def _light(scene: Scene) -> float:
    return math.sin(math.radians(scene.weather.sun_azimuth_deg - scene.attitude.heading_deg))


@dataclass(frozen=True)
class _Cut:
    """An object painted over a rectangle of the frame, averaged down to pixels."""

    rgb: Plane
    cover: Plane
    weight: Plane
    mirror_rgb: Plane
    mirror: Plane
    contact: Plane


def _sample(
    item: SceneObject,
    view: View,
    foot: tuple[float, float],
    lean: float,
    scale: float,
    box: tuple[int, int, int, int],
    fine: int,
) -> _Cut:
    x0, y0, x1, y1 = box
    step = (np.arange(fine) + 0.5) / fine
    xs = (np.arange(x0, x1)[:, None] + step).ravel()[None, :] - foot[0]
    ys = (np.arange(y0, y1)[:, None] + step).ravel()[:, None] - foot[1]
    c, s = math.cos(lean), math.sin(lean)
    u, v = (xs * c + ys * s) / scale, (xs * s - ys * c) / scale
    ripple = 0.012 * item.length_m * np.sin(u * (23 / item.length_m) + item.seed % 7)
    under = v < ripple * (item.kind != "boat")
    deep = np.clip(-v / item.length_m, 0, 0.6)
    wobble = 0.10 * item.length_m * np.sin(v * (60 / item.length_m) + item.seed % 5) * deep
    painted = paint(item, np.where(under, u + wobble, u), np.abs(v), replace(view, px=view.px / fine))
    cover = painted.cover * ~under
    mirror = painted.cover * under / (1 + (v / (0.28 * item.length_m)) ** 2)
    near = np.clip(1 + v / (0.05 * item.length_m), 0, 1) * under * painted.cover

    def down(plane: npt.NDArray[np.float64]) -> Plane:
        total = sum(plane[i::fine, j::fine] for i in range(fine) for j in range(fine))
        return np.asarray(total / fine**2, dtype=np.float32)

    weight, light = cover * painted.opacity, painted.rgb
    total = down(weight)
    rgb = np.asarray(down(light * weight[..., None]) / np.maximum(total, 1e-6)[..., None], dtype=np.float32)
    reflected = down(mirror)
    seen = np.maximum(reflected, 1e-6)[..., None]
    mirror_rgb = np.asarray(down(light * mirror[..., None]) / seen, dtype=np.float32)
    return _Cut(rgb, down(cover), total, mirror_rgb, reflected, down(near))


def _truth(item: SceneObject, mask: npt.NDArray[np.bool_], own: int) -> Truth | None:
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    if not len(rows) or not len(columns):
        return None
    x, y = int(columns[0]), int(rows[0])
    return Truth(
        kind=item.kind,
        material=item.material,
        colour=item.colour,
        litter=item.kind in LITTER,
        distance_m=round(_range(item), 3),
        x=x,
        y=y,
        width=int(columns[-1]) + 1 - x,
        height=int(rows[-1]) + 1 - y,
        visible=round(min(1.0, int(mask.sum()) / max(own, 1)), 3),
    )


def _expose(canvas: Plane, lens: Lens, seed: int) -> npt.NDArray[np.uint8]:
    """Blur, noise, exposure, 8 bits."""
    rng = np.random.default_rng(seed)
    levels = np.clip(canvas * np.float32(255 * lens.exposure), 0, 255).astype(np.uint8)
    if lens.blur > 0:
        levels = np.asarray(Image.fromarray(levels).filter(ImageFilter.GaussianBlur(lens.blur)))
    # two dice: near enough to a bell, of unit spread
    grain = rng.integers(-128, 128, canvas.shape[:2], dtype=np.int16)
    grain += rng.integers(-128, 128, canvas.shape[:2], dtype=np.int16)
    noise = np.rint(grain * np.float32(lens.noise / 104.5)).astype(np.int16)
    return np.asarray(np.clip(levels + noise[..., None], 0, 255), dtype=np.uint8)


_SHARES = np.array([0.15, 0.13, 0.17, 0.13, 0.10, 0.10, 0.08, 0.08, 0.06])


def random_scene(rng: np.random.Generator, difficulty: float, crowd: float = 3.0) -> Scene:
    """A scene with `crowd` objects on average (a tenth have none), mostly litter within 25 m."""
    weather = random_weather(rng, difficulty)
    attitude = Attitude(
        roll_deg=float(np.clip(rng.normal(0, 1 + 3 * difficulty), -12, 12)),
        pitch_deg=float(np.clip(rng.normal(0, 0.6 + 1.6 * difficulty), -6, 6)),
        heading_deg=0.0,
    )
    count = 0 if rng.uniform() < 0.1 else 1 + int(rng.poisson(max(crowd - 1, 0)))
    items: list[SceneObject] = []
    for _ in range(count):
        kind = KINDS[int(rng.choice(len(KINDS), p=_SHARES))]
        near, far = {"boat": (8.0, 70.0), "buoy": (3.0, 40.0)}.get(kind, (2.3, 25.0))
        away = near * (far / near) ** float(rng.uniform())
        side = math.radians(float(rng.uniform(-25, 25)))
        items.append(random_object(rng, kind, away * math.cos(side), away * math.sin(side)))
    lens = Lens(
        blur=float(rng.uniform(0.25, 0.5 + 0.7 * difficulty)),
        noise=float(rng.uniform(0.5, 2 + 5 * difficulty)),
        exposure=float(rng.uniform(0.85, 1.12)),
    )
    return Scene(weather, tuple(items), attitude, lens=lens, t_s=float(rng.uniform(0, 60)))

"""Sea and sky: waves as a sum of moving sinusoids, the sky they mirror, sun glint, haze and a far shore.

Only sums, products, roots and table look-ups touch the pixels here: no processor's own sine or exponential.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

Plane = npt.NDArray[np.float32]

_TABLE = 4096
_COS: Plane = np.cos(np.arange(_TABLE) * (2 * math.pi / _TABLE)).astype(np.float32)

_WATERS = {  # deep colour, and what scatters back from the top of the water
    "blue": ((0.020, 0.105, 0.175), (0.03, 0.16, 0.20)),
    "green": ((0.030, 0.120, 0.115), (0.05, 0.17, 0.13)),
    "grey": ((0.060, 0.090, 0.105), (0.05, 0.09, 0.10)),
    "harbour": ((0.065, 0.095, 0.070), (0.07, 0.10, 0.06)),
}
_SKIES = {  # at the horizon, at the zenith
    "clear": ((0.80, 0.88, 0.94), (0.22, 0.45, 0.78)),
    "pale": ((0.86, 0.89, 0.91), (0.48, 0.63, 0.80)),
    "overcast": ((0.80, 0.82, 0.84), (0.58, 0.63, 0.68)),
    "dawn": ((0.96, 0.82, 0.68), (0.36, 0.50, 0.74)),
}


@dataclass(frozen=True)
class Weather:
    """Everything about sea and sky that stays the same during a recording."""

    seed: int = 0
    chop: float = 0.5
    """0 is a mirror, 1 a fresh breeze"""
    visibility_m: float = 400.0
    """where contrast has fallen to 2 % (Koschmieder: extinction = 3.9 / visibility); nothing is drawn beyond"""
    sun_azimuth_deg: float = 40.0
    sun_elevation_deg: float = 32.0
    sun: float = 0.7
    """strength of the glint, 0 to 1"""
    clouds: float = 0.5
    """0 to 1"""
    sky: str = "clear"
    water: str = "blue"
    shore: float = 0.0
    """height of the far shore in degrees; 0 for the open sea"""


def random_weather(rng: np.random.Generator, difficulty: float) -> Weather:
    """Weather that is rougher, hazier and brighter in the lens as `difficulty` goes from 0 to 1."""
    return Weather(
        seed=int(rng.integers(1 << 31)),
        chop=float(rng.uniform(0.1, 0.4 + 0.6 * difficulty)),
        visibility_m=float(rng.uniform(500 - 350 * difficulty, 900)),
        sun_azimuth_deg=float(rng.uniform(-75, 75)),
        sun_elevation_deg=float(rng.uniform(14, 60)),
        sun=float(rng.uniform(0, 0.5 + 0.5 * difficulty)),
        clouds=float(rng.uniform(0, 1)),
        sky=str(rng.choice(list(_SKIES))),
        water=str(rng.choice(list(_WATERS))),
        shore=float(max(0.0, rng.uniform(-1.5, 2.5))),
    )


def extinction(weather: Weather) -> float:
    """Per metre."""
    return 3.9 / weather.visibility_m


def haze_colour(weather: Weather) -> Plane:
    """RGB in 0..1 of the air at the horizon."""
    return np.array(_SKIES[weather.sky][0], dtype=np.float32)


def _falloff(d: Plane, rate: float) -> Plane:
    """exp(-rate d) by repeated squaring of its series: products only."""
    x = np.minimum(d * np.float32(rate / 64), np.float32(1.0))
    y = 1 - x + x * x * np.float32(0.5) - x * x * x * np.float32(1 / 6)
    for _ in range(6):
        y = y * y
    return np.asarray(y)


def transmission(weather: Weather, distance_m: Plane) -> Plane:
    """Share of an object's own light that reaches the camera."""
    return _falloff(distance_m.astype(np.float32), extinction(weather))


@dataclass(frozen=True)
class Sea:
    """What a weather looks like: its waves, and its sky as tables to look up."""

    waves: npt.NDArray[np.float64]
    """(N, 5), longest last: wave number north and east in rad/m, amplitude of the slope, rad/s, phase"""
    sky_table: Plane
    """(512, 3) colour by elevation, horizon to zenith"""
    clouds: Plane
    """(64, 2048) cloud cover by elevation (0 to 40 degrees) and azimuth"""
    shore: Plane = field(default_factory=lambda: np.zeros(2048, dtype=np.float32))
    """(2048,) height in degrees by azimuth"""


def _octaves(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int], octaves: int) -> Plane:
    """Smooth noise in about -1..1 that repeats along its last axis."""
    total = np.zeros(shape, dtype=np.float32)
    for octave in range(octaves):
        rows, columns = cells[0] << octave, cells[1] << octave
        grid = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
        wrapped = np.concatenate([grid[:, -4:], grid, grid[:, :4]], axis=1)
        scale = shape[1] // columns
        big = Image.fromarray(wrapped).resize((wrapped.shape[1] * scale, shape[0]), Image.Resampling.BICUBIC)
        total += np.asarray(big)[:, 4 * scale : 4 * scale + shape[1]] / np.float32(1.7**octave)
    return total


def make_sea(weather: Weather) -> Sea:
    """Waves, sky and shore of `weather`."""
    rng = np.random.default_rng([weather.seed, 1])
    wind = rng.uniform(0, 2 * math.pi)
    waves = []
    count = 24
    for i in range(count):
        length = 0.07 * (9.0 / 0.07) ** ((i + rng.uniform(0, 0.9)) / count)
        k = 2 * math.pi / length
        toward = wind + rng.normal(0, 0.75)
        slope = (0.018 + 0.055 * weather.chop) * rng.uniform(0.6, 1.2) * (1.15 if length < 1.2 else 0.8)
        waves.append((k * math.cos(toward), k * math.sin(toward), slope, math.sqrt(9.81 * k), rng.uniform(0, 6.28)))
    low, high = (np.array(c, dtype=np.float32) for c in _SKIES[weather.sky])
    rise = (np.linspace(0, 1, 512, dtype=np.float32)[:, None]) ** np.float32(0.5)
    noise = _octaves(rng, (64, 2048), (2, 16), 6)
    edge = np.float32(0.75 - 1.15 * weather.clouds)
    cover = np.clip((noise - edge) * np.float32(0.9), 0, 1)
    hills = _octaves(rng, (8, 2048), (2, 16), 5)[4]
    shore = np.clip(hills * np.float32(0.5) + np.float32(0.45), 0.0, None) * np.float32(weather.shore)
    return Sea(np.array(waves), low + (high - low) * rise, cover, shore.astype(np.float32))


def slopes(
    sea: Sea,
    ahead: Plane,
    starboard: Plane,
    axes: tuple[float, float],
    origin: tuple[float, float],
    t_s: float,
    footprint: tuple[Plane, Plane],
) -> tuple[Plane, Plane]:
    """Slope of the water (ahead, starboard) at points given in metres ahead and to starboard.

    `axes` are cos and sin of the heading, `origin` metres (north, east) of the camera.  `footprint`
    (rows, 1) is what a pixel covers ahead and across, metres: waves shorter than that are averaged away, not aliased.
    """
    c, s = axes[0], axes[1]
    slope_a, slope_s = np.zeros_like(ahead), np.zeros_like(ahead)
    bend = np.zeros_like(ahead)
    for kx, ky, slope, rate, phase in sea.waves[::-1]:
        ka, ks = kx * c + ky * s, -kx * s + ky * c
        blur = (ka * footprint[0]) ** 2 + (ks * footprint[1]) ** 2
        # a little of every wave stays as glitter: the far sea is not smooth
        weight = (slope / (1 + 0.12 * blur) + 0.05 * slope / (1 + 0.004 * blur)).astype(np.float32)
        top = int(np.argmax(weight[:, 0] > 0.015 * slope))
        start = phase + kx * origin[0] + ky * origin[1] - rate * t_s
        turns = ahead[top:] * np.float32(ka * _TABLE / (2 * math.pi))
        turns += starboard[top:] * np.float32(ks * _TABLE / (2 * math.pi))
        turns += bend[top:]
        turns += np.float32(start / (2 * math.pi) % 1.0 * _TABLE)
        wave = _COS[turns.astype(np.int32) & (_TABLE - 1)]
        wave *= weight[top:]
        size = math.hypot(ka, ks)
        slope_a[top:] += wave * np.float32(ka / size)
        slope_s[top:] += wave * np.float32(ks / size)
        wave *= np.float32(0.45 * _TABLE)  # long waves bend the short ones: no ruled lines
        bend[top:] += wave
    return slope_a, slope_s


def sky(sea: Sea, weather: Weather, elevation: Plane, azimuth: Plane, sun: Plane) -> Plane:
    """RGB of the sky (h, w, 3) by elevation and world azimuth in degrees; `sun` is the cosine to the sun."""
    index = np.clip(elevation * np.float32(511 / 60), 0, 511).astype(np.int32)
    rgb = sea.sky_table[index]
    row = np.clip(elevation * np.float32(63 / 40), 0, 62.99)
    r0 = row.astype(np.int32)
    part = row - r0
    column = (azimuth * np.float32(2048 / 360)).astype(np.int32) & 2047
    cover = sea.clouds[r0, column] * (1 - part) + sea.clouds[r0 + 1, column] * part
    cover = cover * np.clip(elevation * np.float32(0.3), 0, 1)
    bright = np.array([0.99, 0.99, 1.0], dtype=np.float32) if weather.sky != "overcast" else haze_colour(weather) * 0.9
    rgb = rgb + (bright - rgb) * (cover * np.float32(0.85))[..., None]
    glow = np.clip((sun - np.float32(0.95)) / np.float32(0.05), 0, 1)
    rgb = rgb + (glow * glow * glow * np.float32(0.35 * weather.sun))[..., None] * np.array([1, 0.95, 0.8], np.float32)
    disc = np.clip((sun - np.float32(0.9998)) * np.float32(9000), 0, 1)[..., None]
    rgb = rgb + (np.float32(1.1) - rgb) * disc * np.float32(min(1.0, 1.5 * weather.sun))
    if weather.shore > 0:
        edge = np.clip((sea.shore[column] - elevation) * np.float32(12), 0, 1)[..., None]
        land = haze_colour(weather) * 0.62 + np.array([0.05, 0.09, 0.10], dtype=np.float32)
        rgb = rgb + (land - rgb) * edge * np.float32(0.85)
    return np.asarray(rgb, dtype=np.float32)


def water(
    sea: Sea,
    weather: Weather,
    rays: tuple[Plane, Plane, Plane],
    sun: tuple[float, float, float],
    slope: tuple[Plane, Plane],
    distance: Plane,
) -> Plane:
    """RGB of the water (h, w, 3) that unit `rays` (ahead, starboard, down) meet, with the sun at unit (a, s, up)."""
    a, s, down = rays
    sa, ss = slope
    norm = 1 / np.sqrt(1 + sa * sa + ss * ss)
    facing = np.clip((a * sa + s * ss + down) * norm, 0.02, 1)  # ray . -normal, the normal is (-sa, -ss, 1) norm
    inv = 1 - facing
    fresnel = np.float32(0.02) + np.float32(0.98) * inv * inv * inv * inv * inv
    # mirror the ray: r + 2 (facing) n
    gain = 2 * facing * norm
    ra, rs, ru = a - gain * sa, s - gain * ss, gain - down
    ru = np.abs(ru)
    index = np.clip(ru * np.float32(511 / 0.866), 0, 511).astype(np.int32)
    lift = np.clip(np.float32(0.5) + sa * np.float32(2.2), 0, 1.5)
    toward = ra * np.float32(sun[0]) + rs * np.float32(sun[1]) + ru * np.float32(sun[2])
    tight = np.clip((toward - np.float32(0.965)) / np.float32(0.035), 0, 1)
    tight *= tight
    wide = np.clip((toward - np.float32(0.80)) / np.float32(0.20), 0, 1)
    glint = (np.float32(1.6) * tight * tight + np.float32(0.22) * wide * wide * wide) * np.float32(weather.sun)
    clear = transmission(weather, distance)
    haze = haze_colour(weather)
    deep, scatter = _WATERS[weather.water]
    rgb = np.empty((*a.shape, 3), dtype=np.float32)
    for i, warm in enumerate((1.0, 0.96, 0.86)):
        own = np.float32(deep[i]) + np.float32(scatter[i]) * lift
        own += (np.float32(0.92) * sea.sky_table[:, i][index] - own) * fresnel
        own += glint * np.float32(warm)
        own -= haze[i]
        own *= clear
        own += haze[i]
        rgb[..., i] = own
    return rgb

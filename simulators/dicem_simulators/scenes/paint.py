"""How each kind of object looks: painters over a grid of points around its waterline foot.

A painter gets points `u` (metres to the right) and `v` (metres up) in the plane that faces the camera, with the foot at
(0, 0), and returns `Paint`. It knows nothing of the frame; antialiasing comes from `px`, the metres a pixel covers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dicem_simulators.scenes.objects import COLOURS, SceneObject

Grid = npt.NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """How an object is seen: metres a pixel covers, radians of the sight below the horizon, the light's side."""

    px: float
    depression: float
    light: float
    """-1 from the left, +1 from the right"""


@dataclass(frozen=True)
class Paint:
    """Colour (h, w, 3) in 0..1, coverage (h, w) and opacity (h, w): translucent things cover fully and hide in part."""

    rgb: Grid
    cover: Grid
    opacity: Grid


def paint(item: SceneObject, u: Grid, v: Grid, view: View) -> Paint:
    """Colour, coverage and opacity of `item` at the points (u, v) in metres from its foot."""
    return _PAINTERS[item.kind](item, u, v, view)


def extent(item: SceneObject) -> tuple[float, float]:
    """Metres: half of its width, and its height over the water; no point outside is painted."""
    length = item.length_m
    if item.kind == "boat":
        return 0.56 * length, 0.62 * length
    if item.kind == "buoy":
        return 0.6 * length, 1.5 * length
    return 0.66 * length, 1.02 * length


def _soft(signed: Grid, px: float) -> Grid:
    """Coverage of a pixel whose centre lies `signed` metres inside an edge."""
    return np.clip(signed / px + 0.5, 0.0, 1.0)


def _mix(base: Grid, other: Grid | tuple[float, float, float], weight: Grid) -> Grid:
    w = weight[..., None]
    return np.asarray(base * (1.0 - w) + np.asarray(other) * w)


def _flat(item: SceneObject, like: Grid, gain: float = 1.0) -> Grid:
    return np.broadcast_to(np.array(COLOURS[item.colour]) * gain, (*like.shape, 3))


def _texture(seed: int, x: Grid, y: Grid) -> Grid:
    """Smooth noise of about unit size in -1..1 that belongs to one object."""
    rng = np.random.default_rng(seed)
    total = np.zeros_like(x)
    for octave in range(5):
        scale = 1.0 + 0.8 * octave
        kx, ky, phase = rng.normal(0, scale), rng.normal(0, scale), rng.uniform(0, 6.3)
        total = total + np.sin(kx * x + ky * y + phase + 0.9 * total)
    return np.asarray(total / 3.2)


def _spot(n: Grid, at: float, width: float) -> Grid:
    """A highlight across a round body: 1 at `at`, falling off over `width`."""
    return np.asarray(1.0 / (1.0 + ((n - at) / width) ** 4))


@dataclass(frozen=True)
class _Turned:
    """A turned body (bottle, can, log): along its axis -0.5..0.5, across -1..1, coverage and light."""

    along: Grid
    across: Grid
    cover: Grid
    shade: Grid
    radius: float
    length: float


def _turned(
    item: SceneObject, u: Grid, v: Grid, view: View, profile: list[tuple[float, float]], slim: float
) -> _Turned:
    """A body of revolution with `profile` points (along, share of the radius); the radius is `slim` lengths."""
    radius = item.length_m * slim
    length = item.length_m * max(math.cos(math.radians(item.yaw_deg)), 4 * slim)
    length = min(length, item.length_m)
    tilt = math.radians(item.tilt_deg)
    c, s = math.cos(tilt), math.sin(tilt)
    tall = length * abs(s) + 2 * radius * c
    middle = tall * (0.5 - item.submerged)
    # the end that carries the neck or the lid is the one out of the water
    along = (u * c + (v - middle) * s) / length * (1.0 if s >= 0 else -1.0)
    across_m = -u * s + (v - middle) * c
    outline = np.interp(along, [p[0] for p in profile], [p[1] for p in profile]) * radius
    ends = (0.5 - np.abs(along)) * length
    cover = _soft(np.minimum(outline - np.abs(across_m), ends), view.px)
    across = np.clip(across_m / np.maximum(outline, 1e-6), -1, 1)
    up = across * c - 0.35 * view.light * np.sqrt(1 - across**2) * s
    return _Turned(along, across, cover, 0.66 + 0.36 * up, radius, length)


def _plastic_bottle(item: SceneObject, u: Grid, v: Grid, view: View) -> Paint:
    profile = [(-0.5, 0.70), (-0.46, 0.95), (-0.4, 1.0), (0.12, 1.0), (0.22, 0.86), (0.34, 0.42), (0.5, 0.40)]
    body = _turned(item, u, v, view, profile, 0.155)
    ribs = 1.0 + 0.13 * np.sin(body.along * 62) * (np.abs(body.along + 0.14) < 0.27)
    rgb = _flat(item, u) * (body.shade * ribs + 0.16)[..., None]
    rgb = _mix(rgb, (1.0, 1.0, 1.0), 0.30 * _spot(body.across, -0.25, 0.25) + 0.75 * _spot(body.across, 0.45, 0.13))
    cap = (body.along > 0.38).astype(float)
    lid = np.array(COLOURS["blue" if item.colour == "white" else "white"])
    rgb = _mix(rgb, lid * body.shade[..., None], cap)
    return Paint(rgb, body.cover, np.where(cap > 0, 1.0, 0.80 + 0.18 * body.across**2))


def _glass_bottle(item: SceneObject, u: Grid, v: Grid, view: View) -> Paint:
    profile = [
        (-0.5, 0.85),
        (-0.47, 1.0),
        (0.0, 1.0),
        (0.08, 0.92),
        (0.17, 0.45),
        (0.46, 0.33),
        (0.461, 0.45),
        (0.5, 0.45),
    ]
    body = _turned(item, u, v, view, profile, 0.135)
    depth = 0.36 + 0.42 * np.sqrt(1 - body.across**2)
    rgb = _flat(item, u) * (depth * (0.7 + 0.3 * body.shade))[..., None]
    rgb = _mix(rgb, _flat(item, u, 1.45), 0.55 * _spot(body.across, -0.45, 0.22))
    rgb = _mix(rgb, (1.0, 1.0, 1.0), 0.95 * _spot(body.across, 0.42, 0.07) * (body.along < 0.44))
    return Paint(rgb, body.cover, np.full_like(u, 0.93))


def _metal_can(item: SceneObject, u: Grid, v: Grid, view: View) -> Paint:
    profile = [(-0.5, 0.80), (-0.44, 1.0), (0.42, 1.0), (0.5, 0.86)]
    body = _turned(item, u, v, view, profile, 0.27)
    bands = 0.52 + 0.30 * body.shade + 0.55 * _spot(body.across, 0.30, 0.14) - 0.22 * _spot(body.across, 0.0, 0.15)
    bands = np.asarray(bands + 0.22 * _spot(body.across, -0.55, 0.16) - 0.25 * body.across**6)
    rgb = _flat(item, u) * bands[..., None]
    swoosh = (np.abs(body.along + 0.18 * np.sin(2.2 * body.across + 0.7)) < 0.06).astype(np.float64)
    rgb = _mix(rgb, np.full(3, 0.95) * bands[..., None], 0.8 * swoosh)
    silver = np.array([0.80, 0.82, 0.85]) * bands[..., None]
    rgb = _mix(rgb, silver, (np.abs(body.along) > 0.39).astype(float))
    # the lid, an ellipse that looks at us a little
    over = (body.along - 0.5) * body.length / (0.36 * body.radius)
    r = np.hypot(over, body.across * 0.86)
    lid = _soft((0.86 - r) * body.radius * 0.5, view.px)
    face = 0.62 + 0.22 * body.across + 0.16 * (np.abs(r - 0.66) < 0.08)
    rgb = _mix(rgb, np.array([0.90, 0.92, 0.95]) * face[..., None], lid * (np.abs(body.across) < 1))
    return Paint(np.clip(rgb, 0, 1.15), body.cover, np.ones_like(u))


def _log(item: SceneObject, u: Grid, v: Grid, view: View) -> Paint:
    profile = [(-0.5, 0.92), (-0.2, 1.0), (0.2, 0.94), (0.5, 0.86)]
    body = _turned(item, u, v, view, profile, 0.11)
    bark = _texture(item.seed, body.along * 7, body.across * 9) + 0.5 * np.sin(body.across * 21 + 3 * body.along)
    rgb = _flat(item, u, 1.15) * np.clip(body.shade + 0.22 * bark, 0.25, 1.25)[..., None]
    over = (body.along - 0.5) * body.length / (0.62 * body.radius)
    r = np.hypot(over + 0.62, body.across)
    face = _soft((0.86 - r) * body.radius, view.px)
    rings = 0.86 + 0.14 * np.sin(r * 26)
    rgb = _mix(rgb, np.array([0.80, 0.62, 0.38]) * rings[..., None], face)
    return Paint(rgb, body.cover, np.ones_like(u))


def _half_planes(u: Grid, v: Grid, corners: list[tuple[float, float]]) -> Grid:
    """Metres inside a convex polygon given clockwise with v up; negative outside."""
    inside = np.full_like(u, np.inf)
    for (u0, v0), (u1, v1) in zip(corners, corners[1:] + corners[:1], strict=True):
        du, dv = u1 - u0, v1 - v0
        size = math.hypot(du, dv) or 1e-9
        inside = np.minimum(inside, ((v1 - v) * du - (u1 - u) * dv) / size)
    return inside


@dataclass(frozen=True)
class _Block:
    """A box seen from above: how far inside its top, left and right faces each point lies, in metres."""

    top: Grid
    left: Grid
    right: Grid


def _block(item: SceneObject, u: Grid, v: Grid, view: View, wide: float, tall: float) -> _Block:
    """A box of length 1, width `wide` and height `tall` (in lengths), turned by its yaw."""
    e = max(view.depression, 0.10)
    yaw = math.radians(item.yaw_deg if abs(item.yaw_deg) > 8 else 8.0)
    a, b = 0.5 * item.length_m, 0.5 * item.length_m * wide
    high = item.length_m * tall * (1 - item.submerged) * math.cos(e)
    plan = [
        (sx * a * math.cos(yaw) - sy * b * math.sin(yaw), sx * a * math.sin(yaw) + sy * b * math.cos(yaw))
        for sx, sy in ((-1, -1), (-1, 1), (1, 1), (1, -1))
    ]
    flat = [(x, y * math.sin(e)) for x, y in plan]
    near = min(range(4), key=lambda i: flat[i][1])
    lift = -flat[near][1]
    ring = [(flat[(near + i) % 4][0], flat[(near + i) % 4][1] + lift) for i in range(4)]  # clockwise from the nearest
    raised = [(x, y + high) for x, y in ring]
    top = _half_planes(u, v, raised)
    left = _half_planes(u, v, [ring[0], ring[1], raised[1], raised[0]])
    right = _half_planes(u, v, [ring[3], ring[0], raised[0], raised[3]])
    return _Block(top, left, right)


def _faces(block: _Block, base: Grid, px: float, light: float, gains: tuple[float, float, float]) -> tuple[Grid, Grid]:
    """Colour and coverage of a lit box; `gains` are for its top, its lit and its dark side."""
    lit, dark = (gains[1], gains[2]) if light < 0 else (gains[2], gains[1])
    cover = _soft(np.maximum(np.maximum(block.top, block.left), block.right), px)
    gain = np.where(block.left > block.right, lit, dark)
    gain = gain + (gains[0] - gain) * _soft(block.top, px)
    return np.asarray(base * gain[..., None]), cover


def _styrofoam(item: SceneObject, u: Grid, v: Grid, view: View) -> Paint:
    rng = np.random.default_rng(item.seed)
    wide, tall = rng.uniform(0.45, 0.8), rng.uniform(0.28, 0.45)
    crumble = 0.018 * item.length_m * _texture(item.seed, u * 9 / item.length_m, v * 11 / item.length_m)
    block = _block(item, u + crumble, v + crumble, view, wide, tall)
    rgb, cover = _faces(block, _flat(item, u), view.px, view.light, (1.05, 0.86, 0.70))
    beads = _texture(item.seed + 1, u * 60, v * 75) + 0.6 * np.sin(u * 160 + 4 * np.sin(v * 70)) * np.sin(v * 190)
    rgb = rgb * (1.0 + 0.06 * max(0.0, 1 - view.px / 0.012) * beads)[..., None]
    return Paint(rgb, cover, np.ones_like(u))


def _plank(item: SceneObject, u: Grid, v: Grid, view: View) -> Paint:
    block = _block(item, u, v, view, 0.24, 0.10)
    grain = _texture(item.seed, u * 5 / item.length_m, v * 80 / item.length_m)
    nails = 0.25 * (np.abs(np.abs(u) / item.length_m - 0.36) < 0.015)
    base = _flat(item, u, 1.3) * (1.0 + 0.26 * grain - nails)[..., None]
    rgb, cover = _faces(block, base, view.px, view.light, (1.05, 0.70, 0.48))
    return Paint(rgb, cover, np.ones_like(u))


def _wood(item: SceneObject, u: Grid, v: Grid, view: View) -> Paint:
    return _plank(item, u, v, view) if item.seed % 5 < 2 else _log(item, u, v, view)


def _plastic_bag(item: SceneObject, u: Grid, v: Grid, view: View) -> Paint:
    rng = np.random.default_rng(item.seed)
    half, tall = 0.5 * item.length_m, item.length_m * rng.uniform(0.50, 0.68)
    x, y = u / half, v / tall
    angle = np.arctan2(y, x)
    lumps = sum(rng.uniform(0.02, 0.07) * np.sin(k * angle + rng.uniform(0, 6.3)) for k in (2, 3, 5, 7, 11))
    r = np.hypot(x, y * 1.35)
    body = _soft((0.86 + lumps - r) * half, view.px)
    handles = np.zeros_like(u)
    for side in (-1, 1):
        lean, wide, high = side * rng.uniform(0.2, 0.55), rng.uniform(0.14, 0.24), rng.uniform(0.16, 0.30)
        ring = np.hypot((x - lean) / wide, (y - 0.60) / high)
        handles = np.maximum(handles, _soft((0.26 - np.abs(ring - 0.8)) * wide * half, view.px))
    folds = _texture(item.seed + 1, x * 4.5 + 1.5 * y, y * 5.0) + 0.6 * np.sin(9 * angle + 5 * r)
    shade = 0.80 + 0.17 * y + 0.15 * folds + 0.10 * view.light * x
    rgb = _flat(item, u) * np.clip(shade, 0.35, 1.2)[..., None]
    rgb = _mix(rgb, (1.0, 1.0, 1.0), 0.55 * np.clip(folds - 0.75, 0, 1) + 0.05)
    return Paint(rgb, np.maximum(body, handles), np.clip(0.90 - 0.10 * folds, 0.70, 1.0))


def _tyre(item: SceneObject, u: Grid, v: Grid, view: View) -> Paint:
    outer = 0.5 * item.length_m
    open_ = max(0.42, math.sin(view.depression + math.radians(abs(item.tilt_deg))))
    thick = 0.17 * item.length_m * math.sqrt(max(0.0, 1 - open_**2))
    middle = outer * open_ * (1.0 - 0.9 * item.submerged) - 0.2 * thick
    # the upper face is a ring; the wall under it is the same outline moved down
    top = np.hypot(u, (v - middle - thick) / open_)
    wall = np.hypot(u, (v - middle) / open_)
    face = _soft(np.minimum(outer - top, top - 0.50 * outer), view.px)
    inside = _soft(0.50 * outer - top, view.px)
    side = _soft(outer - np.minimum(top, wall), view.px)
    angle = np.arctan2(v - middle - thick, u * open_)
    tread = 0.75 + 0.35 * (np.sin(angle * 34) > 0.1)
    ridge = 1.0 + 0.9 * _spot(top / outer, 0.74, 0.07) + 0.5 * np.clip((v - middle) / outer, -1, 1)
    base = _flat(item, u, 1.25 if item.colour == "black" else 0.62)
    rgb = _mix(base * tread[..., None], base * ridge[..., None] + 0.03, face)
    # through the hole one sees the far inner wall, then water
    well = _soft(0.50 * outer - np.hypot(u, (v - middle + 0.3 * thick) / open_), view.px) * inside
    rgb = _mix(rgb, base * 0.45, inside * (1 - well))
    return Paint(rgb, side * (1 - 0.96 * well), np.ones_like(u))


def _buoy(item: SceneObject, u: Grid, v: Grid, view: View) -> Paint:
    radius = 0.5 * item.length_m
    middle = radius * (1 - 1.6 * item.submerged)
    x, y = u / radius, (v - middle) / radius
    r = np.hypot(x, y)
    ball = _soft((1.0 - r) * radius, view.px)
    light = np.clip(0.62 + 0.30 * y + 0.18 * view.light * x + 0.25 * np.sqrt(np.clip(1 - r**2, 0, 1)) - 0.15, 0.3, 1.2)
    rgb = _flat(item, u) * light[..., None]
    band = np.array(COLOURS["white" if item.colour != "white" else "red"])
    if item.seed % 2:
        rgb = _mix(rgb, band * light[..., None], _soft((0.13 - np.abs(y - 0.12 + 0.12 * x**2)) * radius, view.px))
    shine = np.hypot(x - 0.34 * view.light, y - 0.42)
    rgb = _mix(rgb, (1.0, 1.0, 1.0), 0.8 * np.clip(1 - shine / 0.22, 0, 1))
    # a mast with a top mark, so that nobody takes it for a ball
    tall = 0.55 + 0.35 * (item.seed % 3) / 2
    mast = _soft(np.minimum(0.07 * radius - np.abs(u), (tall - np.abs(y - 0.9)) * radius), view.px)
    mark = _soft(np.minimum(0.24 - np.abs(x), 0.15 - np.abs(y - 0.92 - tall)) * radius, view.px)
    rgb = _mix(rgb, (0.16, 0.16, 0.18), mast * (1 - ball))
    rgb = _mix(rgb, _flat(item, u, 0.9), mark)
    return Paint(rgb, np.maximum(np.maximum(ball, mast * (y > 0)), mark), np.ones_like(u))


def _boat(item: SceneObject, u: Grid, v: Grid, view: View) -> Paint:
    squeeze = max(0.55, math.cos(math.radians(item.yaw_deg)))
    x = u / (item.length_m * squeeze) * (1.0 if item.seed % 2 else -1.0)
    y = v / item.length_m
    px = view.px / item.length_m
    sheer = 0.125 + 0.10 * np.clip(x + 0.1, 0, 1) ** 1.6
    bow, stern = 0.40 + 0.55 * y, -0.47 - 0.10 * y
    hull = _soft(np.minimum(np.minimum(sheer - y, bow - x), x - stern), px)
    shade = 0.70 + 0.9 * y + 0.10 * view.light
    rgb = _flat(item, u) * np.clip(shade, 0.4, 1.1)[..., None]
    rgb = _mix(rgb, (0.97, 0.97, 0.96), _soft(0.011 - np.abs(sheer - 0.014 - y), px))
    stripe = (0.12, 0.16, 0.34) if item.colour == "white" else (0.95, 0.95, 0.95)
    rgb = _mix(rgb, stripe, _soft(0.008 - np.abs(y - 0.052), px))
    rgb = _mix(rgb, (0.28, 0.10, 0.09), _soft(0.012 - y, px))
    high = 0.25 + 0.05 * (item.seed % 3) / 2
    front = 0.17 - 0.55 * (y - 0.13)
    cabin = _soft(np.minimum(np.minimum(high - y, front - x), np.minimum(x + 0.20, y - 0.10)), px)
    rgb = _mix(rgb, np.array([0.93, 0.93, 0.92]) * (0.86 + 0.4 * (y - 0.15))[..., None], cabin * (1 - hull))
    pane = np.minimum(np.abs((x + 0.20) % 0.11 - 0.055) - 0.010, 0.03 - np.abs(y - high + 0.055))
    rgb = _mix(rgb, (0.10, 0.14, 0.19), _soft(np.minimum(pane, front - 0.035 - x), px) * cabin * (1 - hull))
    roof = _soft(np.minimum(0.010 - np.abs(y - high), 0.02 + front - x), px) * (x > -0.23)
    rgb = _mix(rgb, _flat(item, u, 0.85), roof * (1 - hull))
    mast = _soft(np.minimum(0.005 - np.abs(x + 0.06), 0.42 - y), px) * (y > high)
    rgb = _mix(rgb, (0.75, 0.75, 0.76), mast * (1 - roof))
    cover = np.maximum(np.maximum(hull, cabin), np.maximum(mast, roof))
    return Paint(rgb, cover, np.ones_like(u))


_PAINTERS: dict[str, Callable[[SceneObject, Grid, Grid, View], Paint]] = {
    "plastic bottle": _plastic_bottle,
    "plastic bag": _plastic_bag,
    "metal can": _metal_can,
    "glass bottle": _glass_bottle,
    "styrofoam": _styrofoam,
    "wood": _wood,
    "tyre": _tyre,
    "buoy": _buoy,
    "boat": _boat,
}

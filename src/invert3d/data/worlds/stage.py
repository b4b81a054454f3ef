"""A street scene as one mesh that rays can ask, and how bright it is."""

import numpy as np

from invert3d.data.worlds.colors import linear
from invert3d.data.worlds.facades import facade_color
from invert3d.data.worlds.lighting import Weather, ambient, hazed, sky_color
from invert3d.data.worlds.road import Road
from invert3d.data.worlds.surfaces import foliage_color, ground_color, roof_color, stone_color
from invert3d.data.worlds.templates import Material
from invert3d.data.worlds.tracing import Geometry, Hits, Instance

#: 0 dull, 1 paint, 2 glass, 3 metal, by material
_GLOSS = np.array(
    [{Material.PAINT: 1, Material.GLASS: 2, Material.METAL: 3}.get(kind, 0) for kind in Material], np.float32
)
_NO_FACADE = np.zeros(13, np.float32)


class Stage(Geometry):
    """All instances of a street, with its light."""

    def __init__(self, instances: list[Instance], road: Road, weather: Weather, focal: float, eye: np.ndarray) -> None:
        """Build the tracer. ``focal`` in pixels, ``eye`` (3,) the camera's place, both for texture detail."""
        super().__init__(instances, eye)
        self.road, self.weather, self.focal = road, weather, focal
        templates = [instance.template for instance in instances]
        self.colors = np.concatenate([t.colors for t in templates])
        tints = linear(np.array([[instance.tint_a, instance.tint_b] for instance in instances]))
        rows = np.flatnonzero(self.colors[:, 0] < 0)
        self.colors[rows] = tints[self.owner[rows], (self.colors[rows, 0] < -1.5).astype(int)]
        self.facades = np.stack([np.array(t.facade, np.float32) if t.facade else _NO_FACADE for t in templates])
        self.feet = [instance for instance in instances if instance.contact and instance.template.size[0] > 0.3]

    def shade(self, rays: np.ndarray, hits: Hits) -> np.ndarray:
        """(N, 3) float32 radiance seen along rays from the eye."""
        radiance = np.empty((len(rays), 3), np.float32)
        sky, seen = np.flatnonzero(hits.face < 0), np.flatnonzero(hits.face >= 0)
        radiance[sky] = sky_color(self.weather, rays[sky])
        ray, face = rays[seen], hits.face[seen]
        who = self.owner[face]
        points = self.eye + ray * hits.depth[seen, None]
        length = np.sqrt(np.einsum("ij,ij->i", ray, ray))
        distance = hits.depth[seen] * length
        view = ray / length[:, None]
        flat = hits.normal[seen]
        normal = self.smooth(face, who, hits.u[seen], hits.v[seen], flat)
        albedo, gloss = self._surfaces(face, who, points, normal, distance)
        light, lit = self._light(points, normal, flat, face)
        color = albedo * light
        shiny = np.flatnonzero(gloss > 0)
        color[shiny] = self._shine(color[shiny], view[shiny], normal[shiny], gloss[shiny], lit[shiny])
        radiance[seen] = hazed(self.weather, color, distance)
        return radiance

    def _surfaces(
        self, face: np.ndarray, who: np.ndarray, points: np.ndarray, normal: np.ndarray, distance: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Colors (N, 3) and gloss (N,): 0 dull, 1 paint, 2 glass, 3 metal."""
        material = self.materials[face]
        albedo = self.colors[face]
        near = np.maximum(distance / self.focal, 1e-3).astype(np.float32)
        gloss = _GLOSS[material]
        ground = np.flatnonzero(material == Material.GROUND)
        albedo[ground] = ground_color(self.road, points[ground], self.focal)
        painters = {Material.FOLIAGE: foliage_color, Material.ROOF: roof_color, Material.STONE: stone_color}
        for kind in (*painters, Material.FACADE):
            rows = np.flatnonzero(material == kind)
            if not len(rows):
                continue
            own = who[rows]
            place = self.local(points[rows] - self.centers[own], own)
            if kind in painters:
                albedo[rows] = painters[kind](albedo[rows], place, near[rows])
            else:
                inner = self.local(normal[rows], own)
                albedo[rows], pane = facade_color(albedo[rows], place, inner, self.facades[own], near[rows])
                gloss[rows] = pane * 2
        return albedo, gloss

    def _light(
        self, points: np.ndarray, normal: np.ndarray, flat: np.ndarray, face: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Light (N, 3) on surfaces, and (N,) whether the sun reaches them."""
        weather, material = self.weather, self.materials[face]
        toward = normal @ weather.sun
        leaves = material == Material.FOLIAGE
        toward = np.where(leaves, np.clip(toward * 0.75 + 0.25, 0, 1), np.clip(toward, 0, 1))
        lit = np.zeros(len(points), np.float32)
        rows = np.flatnonzero((toward > 0) & ((flat @ weather.sun > 0) | leaves))
        if weather.hard:
            lift = np.where(leaves[rows], np.float32(0.35), np.float32(0.01))[:, None]
            start = points[rows] + flat[rows] * np.float32(0.012) + weather.sun * lift
            lit[rows] = ~self.tracer.blocked(start, np.ascontiguousarray(np.broadcast_to(weather.sun, start.shape)))
        else:
            lit[rows] = 1
        height = np.clip(self.road.height - points[:, 1], 0, None)
        open_ = np.where(material == Material.GROUND, 1.0, 0.5 + 0.5 * np.clip(height / 0.7, 0, 1)).astype(np.float32)
        self._touch(points, open_)
        direct = (toward * lit)[:, None] * weather.sunlight
        if not weather.hard:
            direct = direct * open_[:, None]
        return direct + ambient(weather, normal, open_), lit

    def _touch(self, points: np.ndarray, open_: np.ndarray) -> None:
        """Darken ground below and round what stands on it, in place."""
        low = np.flatnonzero(points[:, 1] > self.road.height - self.road.kerb - 0.02)
        x, z = points[low, 0], points[low, 2]
        for foot in self.feet:
            _, wide, long = foot.template.size
            reach = min(0.5 * wide, 0.9) + 0.15
            far = 0.5 * np.hypot(wide, long) + 2 * reach
            near = np.flatnonzero((np.abs(x - foot.center[0]) < far) & (np.abs(z - foot.center[2]) < far))
            if not len(near):
                continue
            c, s = np.cos(foot.yaw), np.sin(foot.yaw)
            dx, dz = x[near] - foot.center[0], z[near] - foot.center[2]
            a = np.abs(c * dx - s * dz) - 0.5 * long * 0.94
            b = np.abs(s * dx + c * dz) - 0.5 * wide * 0.94
            out = np.hypot(np.maximum(a, 0), np.maximum(b, 0)) + np.maximum(np.minimum(np.maximum(a, b), 0), -0.3) * 0.5
            open_[low[near]] *= 1 - 0.78 * np.exp(-np.maximum(out + 0.15, 0) / (0.4 * reach))

    def _shine(
        self, color: np.ndarray, view: np.ndarray, normal: np.ndarray, gloss: np.ndarray, lit: np.ndarray
    ) -> np.ndarray:
        """Add what smooth surfaces mirror: the sky, the street and the sun."""
        weather = self.weather
        across = np.einsum("ij,ij->i", view, normal)
        mirror = view - 2 * across[:, None] * normal
        world = sky_color(weather, mirror, plain=True)
        street = self.road.tone * (0.7 * weather.sunlight + 0.5 * weather.horizon)
        down = np.clip(mirror[:, 1] * 8 + 0.4, 0, 1)[:, None]
        world = world + down * (street - world)
        base = np.choose(gloss.astype(int), [0.0, 0.05, 0.1, 0.35])
        share = (base + (1 - base) * (1 - np.clip(-across, 0, 1)) ** 5)[:, None]
        share = np.where((gloss == 1)[:, None], share * 0.85, share)
        spark = np.clip(mirror @ weather.sun, 0, 1) ** 220 * lit * (7.0 if weather.hard else 0.0)
        return color * (1 - share) + share * (world + spark[:, None] * weather.sunlight)

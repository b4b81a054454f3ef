"""Sun, sky, haze and film of a street scene. Directions are in camera axes: x right, y down, z forward."""

from dataclasses import dataclass

import numpy as np

from invert3d.data.worlds.surfaces import noise


@dataclass(frozen=True)
class Weather:
    """The light of a frame.

    Attributes:
        sun: (3,) unit direction to the sun. sunlight, zenith, horizon: (3,) linear radiance. clouds: how much of the
        sky they cover, 0 to 1. drift: (2,) offset of the clouds. haze: share lost a meter. hard: the sun casts
        shadows. exposure: factor before the film. balance: (3,) white balance. grain: deviation of sensor noise.
    """

    sun: np.ndarray
    sunlight: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    clouds: float
    drift: np.ndarray
    haze: float
    hard: bool
    exposure: float
    balance: np.ndarray
    grain: float


def make_weather(rng: np.random.Generator) -> Weather:
    """Weather at random: three frames in four sunny, the others overcast."""
    hard = rng.random() < 0.74
    rise, around = np.radians(rng.uniform(20, 65)), rng.uniform(0, 2 * np.pi)
    sun = np.array([np.cos(rise) * np.sin(around), -np.sin(rise), np.cos(rise) * np.cos(around)])
    warm = np.array([1.0, 0.93 - 0.12 * np.exp(-4 * rise), 0.84 - 0.28 * np.exp(-4 * rise)])
    blue = rng.uniform(0.7, 1.3)
    if hard:
        zenith, horizon = np.array([0.14, 0.29, 0.66]) * blue, np.array([0.66, 0.79, 0.95])
        clouds, power = rng.uniform(0.0, 0.65), rng.uniform(2.3, 3.0)
    else:
        zenith, horizon = np.array([[0.78, 0.82, 0.88], [0.9, 0.92, 0.95]]) * rng.uniform(0.75, 1.05)
        clouds, power = 1.0, 0.35
    return Weather(
        sun=sun.astype(np.float32),
        sunlight=(warm * power).astype(np.float32),
        zenith=zenith.astype(np.float32),
        horizon=horizon.astype(np.float32),
        clouds=clouds,
        drift=rng.uniform(0, 256, 2).astype(np.float32),
        haze=rng.uniform(0.0004, 0.0022) * (1.0 if hard else 1.4),
        hard=hard,
        exposure=rng.uniform(0.78, 1.25) * (1.0 if hard else 1.45),
        balance=np.exp(rng.normal(0, 0.035, 3)).astype(np.float32),
        grain=rng.uniform(0.004, 0.012),
    )


def sky_color(weather: Weather, rays: np.ndarray, plain: bool = False) -> np.ndarray:
    """(N, 3) radiance along rays (N, 3): sky with clouds over a far line of trees and hills.

    ``plain`` leaves out clouds and sun, for reflections.
    """
    length = np.sqrt(np.einsum("ij,ij->i", rays, rays))
    up = -rays[:, 1] / length
    lift = np.clip(up, 0, 1)[:, None] ** np.float32(0.55)
    color = weather.horizon + (weather.zenith - weather.horizon) * lift
    ridge = np.float32(0.12)
    if not plain:
        flat = np.maximum(up, 0.03)[:, None] * length[:, None]
        u, v = ((rays[:, ::2] / (flat + 0.12 * length[:, None])) * 14 + weather.drift).T
        puffs = noise(u, v, 0.9) * 0.75 + noise(v, u, 3.1) * 0.25
        cover = np.clip((puffs + 2.2 * weather.clouds - 1.5) * 0.9, 0, 1)
        if not weather.hard:
            color = color * (1 + 0.07 * puffs)[:, None]
        else:
            white = 1.05 - 0.13 * np.clip(puffs - 0.6, 0, 1)
            color = color + (cover * np.clip(up * 9, 0, 1))[:, None] * (white[:, None] - color)
        facing = np.clip(rays @ weather.sun / length, 0, 1)
        color = color + (0.5 * facing**40)[:, None] * weather.sunlight * (0.4 if weather.hard else 0.0)
        turn = np.arctan2(rays[:, 0], rays[:, 2])
        ridge = 0.02 + 0.012 * noise(turn * 3 + weather.drift[0], np.zeros_like(turn), 4)
    trees = np.array([0.10, 0.125, 0.10], np.float32) * (1.4 if plain else 1.0)
    land = np.clip((ridge - up) * 120, 0, 1)[:, None]
    hazed = trees + (weather.horizon * 0.75 - trees) * (0.2 if plain else 0.3)
    return (color + land * (hazed - color)).astype(np.float32)


def ambient(weather: Weather, normals: np.ndarray, openness: np.ndarray) -> np.ndarray:
    """(N, 3) light from the sky and back from the ground on surfaces of ``normals``; openness (N,) in [0, 1]."""
    share = (0.5 - 0.5 * normals[:, 1])[:, None]
    sky = 0.55 * weather.zenith + 0.45 * weather.horizon
    ground = (0.16 * weather.sunlight * max(-float(weather.sun[1]), 0.2) + 0.16 * sky).astype(np.float32)
    return (share * sky + (1 - share) * ground) * openness[:, None]


def hazed(weather: Weather, color: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Colors seen through ``distance`` meters of air."""
    share = (1 - np.exp(-weather.haze * distance))[:, None]
    return color + share * (weather.horizon * 0.74 - color)


def develop(weather: Weather, radiance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 sRGB picture of linear radiance: exposure, film curve, sensor noise."""
    light = np.maximum(radiance * (weather.exposure * weather.balance), 0)
    film = 1 - np.exp(-1.35 * light)
    film = film * (1 + 0.14 * film)
    levels = np.clip(film, 0, 1) ** np.float32(1 / 2.2)
    levels = levels + 0.16 * levels * (1 - levels) * (2 * levels - 1)
    levels += rng.standard_normal(levels.shape, dtype=np.float32) * np.float32(weather.grain)
    return (np.clip(levels, 0, 1) * 255 + 0.5).astype(np.uint8)

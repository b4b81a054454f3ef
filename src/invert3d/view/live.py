"""A live view of clouds in the browser, by viser: choose one, scrub through its snapshots, play them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from invert3d.view.color import LIGHT, colorize, limits, rgb
from invert3d.view.gallery import Cloud, checked_cloud, states_of

if TYPE_CHECKING:
    import viser

_FRAME = 0.09  # seconds a snapshot is shown for


class _Stage:
    """What is on view: one cloud in one of its states, kept in step with the controls."""

    def __init__(self, server: viser.ViserServer, clouds: Sequence[Cloud]) -> None:
        self.server, self.clouds, self.playing = server, clouds, False
        names = [f"{number + 1}. {cloud.name}" for number, cloud in enumerate(clouds)]
        gui = server.gui
        self.choice = gui.add_dropdown("Cloud", names, initial_value=names[0])
        self.step = gui.add_slider("Snapshot", min=0, max=1, step=1, initial_value=0)
        self.play = gui.add_button("Play")
        self.size = gui.add_slider("Point size", min=0.004, max=0.08, step=0.002, initial_value=0.024)
        self.facts = gui.add_markdown("")
        self.choice.on_update(lambda _: self.choose(names.index(self.choice.value)))
        self.step.on_update(lambda _: self.draw())
        self.size.on_update(lambda _: self.draw())
        self.play.on_click(self.run)
        self.choose(0)

    def choose(self, number: int) -> None:
        """Put a cloud on the stage, at its result."""
        self.playing = False
        self.cloud = self.clouds[number]
        self.states, self.names = states_of(self.cloud)
        last = len(self.states) - 1
        self.step.max = max(1, last)
        self.step.visible = self.play.visible = last > 0
        self.step.value = last
        self.draw()

    def draw(self) -> None:
        """Show the state that the slider stands at, colored as on the page: by value, or by height."""
        at = min(int(self.step.value), len(self.states) - 1)
        points = self.states[at].astype(np.float32)
        if self.cloud.values is not None:
            colors = colorize(self.cloud.values, kind=self.cloud.kind)
        else:
            colors = colorize(points[:, 2], *limits(self.states[-1][:, 2]))
        self.server.scene.add_point_cloud(
            "/cloud", points, colors, point_size=float(self.size.value), point_shape="circle", precision="float32"
        )
        badges = "".join(f"- {name}: **{value}**\n" for name, value in self.cloud.badges.items())
        self.facts.content = f"**{self.cloud.name}**, {self.names[at]}\n\n{self.cloud.caption}\n\n{badges}"

    async def run(self, _: object) -> None:
        """Play from the start, or stop."""
        self.playing = not self.playing
        if not self.playing:
            return
        last = len(self.states) - 1
        at = 0 if self.step.value >= last else int(self.step.value)
        while self.playing and at <= last:
            self.step.value = at
            self.draw()
            at += 1
            await asyncio.sleep(_FRAME)
        self.playing = False


def serve(
    clouds: Sequence[Cloud], *, host: str = "127.0.0.1", port: int = 8080, block: bool = True
) -> viser.ViserServer:
    """Serve the clouds of a run to a browser, z up, and return the server (`.stop()` ends it).

    Args:
        clouds: at least one.
        host: the address to listen on; the default lets nobody else in.
        port: the port, or the next free one after it.
        block: whether to wait until Ctrl-C, and stop the server then.

    Raises:
        ValueError: there is no cloud, or its arrays do not fit each other.
    """
    if not clouds:
        raise ValueError("clouds: got none, accepted is at least one")
    clouds = [checked_cloud(cloud) for cloud in clouds]
    import viser

    server = viser.ViserServer(host=host, port=port, label="invert3d", verbose=False)
    server.scene.set_up_direction("+z")
    server.gui.configure_theme(dark_mode=True, show_logo=False, brand_color=rgb(LIGHT.accent))
    server.initial_camera.position = (-1.1, -1.6, 0.85)
    server.initial_camera.look_at = (0.0, 0.0, 0.0)
    _Stage(server, clouds)
    if block:
        with contextlib.suppress(KeyboardInterrupt):
            server.sleep_forever()
        server.stop()
    return server

# SPDX-License-Identifier: Apache-2.0
"""The 3D view of the console: arms, what RViz draws too, and values and latency over time.

It is a server of ``viser`` that this machine alone reaches, and which can be looked at and nothing
else: all that is pressed goes through the page around it (``door.py``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from importlib.util import find_spec
import io
from threading import Lock
from typing import Any

from cosmos_policy_ros.console.marker_shapes import (
    find_balls,
    find_lines,
    find_texts,
    LivingMarkers,
)
from cosmos_policy_ros.console.urdf import quaternion, Shape, UrdfModel
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray

HISTORY = 240  # plans that are kept, some three minutes
MOST_CANDIDATES = 16  # whose values are drawn
THICK_M = 0.005  # width of a marker from which its line is drawn bold
BALL_M = 0.015
PANEL = 300  # [px] width of the plots
CHOSEN, CANDIDATE, LATENCY = '#2563c9', '#e0a11b', '#c3241a'


class View:
    """The server of the 3D view.

    Attributes:
        port: Where it listens on this machine.
    """

    def __init__(self, name: str) -> None:
        """Listen.

        Args:
            name: Name of the robot.

        Raises:
            ConfigError: ``viser`` is not installed.
        """
        if find_spec('viser') is None:
            msg = "the console needs viser; run: pip install 'cosmos_policy_ros[console]'"
            raise ConfigError(msg)
        import viser

        with redirect_stdout(io.StringIO()):  # the address of a part is of no use to anybody
            self._server = viser.ViserServer('127.0.0.1', 0, label=name, verbose=False)
        self._server.request_share_url = _refuse_to_share
        self.port = self._server.get_port()
        self._server.gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False)
        self._server.gui.main_panel.dock_right()
        self._server.gui.main_panel.set_width(PANEL)
        self._server.initial_camera.position = (0.0, -0.9, 0.75)
        self._server.initial_camera.look_at = (0.0, 0.0, 0.1)
        self._server.scene.add_grid('/floor', 2.0, 2.0, cell_size=0.1, section_size=0.5)
        self._values = self._add_plot('value', ('chosen', *['candidates'] * MOST_CANDIDATES))
        self._latency = self._add_plot('latency [ms]', ('latency [ms]',))
        self._plans: deque[tuple[float, ...]] = deque(maxlen=HISTORY)
        self._model: UrdfModel | None = None
        self._frames: dict[str, Any] = {}  # link -> what is drawn below it
        self._lock = Lock()  # of both
        self._living = LivingMarkers()
        self._labels: dict[str, Any] = {}  # texts by their names

    @property
    def is_open(self) -> bool:
        """Whether somebody looks."""
        return bool(self._server.get_clients())

    def show_robot(self, model: UrdfModel) -> None:
        """Draw a robot in place of what was drawn before, in any thread: meshes take a second."""
        scene, meshes = self._server.scene, [_mesh(shape) for shape in model.shapes]
        links = {shape.link for shape in model.shapes}
        with self._lock:
            scene.remove_by_name('/robot')
            scene.add_frame('/robot', show_axes=False)
            self._model = model
            self._frames = {
                link: scene.add_frame(f'/robot/{i}', show_axes=False)
                for i, link in enumerate(sorted(links))
            }
            for i, (shape, (vertices, faces)) in enumerate(zip(model.shapes, meshes, strict=True)):
                scene.add_mesh_simple(
                    f'{self._frames[shape.link].name}/{i}',
                    vertices,
                    faces,
                    color=shape.colour[:3],
                    opacity=shape.colour[3] if shape.colour[3] < 1.0 else None,
                    flat_shading=True,
                )
        self.move({})

    def move(self, positions: Mapping[str, float]) -> None:
        """Put the joints of the robot to positions [rad; m] by name; the others are at 0."""
        with self._lock:
            if self._model is None:
                return
            poses = self._model.place_links(positions)
            with self._server.atomic():
                for link, frame in self._frames.items():
                    frame.position = poses[link][:3, 3]
                    frame.wxyz = quaternion(poses[link][:3, :3])

    def show_markers(self, markers: Iterable[Any], now_s: float) -> None:
        """Draw markers as RViz does; each is gone when its time is over.

        Args:
            markers: visualization_msgs/Marker messages; none only takes away what is over.
            now_s: Time now [s, monotonic].
        """
        if not self._living.update(markers, now_s):
            return
        drawn = self._living.markers
        bold = [marker for marker in drawn if marker.scale.x > THICK_M]
        thin = [marker for marker in drawn if marker.scale.x <= THICK_M]
        with self._server.atomic():
            self._draw_lines('/thin', thin, 1.5)
            self._draw_lines('/bold', bold, 5.0)
            self._draw_balls(drawn)
            self._draw_texts(drawn)

    def add_plan(self, at_s: float, scores: Iterable[float], chosen: float, ms: float) -> None:
        """Continue the plots with a plan.

        Args:
            at_s: When it was made [s].
            scores: Scores of its candidates.
            chosen: That of the one that is played.
            ms: Median latency of queries [ms].
        """
        shown = [*scores][:MOST_CANDIDATES]
        shown += [np.nan] * (MOST_CANDIDATES - len(shown))
        self._plans.append((at_s, ms, chosen, *shown))
        columns = np.array(self._plans).T
        if columns.shape[1] > 1:
            since_s = columns[0] - columns[0, -1]
            self._values.data = (since_s, *columns[2:])
            self._latency.data = (since_s, columns[1])

    def close(self) -> None:
        """Listen no more."""
        with redirect_stdout(io.StringIO()):
            self._server.stop()

    def _add_plot(self, title: str, names: tuple[str, ...]) -> Any:
        """Return an empty plot over time, its first line bold and the others as dots."""
        nothing = np.array([-1.0, 0.0])
        first = LATENCY if len(names) == 1 else CHOSEN
        lines = [{'label': names[0], 'stroke': first, 'width': 2}]
        dots = {'stroke': CANDIDATE, 'width': 0, 'points': {'show': True, 'size': 4}}
        lines += [{'label': f'{name} {i}', **dots} for i, name in enumerate(names[1:])]
        return self._server.gui.add_uplot(
            (nothing, *[np.full(2, np.nan)] * len(names)),
            ({'label': 's'}, *lines),
            title=title,
            scales={'x': {'time': False}, 'y': {'range': (0.0, 1.0)} if names[1:] else {}},
            legend={'show': False},
            height=190,
        )

    def _draw_lines(self, name: str, markers: list[Any], width: float) -> None:
        """Draw the lines among markers as one object."""
        points, colours = find_lines(markers)
        if len(points):
            self._server.scene.add_line_segments(name, points, colours, line_width=width)
        else:
            self._server.scene.remove_by_name(name)

    def _draw_balls(self, markers: list[Any]) -> None:
        """Draw the balls among markers as one object, all of one size."""
        points, colours = find_balls(markers)
        if len(points):
            self._server.scene.add_point_cloud(
                '/balls', points, colours, point_size=BALL_M, point_shape='circle'
            )
        else:
            self._server.scene.remove_by_name('/balls')

    def _draw_texts(self, markers: list[Any]) -> None:
        """Draw the texts among markers."""
        wanted = find_texts(markers)
        for name in [name for name in self._labels if name not in wanted]:
            self._labels.pop(name).remove()
        for name, (text, place) in wanted.items():
            if name not in self._labels:
                self._labels[name] = self._server.scene.add_label(f'/text/{name}', text)
            elif self._labels[name].text != text:
                self._labels[name].text = text
            self._labels[name].position = place


def _mesh(shape: Shape) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Return (V, 3) vertices [m, link] and (F, 3) faces of a shape."""
    import trimesh

    match shape.kind:
        case 'mesh':
            mesh = trimesh.load_mesh(shape.mesh)
            mesh.apply_scale(shape.size)
        case 'box':
            mesh = trimesh.creation.box(shape.size)
        case 'sphere':
            mesh = trimesh.creation.icosphere(2, radius=shape.size[0])
        case _:
            mesh = trimesh.creation.cylinder(shape.size[0], shape.size[1], sections=24)
    mesh.apply_transform(shape.pose)
    return np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.uint32)


def _refuse_to_share() -> None:
    """Take the place of what would open a tunnel to a server on the internet for a visitor."""

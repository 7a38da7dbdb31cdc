# SPDX-License-Identifier: Apache-2.0
"""A robosuite environment with one Panda as a simulator, as LIBERO and RoboCasa are.

Its images are drawn when they are asked for: an environment that draws its cameras in every step
is ten times as slow. They come as OpenGL draws them, the lowest row first; what a policy does
about that is a fact of its checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray

PROPRIO = ('robot0_gripper_qpos', 'robot0_eef_pos', 'robot0_eef_quat')  # 2 + 3 + 4 numbers

Reset = Callable[[int], Mapping[str, Any]]


class RobosuiteSim:
    """One task of an environment.

    Attributes:
        task: Its instruction; where every start has one of its own, that of the last reset.
    """

    def __init__(
        self,
        env: Any,
        reset: Reset,
        instruction: Callable[[], str],
        cameras: Mapping[str, str],
        size: tuple[int, int],
        rest: tuple[float, ...] = (),
        bodies: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        """Keep the environment; ``reset`` begins.

        Args:
            env: Environment, with ``step``, ``close``, ``check_success`` and ``sim``.
            reset: Number of a start state -> the first observation.
            instruction: Returns the instruction of what was reset.
            cameras: Camera of the robot file -> camera of the environment.
            size: Height and width of the images [px].
            rest: Numbers of an action behind those of the robot file, such as a mobile base that
                stands still.
            bodies: Returns name of an object -> number of its body, of which ``box`` tells.
        """
        self._bodies = bodies
        self._env, self._reset, self._instruction = env, reset, instruction
        self._cameras, self._size, self._rest = cameras, size, rest
        self._seen: Mapping[str, Any] = {}
        self.task = instruction()

    def reset(self, seed: int) -> None:
        """Begin with the start state of a number."""
        self._seen = self._reset(seed)
        self.task = self._instruction()

    @property
    def proprio(self) -> NDArray[np.float32]:
        """(9,) float32 fingers [m], place of the hand [m, world] and its quaternion x, y, z, w."""
        numbers = [np.asarray(self._seen[name]).ravel() for name in PROPRIO]
        return np.concatenate(numbers).astype(np.float32)

    @property
    def success(self) -> bool:
        """Whether the task is done now."""
        return bool(self._env.check_success())

    def place(self, name: str) -> NDArray[np.float64]:
        """Return the place of an object by the name that the environment has for it [m, world].

        Raises:
            ConfigError: There is no such object.
        """
        if f'{name}_pos' not in self._seen:
            known = sorted(key.removesuffix('_pos') for key in self._seen if key.endswith('_pos'))
            msg = f'no object {name!r}; there are {known}'
            raise ConfigError(msg)
        return np.array(self._seen[f'{name}_pos'], dtype=np.float64)

    def box(self, name: str) -> NDArray[np.float64]:
        """Return (2, 3) the lowest and the highest corner of an object [m, world].

        It is around what collides, and not around what is only seen.

        Args:
            name: Name that the environment has for it.

        Raises:
            ConfigError: There is no such object.
        """
        bodies = self._bodies()
        if name not in bodies:
            msg = f'no object {name!r}; there are {sorted(bodies)}'
            raise ConfigError(msg)
        model, data = self._env.sim.model._model, self._env.sim.data._data
        root = model.body_rootid[bodies[name]]
        solid = (model.geom_contype | model.geom_conaffinity) != 0
        own = np.flatnonzero(solid & (model.body_rootid[model.geom_bodyid] == root))
        turned = data.geom_xmat[own].reshape(-1, 3, 3)
        around = model.geom_aabb[own].reshape(-1, 6)  # centre and half size, in the geom's frame
        centre = data.geom_xpos[own] + np.einsum('gij,gj->gi', turned, around[:, :3])
        half = np.einsum('gij,gj->gi', np.abs(turned), around[:, 3:])
        return np.stack([(centre - half).min(axis=0), (centre + half).max(axis=0)])

    def render(self, camera: str) -> NDArray[np.uint8]:
        """Return (height, width, 3) uint8 RGB of a camera, the lowest row first."""
        height, width = self._size
        name = self._cameras[camera]
        drawn = self._env.sim.render(camera_name=name, height=height, width=width)
        return np.ascontiguousarray(drawn, dtype=np.uint8)

    def step(self, action: NDArray[np.float32]) -> None:
        """Move the hand by one row: its displacement, and what the gripper is to do."""
        self._seen = self._env.step([*action.tolist(), *self._rest])[0]

    def close(self) -> None:
        """Free the environment."""
        self._env.close()

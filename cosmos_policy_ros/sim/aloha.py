# SPDX-License-Identifier: Apache-2.0
"""The bimanual ViperX scene of gym-aloha, stepped and rendered without its gym wrapper.

Source: the MJCF and start pose of the ``gym-aloha`` package (Apache-2.0), whose files are used
where they are installed; the package itself is not imported.
Differs: wrist cameras are fixed to the gripper, as on the robot; gym-aloha turns them upright, and
so spins the image when they point straight down, which is where the cube is grasped. Their field
of view is 45° instead of 20° (that of a RealSense D405 is 58°), and that of the ``top`` camera,
here ``high``, 42° instead of 78°, so that the table fills the image; no shadows.
"""

from __future__ import annotations

from collections.abc import Collection
import importlib.util
import os
from pathlib import Path

from cosmos_policy_ros.mujoco_import import missing, mujoco
from cosmos_policy_ros.sim.experts.table import find_task
from cosmos_policy_ros.sim.kinematics import Arm
from cosmos_policy_ros.sim.states import draw_start, Ingredient, Push, Start, States
from cosmos_policy_ros.sim.tasks import Block, Piece, Task, touching
from cosmos_policy_ros.types import ConfigError, Intrinsics
import numpy as np
from numpy.typing import NDArray

MOST_REWARD = 4  # gym-aloha's, for a task that is done
SUBSTEPS = 10  # physics steps in one control tick; the scene runs at 500 Hz
CAMERAS = {
    'high': ('top', 42.0),
    'left_wrist': ('left_wrist', 45.0),
    'right_wrist': ('right_wrist', 45.0),
}
_FINGER_CLOSED, _FINGER_OPEN = 0.01844, 0.058  # [m] gym-aloha's puppet gripper constants
_MOTOR_CLOSED, _MOTOR_OPEN = -0.6213, 1.4910  # [rad] gripper motor at those openings
MOTOR_PER_FINGER = (_MOTOR_OPEN - _MOTOR_CLOSED) / (_FINGER_OPEN - _FINGER_CLOSED)  # [rad/m]
JOINTS = (
    'waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate',
    'gripper', 'left_finger', 'right_finger',
)  # fmt: skip
_START_ARM = (0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.02239, -0.02239)  # [rad; finger m]
_APPEARANCE = (
    'geom_rgba',
    'cam_pos',
    'cam_quat',
    'cam_mode',
)  # of the model; hard starts change them


class AlohaSim:
    """One scene: two ViperX arms, a table and what the task puts on it.

    Attributes:
        name: The task.
        task: Its instruction.
        pieces: What lies or stands on the table.
        push: The push that is still to come in a hard episode, or None.
        model: MuJoCo model.
        data: MuJoCo state; the first 16 ``qpos`` are [arm 6, fingers 2] of left and right, then
            come [position 3, quaternion 4] of every piece.
    """

    def __init__(self, task: str = 'transfer_cube', size: tuple[int, int] = (240, 320)) -> None:
        """Load the scene.

        Args:
            task: Name of a row of ``experts.table.EXPERTS``.
            size: Height and width of the camera images [px].

        Raises:
            ConfigError: The task is unknown or gym-aloha is not installed.
        """
        self._task = find_task(task)
        self.name, self.task, self.size = task, self._task.instruction, size
        self.pieces = self._task.pieces
        self.model = _compile_scene(self._task)
        self.model.vis.quality.shadowsize = 1
        self.model.vis.quality.offsamples = (
            0  # 4x multisampling makes an image take ten times as long
        )
        for camera, fovy in CAMERAS.values():
            self.model.cam_fovy[self.model.camera(camera).id] = fovy
        for side in ('left', 'right'):
            _fix_wrist_camera(self.model, side)
        self.data = mujoco.MjData(self.model)
        self._renderer: mujoco.Renderer | None = None
        self._first = {p.body: 16 + 7 * i for i, p in enumerate(self.pieces)}  # in qpos
        self._appearance = {n: getattr(self.model, n).copy() for n in _APPEARANCE}
        self.push: Push | None = None
        self._geoms = [self.model.geom(i).name for i in range(self.model.ngeom)]
        self.reset(0)

    def reset(
        self, seed: int, states: States = 'normal', without: Collection[Ingredient] = ()
    ) -> None:
        """Put the arms into the start pose and the pieces into that of a seed.

        Args:
            seed: Seed of the start.
            states: Whether starts are like those of training or hard, see ``states``; the same
                seed is another start then.
            without: Ingredients of a hard start that are as in training.

        Raises:
            ConfigError: There are no such states or ingredients.
        """
        start = draw_start(self._task, seed, states, without)
        for name, usual in self._appearance.items():
            getattr(self.model, name)[:] = usual
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:16] = np.tile(_START_ARM, 2)
        for body, first in self._first.items():
            half = start.yaws[body] / 2.0
            turn = (np.cos(half), 0.0, 0.0, np.sin(half))
            self.data.qpos[first : first + 7] = (*start.places[body], *turn)
        self.data.ctrl[:] = np.tile(_START_ARM, 2)
        mujoco.mj_forward(self.model, self.data)
        self.push, self._best_reward = start.push, 0
        _change_appearance(self.model, self.data, start)

    def step(self, action: NDArray[np.float32], n_substeps: int = SUBSTEPS) -> None:
        """Hold joint targets for some physics steps (default: one 50 Hz control tick).

        Args:
            action: (14,) absolute joint targets [rad; gripper 0..1].
            n_substeps: Number of 2 ms physics steps.
        """
        finger = _FINGER_CLOSED + action[[6, 13]] * (_FINGER_OPEN - _FINGER_CLOSED)
        self.data.ctrl[0:6], self.data.ctrl[8:14] = action[0:6], action[7:13]
        self.data.ctrl[6:8] = finger[0], -finger[0]
        self.data.ctrl[14:16] = finger[1], -finger[1]
        if self.push is not None and self.data.time >= self.push.at_s:
            self._apply_push(self.push)
            self.push = None
        mujoco.mj_step(self.model, self.data, n_substeps)
        self._best_reward = max(self._best_reward, self.reward)

    def _apply_push(self, push: Push) -> None:
        """Let a piece slide that no hand touches."""
        geoms = next(piece.geoms for piece in self.pieces if piece.body == push.body)
        if not touching(self.contacts, geoms, [g for g in self._geoms if 'finger' in g]):
            first = self.model.body(push.body).dofadr[0]
            self.data.qvel[first : first + 2] += push.velocity

    def render(self, camera: str) -> NDArray[np.uint8]:
        """Return the (height, width, 3) uint8 RGB image of one of ``CAMERAS``.

        Raises:
            ConfigError: Nothing can be drawn on this machine; the message says what to do.
        """
        if self._renderer is None:
            self._renderer = _open_renderer(self.model, self.size)
        self._renderer.update_scene(self.data, CAMERAS[camera][0])
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        self._renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        return self._renderer.render()

    def intrinsics(self, camera: str) -> Intrinsics:
        """Return how one of ``CAMERAS`` projects; it bends nothing."""
        height, width = self.size
        focal = height / 2.0 / np.tan(np.radians(CAMERAS[camera][1]) / 2.0)
        return Intrinsics(focal, focal, (width - 1) / 2.0, (height - 1) / 2.0)

    def camera_pose(self, camera: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return place (3,) [m, world] and quaternion (4,) w, x, y, z of an optical frame.

        Its x axis goes along a row of the image, y along a column and z into the scene.
        """
        seen = self.data.camera(CAMERAS[camera][0])
        axes = seen.xmat.reshape(3, 3) * np.array([1.0, -1.0, -1.0])  # MuJoCo looks along -z
        turn = np.zeros(4)
        mujoco.mju_mat2Quat(turn, axes.ravel())
        return seen.xpos.copy(), turn

    def close(self) -> None:
        """Free the render context."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    @property
    def proprio(self) -> NDArray[np.float32]:
        """Measured joints, (14,) float32 [rad; gripper 0..1]."""
        arms = self.data.qpos[:16].reshape(2, 8)[:, :7].copy()
        arms[:, 6] = (arms[:, 6] - _FINGER_CLOSED) / (_FINGER_OPEN - _FINGER_CLOSED)
        return arms.reshape(14).astype(np.float32)

    def place(self, body: str) -> NDArray[np.float64]:
        """Return the centre of a piece, (3,) [m, world]."""
        first = self._first[body]
        return self.data.qpos[first : first + 3].copy()

    def turn(self, body: str) -> NDArray[np.float64]:
        """Return the (3, 3) orientation of a piece; the columns are its axes in the world."""
        first, turn = self._first[body], np.zeros(9)
        mujoco.mju_quat2Mat(turn, self.data.qpos[first + 3 : first + 7])
        return turn.reshape(3, 3)

    def arm(self, side: str) -> Arm:
        """Return the inverse kinematics of the ``left`` or ``right`` arm of this scene."""
        return Arm(self.model, side)

    @property
    def state(self) -> NDArray[np.float64]:
        """Positions of all joints and free bodies, (nq,) [rad, m, quaternions]."""
        return self.data.qpos.copy()

    def show(self, state: NDArray[np.float64]) -> None:
        """Set all positions of the scene, with zero velocities.

        Args:
            state: (nq,) ``state`` of a scene of the same task [rad, m, quaternions].
        """
        self.data.qpos[:] = state
        self.data.qvel[:] = 0.0
        mujoco.mj_forward(self.model, self.data)

    @property
    def contacts(self) -> set[frozenset[str]]:
        """Names of the two geoms of every contact."""
        pairs = self.data.contact.geom[: self.data.ncon].tolist()
        return {frozenset((self._geoms[a], self._geoms[b])) for a, b in pairs}

    @property
    def reward(self) -> int:
        """gym-aloha's reward of the task, 0 to 4."""
        return self._task.reward(self.contacts)

    @property
    def success(self) -> bool:
        """Whether the task is done at this moment, as ``Task.success`` judges."""
        places = [self.place(piece.body) for piece in self.pieces]
        was_full = self._best_reward == MOST_REWARD
        return self._task.success(self.contacts, was_full, *places)

    @property
    def progress(self) -> int:
        """How far the task got since the reset: 4 where it is done now, at most 3 where not."""
        return MOST_REWARD if self.success else min(self._best_reward, MOST_REWARD - 1)


def _compile_scene(task: Task) -> mujoco.MjModel:
    """Return the scene file of a task with the blocks that the task adds."""
    spec = mujoco.MjSpec.from_file(str(_assets() / task.scene))
    for key in list(spec.keys):  # poses of the scene without the blocks, which nobody asks for
        spec.delete(key)
    for piece in task.pieces:
        if piece.block is not None:
            _add_block(spec, piece, piece.block)
    return spec.compile()


def _add_block(spec: mujoco.MjSpec, piece: Piece, block: Block) -> None:
    """Put a block that can move freely behind all that the scene has."""
    squares = np.square(block.half_m)
    inertia = block.mass_kg / 3.0 * (squares.sum() - squares)  # [kg m^2] of an even box
    body = spec.worldbody.add_body(
        name=piece.body, mass=block.mass_kg, inertia=inertia, explicitinertial=True
    )
    body.add_freejoint()
    (name,) = piece.geoms
    box, colour = mujoco.mjtGeom.mjGEOM_BOX, (*block.colour, 1.0)
    body.add_geom(name=name, type=box, size=block.half_m, rgba=colour)


def joint_state(sim: AlohaSim, arm: int) -> tuple[list[str], NDArray[np.float64]]:
    """Return one arm's joint names and positions as the Interbotix driver publishes them.

    Args:
        sim: Scene.
        arm: 0 left, 1 right.

    Returns:
        Nine names and (9,) positions: arm joints [rad], gripper motor [rad], two fingers [m].
    """
    positions = sim.data.qpos[8 * arm : 8 * arm + 8]
    opening = (positions[6] - _FINGER_CLOSED) / (_FINGER_OPEN - _FINGER_CLOSED)
    motor = _MOTOR_CLOSED + opening * (_MOTOR_OPEN - _MOTOR_CLOSED)
    return list(JOINTS), np.array([*positions[:6], motor, positions[6], positions[7]])


def _fix_wrist_camera(model: mujoco.MjModel, side: str) -> None:
    """Point a wrist camera at its target from the gripper link, whatever way is up."""
    camera = model.camera(f'{side}_wrist').id
    target = model.body(f'vx300s_{side}/camera_focus').pos  # in the same gripper link
    back = model.cam_pos[camera] - target  # a camera looks along its -z
    back /= np.linalg.norm(back)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    turn = np.stack([right, np.cross(back, right), back], axis=1)
    mujoco.mju_mat2Quat(model.cam_quat[camera], turn.ravel())
    model.cam_mode[camera] = mujoco.mjtCamLight.mjCAMLIGHT_FIXED


def _change_appearance(model: mujoco.MjModel, data: mujoco.MjData, start: Start) -> None:
    """Recolour the pieces and move the cameras of a start."""
    for body, colour in start.colours.items():
        geoms = model.geom_bodyid == model.body(body).id
        model.geom_rgba[geoms, :3] += colour[3] * (colour[:3] - model.geom_rgba[geoms, :3])
    for name, shift in start.shifts.items():
        camera = model.camera(CAMERAS[name][0]).id
        if model.cam_mode[camera] != mujoco.mjtCamLight.mjCAMLIGHT_FIXED:
            # the high camera looks at the table wherever it is, and its body is the world
            mujoco.mju_mat2Quat(model.cam_quat[camera], data.cam_xmat[camera])
            model.cam_mode[camera] = mujoco.mjtCamLight.mjCAMLIGHT_FIXED
        model.cam_pos[camera] += shift
        mujoco.mju_quatIntegrate(model.cam_quat[camera], start.turns[name], 1.0)
    mujoco.mj_camlight(model, data)


def _assets() -> Path:
    spec = importlib.util.find_spec('gym_aloha')
    if spec is None or not spec.submodule_search_locations:
        msg = 'the simulator needs the files of gym-aloha; run: pip install --no-deps gym-aloha'
        raise ConfigError(msg)
    return Path(next(iter(spec.submodule_search_locations))) / 'assets'


def _open_renderer(model: mujoco.MjModel, size: tuple[int, int]) -> mujoco.Renderer:
    """Return a renderer of (height, width) images.

    Raises:
        ConfigError: The OpenGL that ``MUJOCO_GL`` names is not there.
    """
    given = os.environ['MUJOCO_GL']
    try:
        if not missing:
            return mujoco.Renderer(model, *size)
        reason = missing
    except Exception as error:  # as PyOpenGL and GLFW have them
        reason = f'MUJOCO_GL={given}: {error}'
    if given == 'egl':
        todo = 'install EGL (Debian, Ubuntu: apt-get install libegl1 libgl1-mesa-dri)'
    else:
        todo = 'unset MUJOCO_GL, or set it to egl'
    msg = f'the simulator cannot draw its cameras ({reason}); {todo}'
    raise ConfigError(msg)

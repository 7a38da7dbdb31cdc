# SPDX-License-Identifier: Apache-2.0
"""The MuJoCo ALOHA behind the real robot's topics, in real time.

Physics follows the system clock, also with ``use_sim_time``: the node sends it on ``/clock`` then.
Before anything is published and before any command is applied, the scene is stepped up to now, so
neither timer jitter nor a slow render reaches the physics. The cameras take turns, so that at most
one render stands between a command and its effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
import os
from pathlib import Path
import time
from typing import Any

from cosmos_policy_ros.control.realtime import request_realtime
from cosmos_policy_ros.robot import CommandOutput, read_robot, RobotSpec
from cosmos_policy_ros.ros.convert import (
    camera_info_message,
    image_message,
    joint_state_message,
    optical_frame,
    tf_message,
    time_message,
)
from cosmos_policy_ros.ros.diagnostics import StatusReport
from cosmos_policy_ros.ros.discovery import refuse_second_stack
from cosmos_policy_ros.ros.endpoints import (
    create_publisher,
    create_service,
    create_timer,
    has_listeners,
    has_messages,
)
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.stand_ins import SEND_STATES, STAND_INS
from cosmos_policy_ros.ros.stand_ins.joints import SimulatedJoints
from cosmos_policy_ros.sim.aloha import AlohaSim, joint_state
from cosmos_policy_ros.sim.description import (
    camera_poses,
    describe_robot,
    joint_positions,
    link_poses,
)
from cosmos_policy_ros.sim.motion import joint_motion
from cosmos_policy_ros.sim.realtime import RealTime
from cosmos_policy_ros.sim.robot_scene import load_scene
from cosmos_policy_ros.sim.speed import SLOW, SpeedMeter
from cosmos_policy_ros.sim.urdf import ROOT
from cosmos_policy_ros.topics import (
    camera_info,
    CLOCK,
    IMAGE,
    JOINT_STATES,
    RESET_SIM,
    ROBOT_DESCRIPTION,
    ROBOT_JOINT_STATES,
    SIM_STATE,
    SIM_STATUS,
    SUCCESS,
    TASK,
    TF,
)
from cosmos_policy_ros.types import ConfigError
import numpy as np
from numpy.typing import NDArray
from rcl_interfaces.msg import IntegerRange, ParameterDescriptor
from rclpy.clock import Clock
from rclpy.node import Node
from rosgraph_msgs.msg import Clock as ClockMessage
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import Trigger

SUCCESS_HZ = 10.0
WINDOW_HZ = 30.0
VIEW_HZ = 20.0  # poses of the links, for viewers
SEED_DOC = (
    'Scene of the next reset. It may change while the node runs; the same seed gives the same '
    'scene.'
)


@dataclass(frozen=True)
class SimParams:
    """Parameters of the sim node; ``seed`` is declared on its own, since it may change."""

    robot: str = param(
        '', 'Robot YAML file whose topics and cameras are served; the launch file sets it.'
    )
    task: str = param(
        'transfer_cube', 'Simulated task; it decides the scene and what is published on /task.'
    )
    states: str = param(
        'normal',
        'Start states: normal, as in training, or hard: beside the range of training, '
        'recoloured and pushed once.',
    )
    render: bool = param(
        False, 'true opens a window, which needs a display and slows a small machine down.'
    )
    max_lag_s: float = param(
        1.0,
        'Longest lag that is caught up with [s]; what a longer stall of the process misses '
        'is skipped.',
        0.05,
        60.0,
    )
    realtime_priority: int = param(
        40, "SCHED_FIFO priority, below the executor's; 0 keeps normal scheduling.", 0, 99
    )
    discovery_s: float = param(
        3.5,
        'How long to search for another robot on these topics [s]; a shorter time may '
        'overlook one.',
        0.0,
        30.0,
    )


class SimNode(Node):
    """Step the scene, publish what its sensors measure and apply commands."""

    def __init__(self) -> None:
        """Load the scene and open the topics.

        Raises:
            ConfigError: The robot file or the task is wrong, there is no display for a window, or
                another robot publishes these topics.
        """
        super().__init__('sim')
        self.params = declare(self, SimParams)
        self._system_time = Clock()
        seed = ParameterDescriptor(
            description=SEED_DOC,
            integer_range=[IntegerRange(from_value=0, to_value=2**32 - 1, step=1)],
        )
        self.declare_parameter('seed', 0, seed)
        self.robot = read_robot(Path(self.params.robot), self.get_namespace())
        # Hardware does not wait for a processor. Asked for before the renderer starts its threads.
        scheduling = request_realtime(self.params.realtime_priority)
        sim = load_scene(self.params.task, self.robot)
        window = _open_window(sim) if self.params.render else None
        self.scene = RealTime(sim, self.robot.start, self.params.max_lag_s)
        self._speed = SpeedMeter(self.scene, len(self.robot.cameras), self._now_ns())

        cameras, arms = self.robot.cameras, self.robot.arms
        refuse_second_stack(self, [a.joint_state_topic for a in arms], self.params.discovery_s)
        self._images = {c.name: create_publisher(self, IMAGE.at(c.topic)) for c in cameras}
        self._infos = {c.name: create_publisher(self, camera_info(c.topic)) for c in cameras}
        self._frames = {c.name: optical_frame(c.name, self.get_namespace()) for c in cameras}
        self._joints = {  # number of an arm -> publisher, where no stand-in has its own
            i: create_publisher(self, JOINT_STATES.at(arm.joint_state_topic))
            for i, arm in enumerate(arms)
            if arm.driver not in SEND_STATES
        }
        self._success = create_publisher(self, SUCCESS)
        self._state = create_publisher(self, SIM_STATE)
        self._task = create_publisher(self, TASK)
        self._arms = [arm.name for arm in arms]
        self._description = create_publisher(self, ROBOT_DESCRIPTION)
        self._description.publish(String(data=describe_robot(sim, self._arms)))
        self._robot_joints = create_publisher(self, ROBOT_JOINT_STATES)
        self._tf = create_publisher(self, TF) if has_messages(TF) else None
        self._status = StatusReport(self, SIM_STATUS, 'sim', self.robot.name)
        self._resets = [self._serve(*place) for place in _places(self.robot)]
        create_service(self, RESET_SIM, self._on_reset)

        self._joints_ns = 0  # stamp of the last joint states
        self._task.publish(String(data=sim.task))  # the scene comes with its operator
        self._reset()
        sim.render(cameras[0].name)  # slow the first time, and it may be impossible
        self._turns, self._rng = cycle(cameras), np.random.default_rng()
        create_timer(self, 1.0 / self.robot.joint_state_rate_hz, self._publish_joints)
        create_timer(self, 1.0 / sum(c.rate_hz for c in cameras), self._publish_image)
        create_timer(self, 1.0 / SUCCESS_HZ, self._publish_success)
        create_timer(self, 1.0 / VIEW_HZ, self._publish_view)
        create_timer(self, 1.0, self._report)
        if window is not None:
            create_timer(self, 1.0 / WINDOW_HZ, window.sync)
        is_source = self.get_parameter('use_sim_time').value
        self._clock_sender = create_publisher(self, CLOCK) if is_source else None
        self.get_logger().info(
            f'simulating {self.params.task}: physics at 500 Hz, joint states at '
            f'{self.robot.joint_state_rate_hz} Hz, {len(cameras)} cameras at '
            f'{cameras[0].rate_hz} Hz, scheduling {scheduling}'
            + (f'; {CLOCK.name} has the system time' if is_source else '')
        )

    def destroy_node(self) -> None:
        """Free the render context while OpenGL is still there, then the node."""
        if hasattr(self, 'scene'):
            self.scene.sim.close()
        super().destroy_node()

    def _now_ns(self) -> int:
        return self._system_time.now().nanoseconds

    def _advance(self) -> None:
        """Step the scene up to now."""
        skipped_ns = self.scene.advance(self._now_ns())
        if skipped_ns:
            self.get_logger().warning(f'skipped {skipped_ns * 1e-6:.0f} ms of real time')

    def _reset(self) -> int:
        """Put the scene into its start state; return the seed."""
        seed = int(self.get_parameter('seed').value)
        self.scene.reset(seed, self._now_ns(), self.params.states)
        for reset in self._resets:
            reset()
        return seed

    def _serve(self, arm: int, output: CommandOutput, first: int) -> Callable[[], None]:
        """Open the stand-in of an output, whose first joint is number ``first`` of an action.

        Raises:
            ConfigError: There is none for its driver.
        """
        if output.driver not in STAND_INS:
            msg = f'the simulator has stand-ins for {[*STAND_INS]}, not for {output.driver!r}'
            raise ConfigError(msg)

        def command(numbers: NDArray[np.float64]) -> None:
            self.scene.command(first, output.from_controller_units(numbers), self._now_ns())

        def measure() -> NDArray[np.float64]:
            self._advance()
            names, positions = joint_state(self.scene.sim, arm)
            return np.array([positions[names.index(joint)] for joint in output.joints])

        def motion() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            names, _ = joint_state(self.scene.sim, arm)
            mine = [names.index(joint) for joint in output.joints]
            velocities, efforts = joint_motion(self.scene.sim, arm)
            return velocities[mine], efforts[mine]

        topic = self.robot.arms[arm].joint_state_topic
        joints = SimulatedJoints(output, topic, command, measure, motion)
        return STAND_INS[output.driver].serve(self, joints)

    def _on_reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        seed = self._reset()
        response.success, response.message = True, f'scene of seed {seed}'
        self.get_logger().info(f'reset to the scene of seed {seed}')
        return response

    def _publish_joints(self) -> None:
        if self._clock_sender is not None:
            self._clock_sender.publish(ClockMessage(clock=time_message(self._now_ns())))
        self._advance()
        if self.scene.stamp_ns == self._joints_ns:
            return  # a late timer catches up: nothing new to measure
        self._joints_ns = self.scene.stamp_ns
        for i, publisher in self._joints.items():
            names, positions = joint_state(self.scene.sim, i)
            motion = joint_motion(self.scene.sim, i)
            publisher.publish(joint_state_message(names, positions, self.scene.stamp_ns, *motion))
        if has_listeners(self._state):
            self._state.publish(Float64MultiArray(data=self.scene.sim.state.tolist()))

    def _publish_image(self) -> None:
        self._advance()
        camera = next(self._turns)
        images, infos = self._images[camera.name], self._infos[camera.name]
        if not (has_listeners(images) or has_listeners(infos)):
            return  # drawing takes more than all else here
        start_s = time.perf_counter()
        image = self.scene.sim.render(camera.name)
        self._speed.add_image(time.perf_counter() - start_s)
        image = add_sensor_noise(image, self._rng)
        message = image_message(image, self.scene.stamp_ns, self._frames[camera.name])
        images.publish(message)
        infos.publish(camera_info_message(message, self.scene.sim.intrinsics(camera.name)))

    def _publish_success(self) -> None:
        self._advance()
        self._success.publish(Bool(data=self.scene.sim.success))

    def _publish_view(self) -> None:
        """Publish where the links are for who draws them."""
        if has_listeners(self._robot_joints):
            joints = joint_positions(self.scene.sim, self._arms)
            message = joint_state_message([*joints], [*joints.values()], self.scene.stamp_ns)
            self._robot_joints.publish(message)
        if self._tf is not None and has_listeners(self._tf):
            poses = link_poses(self.scene.sim, self._arms)
            seen = camera_poses(self.scene.sim, [*self._frames])
            poses |= {self._frames[camera]: pose for camera, pose in seen.items()}
            self._tf.publish(tf_message(poses, ROOT, self.scene.stamp_ns))

    def _report(self) -> None:
        status = self._speed.status(self._now_ns())
        level = 'ok' if status.real_time_factor > SLOW else 'warn'
        self._status.publish(level, f'{status.real_time_factor:.2f} of real time', status)


def _places(robot: RobotSpec) -> Iterator[tuple[int, CommandOutput, int]]:
    """Yield every output with the number of its arm and of its first joint in an action."""
    for i, (arm, mine) in enumerate(zip(robot.arms, robot.arm_slices, strict=True)):
        first = mine.start
        for output in arm.outputs:
            yield i, output, first
            first += len(output.joints)


def add_sensor_noise(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return an image with one flipped lowest bit in every row.

    Renders of a scene at rest are equal, images of a sensor never are: with so little noise a
    frozen camera is told from a scene at rest in the simulator as on a robot.

    Args:
        image: (height, width, 3) uint8 RGB.
        rng: Draws the pixel of each row.
    """
    height, width, _ = image.shape
    noisy = image.copy()
    noisy[np.arange(height), rng.integers(width, size=height), 1] ^= 1
    return noisy


def _open_window(sim: AlohaSim) -> Any:
    """Return a passive viewer.

    Raises:
        ConfigError: There is no display.
    """
    if not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
        msg = 'render is true but there is no display; set render to false or run on a desktop'
        raise ConfigError(msg)
    import mujoco.viewer

    return mujoco.viewer.launch_passive(sim.model, sim.data)


def main() -> None:
    """Run the node until Ctrl-C."""
    run_node(SimNode)


if __name__ == '__main__':
    main()

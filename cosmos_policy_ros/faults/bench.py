# SPDX-License-Identifier: Apache-2.0
"""The whole stack, its sensors behind a proxy, its processes at hand, watched from outside."""

from __future__ import annotations

from collections.abc import Mapping
import gc
import math
import os
from pathlib import Path
import signal
import subprocess
import time
from typing import Any

from cosmos_policy_ros.faults.proxy import Proxy, write_driver_file
from cosmos_policy_ros.faults.verdict import Seen
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import chunk_from_message, command_positions
from cosmos_policy_ros.ros.endpoints import (
    create_client,
    create_publisher,
    create_subscription,
    qos_profile,
    ros_class,
)
from cosmos_policy_ros.ros.episode_monitor import EpisodeMonitor
from cosmos_policy_ros.ros.stack_client import SIM_SERVICES, StackClient
from cosmos_policy_ros.stack.node_list import EXECUTOR, INFERENCE, NodeSpec, PLANNER, SIM, Value
from cosmos_policy_ros.stack.processes import start_node, stop_nodes
from cosmos_policy_ros.topics import (
    ACTION_CHUNK,
    ACTIVATE,
    CANDIDATES,
    ENABLE,
    ESTOP,
    JOINT_COMMAND,
    Qos,
    RESET_ESTOP,
    STOP,
    TASK,
    Topic,
)
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState, PointCloud2
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

STACK: tuple[NodeSpec, ...] = (SIM, INFERENCE, PLANNER, EXECUTOR)
START_S = 240.0  # [s] the nodes may take to start, beside other work
RESTART_S = 4.0  # [s] between two starts of a node that ends
PLAY_S = 120.0  # [s] until the first chunk plays; inference may have just been started again …
AGAIN_S = 10.0  # … [s] and the planner gives up meanwhile
MOVING_S = {'moving': 1.0, 'late': 3.0}  # [s] after the first chunk
MOVING_RAD_S = 0.15  # an arm joint is moving
NEWEST = 6  # commands by which motion is judged
EVERY_COMMAND = Qos('reliable', 'volatile', 200)


class FaultBench:
    """A stack that is started once, set up anew for every fault, and mended where one broke it.

    Attributes:
        node: The node of the campaign.
        robot: The robot as the stack knows it.
        proxy: Between its sensors and the stack.
        client: Services of the stack.
        commands: Times [s] and (A,) float64 positions of the commands since ``set_up``.
        modes: Modes of the executor since then, with their times [s].
        refused: Whether the last call of a fault was refused, None without one.
        complaint: What a kind itself found wrong.
        due_s: When the stack could see it at the earliest, by a kind itself, and …
        must_s: … when it had to; see ``Seen`` [s].
        own_rad_s: Highest speed of arm joints in the chunks since then [rad/s].
        answer: Newest candidates of an inference node.
        instruction: That of the simulator.
        why_not: Why the executor refused to be enabled last.
    """

    def __init__(self, node: Node, robot: Path, values: Mapping[str, Value], out: Path) -> None:
        """Open all topics; no process is started yet.

        Args:
            node: Node of the campaign, which nothing else spins.
            robot: Robot file.
            values: Arguments of the stack.
            out: Folder for the robot file of the driver and for ``logs/``.
        """
        self.node, self.robot = node, read_robot(robot)
        self._out = out
        (out / 'logs').mkdir(parents=True, exist_ok=True)
        driver = out / 'driver.yaml'
        write_driver_file(robot, driver)
        self._values = {
            SIM.name: {**values, 'robot': str(driver)},
            **{spec.name: {**values, 'robot': str(robot)} for spec in STACK[1:]},
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._started_s: dict[str, float] = {}  # monotonic
        self._strangers: list[Publisher] = []
        self.commands: list[tuple[float, NDArray[np.float64]]] = []
        self.modes: list[tuple[float, str]] = []
        self.reasons: list[str] = []  # of the modes
        self.refused: bool | None = None
        self.complaint, self.due_s, self.must_s = '', -math.inf, -math.inf
        self.own_rad_s = 0.0
        self.answer: PointCloud2 | None = None
        self.instruction = ''  # the simulator's, which comes before any stranger's
        self.why_not = ''
        self.proxy = Proxy(node, self.robot)
        self.monitor = EpisodeMonitor(node, self.robot.joint_names)
        create_subscription(node, JOINT_COMMAND, self._on_command, EVERY_COMMAND)
        create_subscription(node, ACTION_CHUNK, self._on_chunk)
        create_subscription(node, CANDIDATES, self._on_answer)
        create_subscription(node, TASK, self._on_task)
        self._stop = create_publisher(node, STOP)
        self._estop, self._reset = create_client(node, ESTOP), create_client(node, RESET_ESTOP)
        self.client = StackClient(node, (ENABLE, ACTIVATE, *SIM_SERVICES))
        # A collection takes so long that joint states behind the proxy are late for it.
        gc.freeze()
        gc.disable()

    # The stack ---------------------------------------------------------------------------------

    def set_up(self, seed: int) -> None:
        """Bring the stack into a known state: all nodes there, nothing spoiled, arms at rest.

        A node that was killed is seen by the others for 20 s: until then the one that replaces it
        refuses to start, and its services do not answer. It may also leave shared memory of DDS
        behind in which its successor hears nothing, so what does not answer is started again.

        Raises:
            RuntimeError: A node refuses.
            TimeoutError: One does not come.
        """
        self.undo()
        end_s = time.monotonic() + START_S
        while True:
            try:
                self.client.wait_until_ready(self._start_missing, START_S)
                self.client.activate(False)
                self.call(self._reset)
                self.client.enable(False)
                self.client.reset(seed)
                break
            except TimeoutError:
                if time.monotonic() > end_s:
                    raise
                stop_nodes(self._processes.values())
        gc.collect()
        self.commands.clear()
        self.modes.clear()
        self.reasons.clear()
        self.refused, self.complaint = None, ''
        self.due_s, self.must_s = -math.inf, -math.inf
        self.answer, self.own_rad_s = None, 0.0

    def begin(self, moment: str) -> None:
        """Enable, and unless the arms shall stand still let the policy move them for a while.

        Raises:
            RuntimeError: A node refuses.
            TimeoutError: The arms do not move.
        """
        self.client.wait(self.enable, 20.0, lambda: f'not enabled: {self.why_not}')
        if moment == 'still':
            self.client.pause(0.5)
            return
        self._activate()
        self.client.pause(MOVING_S[moment])
        self.client.wait(self._moves, 10.0, lambda: f'the arms do not move, mode {self.mode}')

    def undo(self) -> None:
        """Take back what faults left behind, but not what they broke."""
        self.proxy.clear()
        while self._strangers:
            self.node.destroy_publisher(self._strangers.pop())
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End all processes."""
        self.undo()
        stop_nodes(self._processes.values())

    def start(self, name: str) -> None:
        """Start a node that does not run, unless it was started just now."""
        old, now_s = self._processes.get(name), time.monotonic()
        early = now_s - self._started_s.get(name, -RESTART_S) < RESTART_S
        if early or (old is not None and old.poll() is None):
            return
        self._started_s[name] = now_s
        spec = next(spec for spec in STACK if spec.name == name)
        log = self._out / 'logs' / f'{name}.log'
        self._processes[name] = start_node(spec, self._values[name], log)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the process of a node."""
        process = self._processes[name]
        process.send_signal(number)
        while number == signal.SIGKILL and process.poll() is None:
            self.pause(0.01)

    # What happens ------------------------------------------------------------------------------

    @property
    def mode(self) -> str:
        """Newest mode of the executor, empty before the first."""
        return self.modes[-1][1] if self.modes else ''

    @property
    def pose(self) -> NDArray[np.float64]:
        """(A,) newest command [rad; gripper 0..1]; the start pose before the first."""
        return self.commands[-1][1] if self.commands else self.robot.start.astype(np.float64)

    @property
    def memory_mb(self) -> float:
        """Memory that the processes of the stack hold together [MB]."""
        pages = 0
        for process in self._processes.values():
            if process.poll() is None:
                statm = Path('/proc', str(process.pid), 'statm').read_text(encoding='ascii')
                pages += int(statm.split()[1])
        return pages * os.sysconf('SC_PAGE_SIZE') * 1e-6

    def pause(self, seconds: float) -> None:
        """Let things happen for a while."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0.0:
            self.client.spin_once(left_s)
            self._note_mode()

    def why(self, start_s: float) -> str:
        """Return the first reason that the executor gave for a mode since a time [s]."""
        pairs = zip(self.modes, self.reasons, strict=True)
        return next((reason for (at_s, _), reason in pairs if at_s >= start_s and reason), '')

    def seen(self, begin_s: float, end_s: float) -> Seen:
        """Return what was recorded since ``set_up``, with when the fault was [s, monotonic]."""
        commands = [(at_s, pose) for at_s, pose in self.commands if at_s >= begin_s]
        modes = list(self.modes)
        return Seen(
            begin_s,
            end_s,
            modes,
            commands,
            self.refused,
            self.complaint,
            self.due_s,
            self.must_s,
            self.own_rad_s,
        )

    def moving_joint(self) -> tuple[int, int]:
        """Return the number of the arm, and the place in it, of the joint that moves most.

        By the newest commands; what stands still cannot be seen to be stuck, and the arms take
        turns in a scene.
        """
        newest = np.array([pose for _, pose in self.commands[-NEWEST:]])
        ways = np.where(self.robot.arm_joints, np.ptp(newest, axis=0), 0.0)
        joint = int(ways.argmax())
        at = next(i for i, place in enumerate(self.robot.arm_slices) if joint < place.stop)
        return at, joint - self.robot.arm_slices[at].start

    def top_speed(self) -> float:
        """Return the highest speed of arm joints in the commands so far [rad/s]."""
        arm = self.robot.arm_joints
        pairs = zip(self.commands, self.commands[1:], strict=False)
        period_s = 1.0 / self.robot.control_rate_hz
        steps = [np.abs(b[arm] - a[arm]).max() / max(t - s, period_s) for (s, a), (t, b) in pairs]
        return float(max(steps, default=0.0))

    def call(self, client: Any) -> Trigger.Response:
        """Call a service without arguments."""
        future = client.call_async(Trigger.Request())
        self.client.wait(future.done, 10.0, lambda: f'{client.srv_name}: no answer')
        return future.result()

    def press_stop(self) -> None:
        """Press the emergency stop by its service."""
        self._estop.call_async(Trigger.Request())

    def send_stop(self) -> None:
        """Send a message on the stop topic."""
        self._stop.publish(ros_class(STOP.type)())

    def try_to_enable(self) -> None:
        """Call the service as a person does, and note whether it refuses."""
        self.refused = not self.enable()

    def reset_stop(self) -> None:
        """Let go of the emergency stop."""
        self.call(self._reset)

    def stranger(self, topic: Topic, depth: int = 10) -> Publisher:
        """Return a publisher on a topic that belongs to somebody else; gone after the fault."""
        profile = qos_profile(Qos(topic.qos.reliability, topic.qos.durability, depth))
        publisher = self.node.create_publisher(ros_class(topic.type), topic.ros_name, profile)
        self._strangers.append(publisher)
        return publisher

    def enable(self) -> bool:
        """Allow motion and return whether the executor does; see ``why_not`` where it refuses."""
        try:
            self.client.enable(True)
        except RuntimeError as error:
            self.why_not = str(error)
            self.client.pause(0.2)
            return False
        return True

    def _activate(self) -> None:
        """Let the policy act, and wait for that.

        Raises:
            TimeoutError: No chunk is played.
        """
        end_s = time.monotonic() + PLAY_S
        why = 'no chunk is played'
        while self.mode != 'playing':
            if time.monotonic() > end_s:
                raise TimeoutError(why)
            try:
                self.client.activate(True)
            except RuntimeError as error:  # it does not see yet what was just started
                why = str(error)
                self.pause(0.5)
                continue
            why = 'no chunk is played'
            again_s = time.monotonic() + AGAIN_S
            while self.mode != 'playing' and time.monotonic() < again_s:
                self.pause(0.1)

    def _moves(self) -> bool:
        recent = [pose for _, pose in self.commands[-NEWEST:]]
        way = np.abs(np.diff(np.array(recent), axis=0))[:, self.robot.arm_joints]
        speed = way.max(initial=0.0) * self.robot.control_rate_hz
        return self.mode == 'playing' and speed > MOVING_RAD_S

    def _start_missing(self) -> list[str]:
        """Start the nodes that do not run; return the names of what is not there yet."""
        self._note_mode()
        streams = [t for t in self.robot.joint_state_topics if t not in self.proxy.measured]
        for spec in STACK:
            self.start(spec.name)
        there = [] if self.monitor.executor else [EXECUTOR.name]
        return [
            *self.client.missing(),
            *streams,
            *there,
            *([] if self.instruction else [TASK.name]),
        ]

    def _note_mode(self) -> None:
        status = self.monitor.executor
        if status is not None and status.mode != self.mode:
            self.modes.append((time.monotonic(), status.mode))
            self.reasons.append(status.reason)

    def _on_command(self, message: JointState) -> None:
        self._note_mode()
        positions = command_positions(message, self.robot.joint_names)
        self.commands.append((time.monotonic(), positions.astype(np.float64)))

    def _on_chunk(self, message: JointTrajectory) -> None:
        try:
            chunk = chunk_from_message(message, self.robot.joint_names)
        except ValueError:  # a stranger's
            return
        steps = np.abs(np.diff(chunk.positions[:, self.robot.arm_joints], axis=0))
        self.own_rad_s = max(self.own_rad_s, float(steps.max()) * chunk.rate_hz)

    def _on_answer(self, message: PointCloud2) -> None:
        self.answer = message

    def _on_task(self, message: String) -> None:
        self.instruction = self.instruction or message.data

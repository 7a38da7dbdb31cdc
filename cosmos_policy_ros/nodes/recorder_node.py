# SPDX-License-Identifier: Apache-2.0
"""Records episodes: start, stop with a label, or discard; one bag each.

Messages are written as they came. When an episode may begin, and when it ends by itself, is
decided by ``data/bags/session.py``. What a recorder that was killed left in the folder
is finished at the start of the next one. How many are wanted and done, and what is said of the
last one, is kept by ``data/bags/loop.py``: the recorder alone writes into its folder, whoever
sends the labels and from whichever machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import time

from cosmos_policy_ros.data.bags.preflight import stream_rates
from cosmos_policy_ros.data.bags.provenance import hash_checkpoint
from cosmos_policy_ros.data.bags.recovery import recover_all
from cosmos_policy_ros.data.bags.session import RecordingSession, SessionLimits
from cosmos_policy_ros.data.bags.start_images import list_references, read_start_images
from cosmos_policy_ros.data.bags.stream_watch import StreamWatch
from cosmos_policy_ros.data.bags.writer import custom_text, definition
from cosmos_policy_ros.drivers.jpeg import encode_jpeg
from cosmos_policy_ros.resources import PACKAGE
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.capture import Capture, recorded_topics
from cosmos_policy_ros.ros.convert import compressed_message
from cosmos_policy_ros.ros.diagnostics import StatusReport
from cosmos_policy_ros.ros.endpoints import create_publisher, create_service, create_timer
from cosmos_policy_ros.ros.image_wall import compose_wall
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.topics import (
    DISCARD_RECORDING,
    LABEL_RECORDING,
    RECORDER_STATUS,
    START_IMAGES,
    START_RECORDING,
    STOP_RECORDING,
    TASK,
)
from cosmos_policy_ros.types import Circumstances, ConfigError
from rcl_interfaces.srv import SetParametersAtomically
import rclpy
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

CHECK_S = 0.1  # [s] between two checks of streams and disk
REPORT_S = 1.0  # [s] between two reports while nothing changes
JPEG_QUALITY = 90  # of the start state, which live images are compared with
SOURCES = ('demo', 'rollout')
ACTIONS = ('command', 'state-next')


@dataclass(frozen=True)
class RecorderParams:
    """Parameters of the recorder."""

    robot: str = param('', 'Robot YAML file; the launch file sets it.')
    out: str = param('', 'Folder for the bags; the launch file sets it.')
    source: str = param('demo', 'demo when a human or a script acts, rollout when a policy acts.')
    operator_id: str = param('', 'Who records; it is kept with every episode.')
    station_id: str = param('', 'Where the robot stands; it is kept with every episode.')
    robot_id: str = param('', 'Which robot of its kind it is; it is kept with every episode.')
    is_eval_episode: bool = param(
        False, 'true when the episodes measure a policy; it is kept with every episode.'
    )
    policy: str = param(
        '', 'Checkpoint folder of the policy that acts, whose hash is kept; empty for none.'
    )
    actions: str = param(
        'command',
        'What demonstrations are imitated by: command, so that none begins while no joint command '
        'is sent, or state-next, the measured joints of an arm moved by hand.',
    )
    n_episodes: int = param(
        0,
        'Episodes that are wanted in the folder, with those that are done; may be set while '
        'running. 0 goes on with the number that the folder has, or counts without one.',
        0,
        1000000,
        live=True,
    )
    reference: str = param(
        '',
        'Bag, or folder of bags, whose first images are shown to set the scene up by; of several, '
        'each episode has its own, in the order of their names. Empty shows none.',
    )
    compress: bool = param(
        False,
        'true shrinks rendered images a lot; the images of real cameras hardly shrink and '
        'cost a core.',
    )
    max_age_s: float = param(
        0.5, 'Age of a camera or an arm beyond which an episode does not start [s].', 0.01, 10.0
    )
    max_silence_s: float = param(
        0.5, 'Silence of a camera or an arm that ends the episode as invalid [s].', 0.01, 10.0
    )
    min_free_mb: float = param(
        2000.0,
        'Free disk below which the episode ends [MB]; four VGA cameras fill 110 MB/s.',
        0.0,
        1e9,
    )


class RecorderNode(Node):
    """Write one bag per episode."""

    def __init__(self) -> None:
        """Finish what was left unfinished, then subscribe; nothing is recorded before a start.

        Raises:
            ConfigError: The robot file, the source, the checkpoint or the folder is wrong.
        """
        super().__init__('recorder')
        self.params = p = declare(self, RecorderParams)
        robot = read_robot(Path(p.robot))
        live = read_robot(Path(p.robot), self.get_namespace())
        if p.source not in SOURCES:
            msg = f'parameter source is {p.source!r}; give one of {SOURCES}'
            raise ConfigError(msg)
        if p.actions not in ACTIONS:
            msg = f'parameter actions is {p.actions!r}; give one of {ACTIONS}'
            raise ConfigError(msg)
        details = {'source': p.source, 'robot': robot.name}
        about = Circumstances(
            p.operator_id or None, p.station_id or None, p.robot_id or None, p.is_eval_episode
        )
        details |= {name: custom_text(value) for name, value in about.known.items()}
        details['namespace'] = self.get_namespace()
        details['robot_yaml'] = Path(p.robot).read_text(encoding='utf-8')
        if p.policy:
            details['checkpoint'] = hash_checkpoint(Path(p.policy))
        out = _open_folder(p.out)
        recovered = recover_all(out)
        for path in recovered:
            self.get_logger().warning(
                f'finished {path}, which an earlier recorder left incomplete'
            )
        acted = p.source == 'demo' and p.actions == 'command'
        limits = SessionLimits(p.max_age_s, p.max_silence_s, p.min_free_mb, acted)
        watch = StreamWatch(robot)
        self._session = RecordingSession(
            out, details, stream_rates(robot), limits, watch, p.compress, p.n_episodes, recovered
        )
        self._task, self._reported_s = self._session.loop.task, 0.0  # [s, monotonic]
        self._robot = robot
        self._references = list_references(Path(p.reference).expanduser()) if p.reference else []
        self._shown: Path | None = None  # of the references

        topics = recorded_topics(robot, live)
        for msg_type in {topic.type for topic in topics.values()}:
            definition(msg_type)  # now, not while an episode starts
        self._status = StatusReport(self, RECORDER_STATUS, 'recorder', robot.name)
        self._start_images = create_publisher(self, START_IMAGES)
        self._show_start()
        self._capture = Capture(self, topics, {TASK.name: self._on_task}, self._look)
        create_service(self, START_RECORDING, self._on_start)
        create_service(self, STOP_RECORDING, self._on_stop)
        create_service(self, DISCARD_RECORDING, self._on_discard)
        create_service(self, LABEL_RECORDING, self._on_label)
        create_timer(self, CHECK_S, self._check)
        self.get_logger().info(f'ready; episodes of {robot.name} go to {out}')

    def destroy_node(self) -> None:
        """Keep what is being recorded when the node is ended in mid-episode."""
        if self._session.recording is not None:
            self._session.end(self._now_ns(), None, cut='the recorder was stopped')
            self._after_end()
        super().destroy_node()

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _on_task(self, message: String) -> None:
        self._task = message.data
        self._report()

    def _on_start(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Begin an episode, or answer what is missing."""
        try:
            path = self._session.start(self._now_ns(), self._task)
        except (ValueError, OSError) as error:
            return self._answer(response, False, f'not started: {error}')
        self._capture.start(self._write)
        return self._answer(response, True, f'recording {path}')

    def _on_stop(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """End the episode with its label."""
        session = self._session
        if session.recording is None:
            return self._answer(response, False, f'not recording; {session.last}')
        session.end(self._now_ns(), success=bool(request.data))
        self._after_end()
        return self._answer(response, not session.failed, session.last)

    def _on_discard(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Throw the episode away."""
        session = self._session
        if session.recording is None:
            return self._answer(response, False, f'not recording; {session.last}')
        self._capture.stop()
        session.discard()
        return self._answer(response, True, session.last)

    def _on_label(
        self,
        request: SetParametersAtomically.Request,
        response: SetParametersAtomically.Response,
    ) -> SetParametersAtomically.Response:
        """Label an ended episode; what is answered is on the disk."""
        result, session = response.result, self._session
        try:
            given = {p.name: parameter_value_to_python(p.value) for p in request.parameters}
            if session.recording is not None:
                msg = 'an episode is being recorded; end it first'
                raise ValueError(msg)
            result.reason = session.loop.change(given)
            result.successful = True
            self.get_logger().info(result.reason)
        except (ValueError, OSError, RuntimeError) as error:  # the last of a type that is none
            result.successful, result.reason = False, f'not saved: {error}'
            self.get_logger().error(result.reason)
        self._show_start()
        self._report()
        return response

    def _show_start(self) -> None:
        """Publish the start state of the next episode, where it is another than before."""
        if not self._references:
            return
        path = self._references[self._session.loop.n_done % len(self._references)]
        if path == self._shown:
            return
        self._shown, jpeg = path, b''  # which shows nothing, rather than the one before
        try:
            images = read_start_images(path, self._robot)
            wall = compose_wall(self._robot.cameras, images, {}, None)
            jpeg = encode_jpeg(wall, JPEG_QUALITY)
        except ConfigError as error:
            self.get_logger().error(str(error))
        self._start_images.publish(compressed_message(jpeg, self._now_ns(), path.name))

    def _answer(
        self,
        response: Trigger.Response | SetBool.Response,
        success: bool,
        message: str,
    ) -> Trigger.Response | SetBool.Response:
        """Fill in a response, log and report it."""
        response.success, response.message = success, message
        log = self.get_logger()
        if success:
            log.info(message)
        else:
            log.error(message)
        self._report()
        return response

    def _write(self, topic: str, msg_type: str, data: bytes, stamp_ns: int) -> None:
        """Write a message of the running episode."""
        if not self._session.write(topic, msg_type, data, stamp_ns):
            self._after_end()

    def _look(self, topic: str, msg_type: str, data: bytes, stamp_ns: int) -> None:
        """Judge a message, and end the running episode when it is of no use."""
        running = self._session.recording is not None
        if not self._session.look(topic, msg_type, data, stamp_ns) and running:
            self._after_end()

    def _check(self) -> None:
        """End the episode when it must not go on, and report from time to time."""
        self._session.loop.want(int(self.get_parameter('n_episodes').value))
        if self._session.check(self._now_ns()):
            self._after_end()
        if time.monotonic() - self._reported_s > REPORT_S:
            self._report()

    def _after_end(self) -> None:
        """Stop handing messages on, and report what became of the episode."""
        self._capture.stop()
        running = self.context.ok()  # not after Ctrl-C, when no log of the node leaves any more
        if self._session.failed:
            log = self.get_logger() if running else rclpy.logging.get_logger(PACKAGE)
            log.error(self._session.last)
        if running:
            self._show_start()
            self._report()

    def _report(self) -> None:
        """Publish state and figures."""
        self._reported_s = time.monotonic()
        session = self._session
        status = session.status(self._now_ns(), self._task)
        level = 'error' if session.failed else 'warn' if status.stale else 'ok'
        self._status.publish(level, status.path or status.last, status)


def _open_folder(out: str) -> Path:
    """Return the folder for the bags, made where it is missing."""
    if not out:
        msg = 'parameter out is empty; name the folder for the bags, for example out:=data/task'
        raise ConfigError(msg)
    folder = Path(out).expanduser().resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f'cannot make the folder {folder} ({error.strerror}); name another one with out'
        raise ConfigError(msg) from error
    return folder


def main() -> None:
    """Run the node until Ctrl-C."""
    run_node(RecorderNode)


if __name__ == '__main__':
    main()

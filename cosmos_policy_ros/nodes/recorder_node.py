# SPDX-License-Identifier: Apache-2.0
"""Records episodes: start, stop with a label, or discard; one bag each.

Messages are written as they came, never decoded. An episode does not start while a camera or an
arm is silent, and ends by itself, marked, when one falls silent or the disk gets full. What a
recorder that was killed left in the folder is finished at the start of the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import shutil

from cosmos_policy_ros.data.bags.recording import (
    find_full,
    find_stale,
    hash_folder,
    next_episode,
    Recording,
    stream_rates,
)
from cosmos_policy_ros.data.bags.recovery import recover_all
from cosmos_policy_ros.data.bags.writer import definition
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.capture import Capture, recorded_topics, type_name
from cosmos_policy_ros.ros.control_loop import spin_events
from cosmos_policy_ros.ros.diagnostics import Diagnostics
from cosmos_policy_ros.ros.observer import TASK_TOPIC
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.types import ConfigError
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

CHECK_S = 0.1  # [s] between two looks at streams and disk
REPORT_S = 1.0  # [s] between two reports while nothing changes
SOURCES = ('demo', 'rollout')


@dataclass(frozen=True)
class RecorderParams:
    """Parameters of the recorder."""

    robot: str = param('', 'Robot YAML.')
    out: str = param('', 'Folder for the bags.')
    source: str = param('demo', 'demo (a human or a script acts) or rollout (a policy).')
    operator: str = param('', 'Who records; kept with every episode.')
    policy: str = param('', 'Checkpoint folder of the policy that acts, for its hash.')
    compress: bool = param(False, 'Whether bags are compressed with zstd.')
    max_age_s: float = param(0.5, 'An older stream refuses the start [s].', 0.01, 10.0)
    max_silence_s: float = param(0.5, 'A longer silence ends the episode [s].', 0.01, 10.0)
    min_free_mb: float = param(2000.0, 'Less free disk ends the episode [MB].', 0.0, 1e9)


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
        if p.source not in SOURCES:
            msg = f'parameter source is {p.source!r}; give one of {SOURCES}'
            raise ConfigError(msg)
        self._details = {'source': p.source, 'operator': p.operator, 'robot': robot.name}
        self._details['robot_yaml'] = Path(p.robot).read_text(encoding='utf-8')
        if p.policy:
            self._details['checkpoint'] = hash_folder(Path(p.policy))
        self._out = _open_folder(p.out)
        for path in recover_all(self._out):
            self.get_logger().warning(
                f'finished {path}, which an earlier recorder left incomplete'
            )

        topics = recorded_topics(robot)
        for kind in set(topics.values()):
            definition(type_name(kind))  # now, not while an episode starts

        self._rates_hz = stream_rates(robot)
        self._recording: Recording | None = None
        self._task, self._last = '', 'nothing recorded yet'
        self._failed, self._reported_ns, self._start_ns = False, 0, 0
        self._diagnostics = Diagnostics(self, 'recorder')
        listeners = {TASK_TOPIC: self._on_task}
        self._capture = Capture(self, topics, listeners)
        self.create_service(Trigger, 'recorder/start', self._on_start)
        self.create_service(SetBool, 'recorder/stop', self._on_stop)
        self.create_service(Trigger, 'recorder/discard', self._on_discard)
        self.create_timer(CHECK_S, self._check)
        self.get_logger().info(f'ready; episodes of {robot.name} go to {self._out}')

    def destroy_node(self) -> None:
        """Keep what is being recorded when the node is ended in mid-episode."""
        if self._recording is not None:
            self._end(success=None, cut='the recorder was stopped')
        super().destroy_node()

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _on_task(self, message: String) -> None:
        self._task = message.data
        self._report()

    def _on_start(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Begin an episode, or say what is missing."""
        now_ns = self._now_ns()
        reason = 'an episode is being recorded' if self._recording is not None else ''
        reason = reason or find_stale(
            self._capture.newest_ns, self._rates_hz, now_ns, self.params.max_age_s
        )
        if not reason and not self._task:
            reason = f'no task; publish it on {TASK_TOPIC} (std_msgs/String, transient local)'
        reason = reason or find_full(self._out, self.params.min_free_mb)
        if reason:
            return self._answer(response, False, f'not started: {reason}')
        path = next_episode(self._out)
        details = {**self._details, 'task': self._task}
        try:
            recording = Recording(path, details, self._rates_hz, now_ns, self.params.compress)
        except OSError as error:
            return self._answer(response, False, f'not started: {error}')
        self._recording, self._start_ns, self._failed = recording, now_ns, False
        self._capture.start(self._write)
        return self._answer(response, True, f'recording {path}')

    def _on_stop(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """End the episode with its label."""
        if self._recording is None:
            return self._answer(response, False, f'not recording; {self._last}')
        self._end(success=bool(request.data))
        return self._answer(response, not self._failed, self._last)

    def _on_discard(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Throw the episode away."""
        if self._recording is None:
            return self._answer(response, False, f'not recording; {self._last}')
        self._capture.stop()
        self._recording.discard()
        self._last, self._recording = f'{self._recording.path} was discarded', None
        return self._answer(response, True, self._last)

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
        """Write a message; a failing disk ends the episode."""
        assert self._recording is not None
        try:
            self._recording.write(topic, msg_type, data, stamp_ns)
        except OSError as error:
            self._end(success=None, cut=f'writing failed: {error.strerror}')

    def _check(self) -> None:
        """End the episode when a stream is silent or the disk almost full."""
        now_ns = self._now_ns()
        if self._recording is not None:
            silent = self._recording.find_silent(now_ns, self.params.max_silence_s)
            full = '' if silent else find_full(self._out, self.params.min_free_mb)
            if silent or full:
                self._end(success=None, cut=silent or full, invalid=silent)
        if now_ns - self._reported_ns > REPORT_S * 1e9:
            self._report()

    def _end(self, success: bool | None, cut: str = '', invalid: str = '') -> None:
        """Close the bag; what cannot be closed stays unfinished for the next recorder."""
        recording, self._recording = self._recording, None
        assert recording is not None
        self._capture.stop()
        now_ns = self._now_ns()
        if not cut:  # a stream that stopped since the last look
            invalid = recording.find_silent(now_ns, self.params.max_silence_s)
        self._failed = bool(cut or invalid)
        try:
            audit = recording.finish(now_ns, success, cut, invalid)
        except OSError as error:
            self._failed = True
            self._last = f'{recording.path} is unfinished: {error}; make room and start a recorder'
        else:
            seconds = (now_ns - self._start_ns) * 1e-9
            n = sum(row['count'] for row in audit.values())
            self._last = f'{recording.path} has {seconds:.1f} s, {n} messages'
            self._last += f', ended because {cut}' if cut else ''
            self._last += f', invalid because {invalid}' if invalid and not cut else ''
        if self._failed:
            self.get_logger().error(self._last)
        if self.context.ok():  # not after Ctrl-C
            self._report()

    def _report(self) -> None:
        """Publish state and figures."""
        now_ns, recording = self._now_ns(), self._recording
        self._reported_ns = now_ns
        stale = find_stale(self._capture.newest_ns, self._rates_hz, now_ns, self.params.max_age_s)
        self._diagnostics.publish(
            'error' if self._failed else 'warn' if stale else 'ok',
            str(recording.path) if recording else self._last,
            state='recording' if recording else 'idle',
            last=self._last,
            seconds=f'{(now_ns - self._start_ns) * 1e-9:.1f}' if recording else '0.0',
            messages=recording.n if recording else 0,
            mb=f'{recording.n_bytes / 1e6:.1f}' if recording else '0.0',
            free_mb=round(shutil.disk_usage(self._out).free / 1e6),
            stale=stale,
            task=self._task,
        )


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
    run_node(RecorderNode, spin_events)


if __name__ == '__main__':
    main()

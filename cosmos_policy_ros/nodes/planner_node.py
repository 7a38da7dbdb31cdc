# SPDX-License-Identifier: Apache-2.0
"""Queries the policy while the arms move and sends the best candidate to the executor.

Row 0 of an answer is due at the stamp of its query, so the rows that pass while the networks
compute are skipped by the executor. They are the committed rows of the query: what the executor
plays until then (``control/mirror.py``), so that old and new chunk agree where they meet. For that
a query leaves on a row of the running chunk. Answers of several inference nodes to one query are
merged (``control/merging.py``).

Whatever ends motion, another instruction, and the end of answers end the queries too: nothing
moves because arms are enabled or a node has come back, before somebody activates the policy anew.
A node that was killed is seen on the graph for 20 s, and another may be in its place sooner: arms
that have come to rest are not moved by an answer of one that came since the activation. While a
person has taken over none leaves, and answers to those before do not count; once the person gives
back the policy is asked at once.

While the policy is not active, the arms go to the start pose for as long as a person presses for
it (``control/homing.py``).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
import math
from pathlib import Path
import time
from typing import NamedTuple

from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.control.collision import open_scene, tool_distances_m
from cosmos_policy_ros.control.done import DONE_ABOVE, DoneWatch, ENGAGED_BELOW, HELD_S
from cosmos_policy_ros.control.homing import Homing
from cosmos_policy_ros.control.merging import CandidateMerger, Merged
from cosmos_policy_ros.control.mirror import ExecutorMirror
from cosmos_policy_ros.control.pacing import most_committed_rows, MOST_ROWS, Pacer
from cosmos_policy_ros.control.stall import StallWatch
from cosmos_policy_ros.core.facts import read_facts
from cosmos_policy_ros.core.planner import aggregate, make_plan, select
from cosmos_policy_ros.core.protocol import PolicyFacts
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import (
    active_since_ns,
    candidates_from_message,
    chunk_message,
    command_positions,
    trajectory_message,
)
from cosmos_policy_ros.ros.diagnostics import StatusReport, subscribe_status
from cosmos_policy_ros.ros.discovery import refuse_second_stack
from cosmos_policy_ros.ros.endpoints import (
    create_publisher,
    create_service,
    create_subscription,
    create_timer,
)
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.playback_params import PlaybackParams
from cosmos_policy_ros.ros.service_calls import ANSWER_S
from cosmos_policy_ros.status import ExecutorStatus, InferenceStatus, PlannerStatus, Stage
from cosmos_policy_ros.topics import (
    ACTION_CHUNK,
    ACTIVATE,
    CANDIDATES,
    EXECUTOR_STATUS,
    HOME,
    INFERENCE_STATUS,
    JOINT_COMMAND,
    PLANNER_STATUS,
    QUERY,
    TASK,
)
from cosmos_policy_ros.types import Candidates, ConfigError, Plan
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import JointState, PointCloud2
from std_msgs.msg import Empty, String
from std_srvs.srv import SetBool

TICK_HZ = 100.0  # how fine the time of a query is
HELD_NS = 200_000_000  # age of a command beyond which nobody knows where the arms are
LATE_NS = 40_000_000  # how long after a row a query of its stamp may still leave
MISMATCH_RAD = 0.05  # more between committed rows and commands is a warning
KEPT_NS = 10_000_000_000  # how long an answer to a query may take at most
SAME_HZ = 1e-3  # [Hz] by which rates of rows may differ, rounded to float32 times on the way
APART_NS = 100_000_000  # by which the clocks of two machines may differ
WATCH_S = 0.1  # [s] between two looks whether anybody can answer
SHOWN = 60  # characters of an instruction in a message
NO_VALUE = '; the policy has no value: planning is off'


class _Asked(NamedTuple):
    """What a query went out with: its (n, A) committed rows, and the share of the speed."""

    rows: NDArray[np.float32]
    speed_scale: float


@dataclass(frozen=True)
class PlannerParams(PlaybackParams):
    """Parameters of the planner node."""

    robot: str = param('', 'Robot YAML file; the launch file sets it.')
    checkpoint: str = param(
        '',
        'Checkpoint folder of the policy, whose rate and horizon the first query needs; empty '
        'commits to rows from the second on. The launch file sets it.',
    )
    replan_s: float = param(
        0.8,
        'Time from one query to the next [s]; a shorter one reacts faster and computes more.',
        0.02,
        60.0,
    )
    margin_s: float = param(
        0.2,
        'How much longer than the slowest answer the running chunk must last [s]; 0 risks '
        'that the arms wait.',
        0.0,
        10.0,
    )
    timeout_s: float = param(
        0.5,
        'Shortest time before an unanswered query is repeated [s]; 1.5 times the slowest '
        'latency if that is longer.',
        0.1,
        60.0,
    )
    speed_scale: float = param(
        1.0,
        'Share of its own speed at which the policy moves the arms; may be set while running, '
        'and holds from the next chunk on.',
        0.1,
        1.0,
        live=True,
    )
    stop_when_done: bool = param(
        False,
        'true ends the queries once the value says that the task is done: it fell below '
        f'{ENGAGED_BELOW} and has held above {DONE_ABOVE} for {HELD_S:g} s since.',
    )
    most_rows: int = param(
        MOST_ROWS,
        'Most committed rows of a query; more tolerate slower answers, and the arms react later. '
        '0 commits to none.',
        0,
        1000,
    )
    give_up_s: float = param(
        10.0,
        'Time without an answer after which the queries end [s]: whoever answers then moves '
        'nothing. A policy whose answers take longer needs a longer one.',
        1.0,
        3600.0,
    )
    merge_s: float = param(
        0.1, 'How long further inference nodes may take after the first answer [s].', 0.0, 10.0
    )
    aggregation: str = param(
        'majority_mean',
        'Rule that makes one score of all values: average, lcb, success_vote or majority_mean.',
    )
    selection: str = param(
        'decisive',
        'decisive leaves candidate 0 only for another plan whose score is higher by more than the '
        'ensemble is unsure of; reference for any better score; argmax takes the best.',
    )
    discovery_s: float = param(
        3.5,
        'How long to search for another source of chunks [s]; a shorter time may overlook one.',
        0.0,
        30.0,
    )


class PlannerNode(Node):
    """Query, choose, publish."""

    def __init__(self) -> None:
        """Open the topics; no query leaves before ``planner/activate``.

        Raises:
            ConfigError: The robot file or the checkpoint is wrong, a rule, a seam or an
                interpolation does not exist, or another planner runs.
        """
        super().__init__('planner')
        self.params = p = declare(self, PlannerParams)
        self.robot = read_robot(Path(p.robot), self.get_namespace())
        self._policy = _read_policy(p)
        self._rate_hz = self._policy.rate_hz if self._policy else None
        self._most_rows, self._open_loop_rows = p.most_rows, 0
        if policy := self._policy:
            trained, self._open_loop_rows = policy.committed_rows, policy.open_loop_rows
            self._most_rows = most_committed_rows(trained, policy.horizon, p.most_rows)
        _check_rules(p)
        self._settings = p.playback
        waits = self._settings.waits
        self._pacer = Pacer(p.replan_s, p.margin_s, p.timeout_s, self._most_rows, waits)
        self._mirror = ExecutorMirror(self.robot, self._settings)
        self._homing = Homing(self.robot)
        self._stall = StallWatch(ANSWER_S)
        self._held: tuple[int, NDArray[np.float32]] | None = None  # newest command, stamp [ns]
        self._scene, self._n_rejected = open_scene(self.robot), 0
        self._since_ns = self._now_ns()  # answers to queries up to then do not count
        self._activated_ns = 0
        self._known_ns: set[int] = set()  # since when nodes have been active whose answers counted
        self._is_begun = False  # whether an answer has counted since the activation
        self._watched_ns = self._since_ns
        self._asked: dict[int, _Asked] = {}  # by the stamp of the query
        self._merger = CandidateMerger(p.merge_s)
        self._plan: Plan | None = None
        self._done = DoneWatch()
        self._n_plans, self._n_choices = 0, 0  # since the start
        self._committed, self._delay_rows, self._mismatch_rad = 0, 0.0, float('nan')  # of it
        self._trouble, self._astray = '', ''
        self._stopped = ''  # why the queries ended by themselves
        self._n_ignored = 0  # answers, since the start
        self._depth = 1  # of the newest answer
        self._inference_stage: Stage | None = None  # of the node that reported last
        self._enabled = False  # motion, by the newest status of the executor
        self._taken_over = False  # by a person, so that nothing is asked of the policy
        self._task: str | None = None

        refuse_second_stack(self, [QUERY.ros_name, ACTION_CHUNK.ros_name], p.discovery_s)
        self._queries = create_publisher(self, QUERY)
        self._chunks = create_publisher(self, ACTION_CHUNK)
        self._status = StatusReport(self, PLANNER_STATUS, 'planner', self.robot.name)
        create_subscription(self, CANDIDATES, self._on_candidates)
        create_subscription(self, JOINT_COMMAND, self._on_command)
        create_subscription(self, TASK, self._on_task)
        create_subscription(self, HOME, self._on_home)
        subscribe_status(self, EXECUTOR_STATUS, ExecutorStatus, self._on_status)
        subscribe_status(self, INFERENCE_STATUS, InferenceStatus, self._on_inference)
        create_service(self, ACTIVATE, self._on_activate)
        create_timer(self, 1.0 / TICK_HZ, self._tick)
        create_timer(self, WATCH_S, self._watch)
        create_timer(self, 1.0, self._report)
        self.get_logger().info(
            f'a query every {p.replan_s} s once activated; best of N by {p.aggregation}, '
            f'{p.selection}; seam {p.seam}'
            + (NO_VALUE if self._policy and not self._policy.has_value else '')
        )

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _on_activate(
        self, request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        """Start or stop sending queries."""
        if request.data and (stall := self._stall.find(time.monotonic())):
            response.success, response.message = False, f'not activated: {stall}'
            self.get_logger().error(response.message)
            return response
        response.success = True
        n_publishers = self.count_publishers(CANDIDATES.ros_name)
        self._begin(n_publishers)
        self._stopped = ''
        if not request.data:
            self._pacer.stop()
            response.message = 'no more queries'
        elif n_publishers:
            self._activated_ns = self._since_ns
            self._pacer.start()
            response.message = f'a query every {self.params.replan_s} s'
        else:
            response.success = False
            response.message = f'nobody publishes {CANDIDATES.ros_name}; {self._how_to_answer()}'
        self.get_logger().info(response.message)
        return response

    def _how_to_answer(self) -> str:
        """Return what lets somebody answer, where nobody does."""
        if self._inference_stage in (None, 'active'):
            return 'start an inference node'
        return f'the inference node is {self._inference_stage}; see ros2 lifecycle'

    def _begin(self, n_publishers: int) -> None:
        """Let no answer to a query before now count."""
        self._asked.clear()
        self._since_ns = self._now_ns()
        self._merger.start(self._since_ns, n_publishers)
        self._done.restart()
        self._is_begun = False

    def _on_status(self, status: ExecutorStatus) -> None:
        """End the queries when motion ends, and wait with them while a person has taken over.

        Only the newest status arrives: motion that ended and was enabled anew meanwhile is known
        by when it was enabled.
        """
        was_enabled, self._enabled = self._enabled, status.state == 'enabled'
        if not self._enabled:
            wanted = was_enabled and status.state == 'disabled'
            self._end(f'the executor is in state {status.state}', wanted)
        elif status.enabled_ns > self._activated_ns + APART_NS:
            self._end('motion was enabled anew')
        was_taken_over, self._taken_over = self._taken_over, status.led_by == 'person'
        if self._taken_over != was_taken_over:
            self._begin(self.count_publishers(CANDIDATES.ros_name))
            self._mirror.forget(self._since_ns)
            if self._pacer.active:
                self._pacer.start()  # anew: nothing is waited for, and the next query is due
            self._report()

    def _on_inference(self, status: InferenceStatus) -> None:
        """Note how deep an answer is, which leaves just behind its status."""
        self._depth = max(status.depth_used, 1)
        self._inference_stage = status.stage

    def _watch(self) -> None:
        """End the queries when nobody answers any more: whoever does next moves nothing."""
        now_ns, give_up_s = self._now_ns(), self.params.give_up_s
        stood_s, self._watched_ns = (now_ns - self._watched_ns) * 1e-9, now_ns
        if not self._pacer.active:
            return
        if not self.count_publishers(CANDIDATES.ros_name):
            self._end('no inference node is left')
        elif stood_s > give_up_s:
            self._end(f'the planner has stood still for {stood_s:.0f} s')
        elif (waiting_s := self._pacer.waiting_s(now_ns)) > give_up_s:
            self._end(f'no answer for {waiting_s:.0f} s')

    def _on_task(self, message: String) -> None:
        """End the queries when another task is to be done than the one that is being done."""
        before, self._task = self._task, message.data
        if before is not None and before != message.data:
            self._end(f'the task is {message.data[:SHOWN]!r} now')

    def _end(self, reason: str, wanted: bool = False) -> None:
        """Send no more queries before somebody activates them again.

        Args:
            reason: Why.
            wanted: Whether somebody ended motion, which is worth no warning.
        """
        if not self._pacer.active:
            return
        self._pacer.stop()
        self._asked.clear()
        self._merger.start(self._now_ns(), 0)
        self._stopped = f'{reason}; activate the planner to go on'
        if wanted:
            self.get_logger().info(self._stopped)
        else:
            self.get_logger().warning(self._stopped)
        self._report()

    def _tick(self) -> None:
        """Send a query when it is time; decide when the other inference nodes have had theirs."""
        self._stall.note(time.monotonic())
        now_ns = self._now_ns()
        while merged := self._merger.take_due(now_ns):
            self._decide(merged)
        row_ns: int | None = None
        if self._settings.commits:  # answers to queries up to the activation are not taken
            row_ns = self._mirror.next_row_ns(max(now_ns - LATE_NS, self._since_ns + 1))
        stamp_ns = now_ns if row_ns is None else row_ns
        if self._taken_over:
            return
        if self._pacer.active and self._mirror.stopped(now_ns):
            self._pacer.hurry()  # the executor waits for a chunk, or soon will
        if stamp_ns <= now_ns and self._pacer.due(stamp_ns):
            self._send_query(stamp_ns)

    def _send_query(self, stamp_ns: int) -> None:
        """Send a query with the rows that will be played until its answer comes."""
        rows, rate_hz = np.zeros((0, self.robot.size), np.float32), self._rate_hz or 1.0
        scale = float(self.get_parameter('speed_scale').value)
        if self._settings.commits and self._rate_hz:
            n_rows = self._pacer.committed_rows(rate_hz * scale)
            rows = self._mirror.upcoming(stamp_ns, rate_hz * scale, n_rows)
        self._asked = {ns: asked for ns, asked in self._asked.items() if ns > stamp_ns - KEPT_NS}
        self._asked[stamp_ns] = _Asked(rows, scale)
        self._pacer.note_query(stamp_ns)
        self._queries.publish(trajectory_message(stamp_ns, rows, rate_hz, self.robot.joint_names))

    def _on_command(self, message: JointState) -> None:
        """Take what was really sent to the arms; what another robot is sent is none of ours."""
        with contextlib.suppress(ValueError):
            positions = command_positions(message, self.robot.joint_names)
            self._held = stamp_of(message), positions
            self._mirror.note_command(*self._held)

    def _on_home(self, _message: Empty) -> None:
        """Let the arms go a little towards the start pose, unless something else moves them.

        A press that may have waited is none: whoever pressed has let go.
        """
        now_ns = self._now_ns()
        moves = self._pacer.active or self._taken_over or not self._enabled
        if moves or self._stall.find(time.monotonic()):
            return
        if self._held is None or now_ns - self._held[0] > HELD_NS:
            return
        chunk = self._homing.press(self._held[1], now_ns)
        if chunk is not None:
            self._chunks.publish(chunk_message(chunk, self.robot.joint_names))
            with contextlib.suppress(ValueError):  # the executor refuses it too, and says why
                self._mirror.add(chunk, now_ns)

    def _on_candidates(self, message: PointCloud2) -> None:
        """Take an answer to a query; decide unless other inference nodes are waited for."""
        if not self._pacer.active or self._taken_over:
            return
        try:
            candidates, rate_hz = candidates_from_message(message, self.robot.joint_names)
            self._check_answer(candidates, rate_hz)
            self._check_newcomer(active_since_ns(message))
            n_publishers = self.count_publishers(CANDIDATES.ros_name)
            merged = self._merger.add(candidates, rate_hz, self._now_ns(), n_publishers)
        except ValueError as error:
            self._warn(str(error))
            return
        if merged is not None:
            self._decide(merged)

    def _check_answer(self, candidates: Candidates, rate_hz: float) -> None:
        """Refuse what no inference node of this policy answers.

        Raises:
            ValueError: No query had this stamp (late answers are left to the merger), or the
                chunks are not the checkpoint's.
        """
        stamp_ns, n_rows = candidates.stamp_ns, candidates.positions.shape[1]
        if stamp_ns not in self._asked and stamp_ns > self._merger.newest_ns:
            msg = 'no query has their stamp'
            raise ValueError(msg)
        policy = self._policy
        if policy and (n_rows != policy.horizon or abs(rate_hz - policy.rate_hz) > SAME_HZ):
            msg = f'chunks of {n_rows} rows at {rate_hz:g} Hz, those of {self.params.checkpoint} '
            msg += f'have {policy.horizon} at {policy.rate_hz:g} Hz'
            raise ValueError(msg)
        if policy and policy.has_value != bool(candidates.values.shape[1]):
            has = 'has a' if policy.has_value else 'has no'
            msg = f'{candidates.values.shape[1]} values, and {self.params.checkpoint} {has} value'
            raise ValueError(msg)

    def _check_newcomer(self, active_ns: int) -> None:
        """Refuse an answer that would move arms which rest since others do not answer any more.

        Args:
            active_ns: Since when the node that answers has been active [ns, ROS clock].

        Raises:
            ValueError: It came since the policy was activated, and has not answered while the arms
                moved.
        """
        now_ns, end_ns = self._now_ns(), self._mirror.end_ns
        rests = end_ns is None or now_ns > end_ns or self._mirror.stopped(now_ns)
        # what lies ahead was before a clock was set back
        is_new = self._activated_ns + APART_NS < active_ns <= now_ns + APART_NS
        if is_new and rests and self._is_begun and active_ns not in self._known_ns:
            msg = 'an inference node has come since the policy was activated, and the arms rest; '
            msg += 'activate the planner to have it move them'
            raise ValueError(msg)
        self._known_ns.add(active_ns)

    def _decide(self, merged: Merged) -> None:
        """Publish the best of all candidates for one query."""
        p, stamp_ns = self.params, merged.candidates.stamp_ns
        asked = self._asked.get(stamp_ns, _Asked(np.zeros((0, self.robot.size), np.float32), 1.0))
        rate_hz = merged.rate_hz * asked.speed_scale  # at which the rows are played
        allowed = self._find_allowed(merged.candidates)
        apart_m = tool_distances_m(self._scene, merged.candidates.positions)
        self._plan = make_plan(
            merged.candidates, rate_hz, p.aggregation, p.selection, allowed, apart_m
        )
        self._n_plans, self._is_begun = self._n_plans + 1, True
        self._n_choices += self._plan.is_choice
        chunk = self._settings.played(self._plan.chunk, self._open_loop_rows)
        self._chunks.publish(chunk_message(chunk, self.robot.joint_names))
        now_ns = self._now_ns()
        self._compare(asked.rows, stamp_ns, rate_hz, now_ns)
        with contextlib.suppress(ValueError):  # the executor refuses it too, and says why
            self._mirror.add(chunk, now_ns)
        end_ns = now_ns if self._mirror.end_ns is None else self._mirror.end_ns
        row_s = 1.0 / rate_hz if self._settings.commits or self._settings.waits else 0.0
        imagined = len(merged.candidates.positions) * self._depth
        chunk_s = (len(chunk.positions) - 1) / rate_hz
        self._pacer.note_answer(stamp_ns, now_ns, end_ns, row_s, imagined, chunk_s)
        self._rate_hz = merged.rate_hz
        self._pacer.most_rows = min(self._most_rows, len(chunk.positions) - 1)
        self._trouble = ''
        if merged.n_answers < merged.n_before:
            self.get_logger().warning(self._merger.shortfall)
        elif 0 < merged.n_before < merged.n_answers:
            self.get_logger().info(f'{merged.n_answers} inference nodes answer')
        done = self._done.note(float(self._plan.scores[self._plan.best]), stamp_ns)
        if done and p.stop_when_done:
            self._end(f'the task is done: its value has been above {DONE_ABOVE} for {HELD_S:g} s')
        else:
            self._report()

    def _find_allowed(self, candidates: Candidates) -> NDArray[np.bool_] | None:
        """Return which candidates keep the clearance of the robot's scene, None without one."""
        if self._scene is None:
            return None
        nearest = [self._scene.nearest(rows) for rows in candidates.positions]
        allowed = np.array([near.distance_m >= self.robot.clearance_m for near in nearest])
        self._n_rejected += int((~allowed).sum())
        if not allowed.all():
            worst = min(nearest, key=lambda near: near.distance_m)
            self.get_logger().warning(
                f'{(~allowed).sum()} of {len(allowed)} candidates rejected: '
                f'{worst.shapes} would come within {worst.distance_m * 1e3:.0f} mm',
                throttle_duration_sec=5.0,
            )
        return allowed

    def _compare(
        self, rows: NDArray[np.float32], stamp_ns: int, rate_hz: float, now_ns: int
    ) -> None:
        """Find how far the committed rows of an answered query were from what was played since."""
        self._asked = {ns: asked for ns, asked in self._asked.items() if ns > stamp_ns}
        self._committed, self._delay_rows = len(rows), (now_ns - stamp_ns) * 1e-9 * rate_hz
        self._mismatch_rad = self._mirror.mismatch_rad(rows, stamp_ns, rate_hz, now_ns)
        before, self._astray = self._astray, ''
        if self._mismatch_rad > MISMATCH_RAD:
            self._astray = (
                f'conditioned on rows that were not played: {self._mismatch_rad:.2f} rad'
            )
            if not before:
                self.get_logger().warning(self._astray)

    def _warn(self, trouble: str) -> None:
        """Count an answer that cannot be used, and log why, once until one can."""
        self._n_ignored += 1
        if trouble != self._trouble:
            self.get_logger().warning(f'candidates ignored: {trouble}')
        self._trouble = trouble

    def _report(self) -> None:
        """Publish the pace of queries, the latency of their answers and the choice."""
        now_ns = self._now_ns()
        waiting_s = self._pacer.waiting_s(now_ns)
        late = waiting_s > self.params.timeout_s and not self._taken_over
        plan = self._plan
        value = math.nan if plan is None else float(plan.scores[plan.best])
        is_judged = not math.isnan(value)
        state = 'querying' if self._pacer.active else 'not activated'
        if plan is not None and not is_judged:
            state += NO_VALUE
        if self._taken_over and self._pacer.active:
            state = 'a person has taken over; querying once they give back'
        advice = self._trouble or 'see the status of the inference node'
        silent = f'no answer for {waiting_s:.1f} s; {advice}'
        if not self.count_publishers(CANDIDATES.ros_name):
            silent = f'no answer for {waiting_s:.1f} s; {self._how_to_answer()}'
        status = PlannerStatus(
            active=self._pacer.active,
            stopped=self._stopped,
            trouble=silent if late else self._trouble or self._astray or self._merger.shortfall,
            queries=self._pacer.n_queries,
            unanswered=self._pacer.n_unanswered,
            answers_merged=self._merger.n_merged,
            answers_ignored=self._n_ignored,
            candidates_rejected=self._n_rejected,
            query_ms_p50=self._pacer.latency_s(50.0) * 1e3,
            query_ms_p99=self._pacer.latency_s(99.0) * 1e3,
            committed_rows=self._committed,
            delay_rows=self._delay_rows,
            mismatch_rad=self._mismatch_rad,
            value=value,
            best=-1 if plan is None else plan.best,
            plans=self._n_plans,
            choices=self._n_choices,
            is_choice=plan is not None and plan.is_choice,
            margin=math.nan if plan is None else plan.margin,
            deviation=math.nan if plan is None else plan.deviation,
            apart_m=math.nan if plan is None else plan.apart_m,
            scores=tuple(plan.scores.tolist()) if plan is not None and is_judged else (),
            speed_scale=float(self.get_parameter('speed_scale').value),
        )
        trouble = status.trouble if late else self._stopped or status.trouble
        self._status.publish('warn' if trouble else 'ok', trouble or state, status)


def _read_policy(params: PlannerParams) -> PolicyFacts | None:
    """Return what the checkpoint says of its chunks, None where nobody knows.

    A policy of another kind may have no ``policy.json``; its first answer tells then.

    Raises:
        ConfigError: The file is damaged, or the value that is to end the queries does not exist.
    """
    folder = Path(params.checkpoint)
    if not params.checkpoint or not (folder / 'policy.json').is_file():
        return None
    facts = read_facts(folder)
    if params.stop_when_done and not facts.has_value:
        msg = f'stop_when_done is true, and {folder} has no value that could say so; set it false'
        raise ConfigError(msg)
    return facts


def _check_rules(params: PlannerParams) -> None:
    """Refuse rules that do not exist.

    Raises:
        ConfigError: One does not.
    """
    try:
        select(aggregate(np.zeros((1, 1), np.float32), params.aggregation), params.selection)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def main() -> None:
    """Run the node until Ctrl-C."""
    run_node(PlannerNode)


if __name__ == '__main__':
    main()

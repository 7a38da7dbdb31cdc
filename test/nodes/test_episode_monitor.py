# SPDX-License-Identifier: Apache-2.0
"""The monitor of an episode, by which operator, demonstrator and replay decide."""

from __future__ import annotations

from collections.abc import Iterator
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.ros.convert import candidates_message, chunk_message
from cosmos_policy_ros.ros.diagnostics import Diagnostics, StatusReport
from cosmos_policy_ros.ros.episode_monitor import EpisodeMonitor
from cosmos_policy_ros.status import (
    ExecutorStatus,
    InferenceStatus,
    PlannerStatus,
    RecorderStatus,
    SimStatus,
)
from cosmos_policy_ros.topics import EXECUTOR_STATUS, RECORDER_STATUS, SIM_STATUS
from cosmos_policy_ros.types import ActionChunk, Candidates
from node_bench import ros_node
import rclpy
from rclpy.node import Node
from std_msgs.msg import Bool

JOINTS = ('waist', 'gripper')
WAIT_S = 60.0


@pytest.fixture
def node() -> Iterator[Node]:
    """Return a node on a domain of its own."""
    with ros_node('leader') as node:
        yield node


def spin_until_report(node: Node, monitor: EpisodeMonitor) -> None:
    """Run callbacks until a status of the executor has arrived."""
    end_s = time.monotonic() + WAIT_S
    while monitor.executor is None:
        assert time.monotonic() < end_s, 'no status arrived'
        rclpy.spin_once(node, timeout_sec=0.1)


def test_figures_for_people_decide_nothing(node: Node) -> None:
    """A fault on /diagnostics alone is none; the typed status is believed."""
    monitor = EpisodeMonitor(node, JOINTS)
    people = Diagnostics(node, 'command_executor')
    report = StatusReport(node, EXECUTOR_STATUS, 'command_executor')
    people.publish('error', 'fault', state='fault', mode='fault', reason='renamed')
    report.publish('ok', 'playing', ExecutorStatus('enabled', 'playing', interventions=3))
    people.publish('error', 'fault', state='fault', mode='fault', reason='renamed')
    spin_until_report(node, monitor)
    for _ in range(10):
        rclpy.spin_once(node, timeout_sec=0.05)
    assert monitor.executor is not None
    assert (monitor.executor.mode, monitor.executor.interventions) == ('playing', 3)
    assert not monitor.is_disabled()


def test_monitor_that_comes_late_knows_every_status(node: Node) -> None:
    """They are latched: motion does not wait for the next report."""
    rows = (
        (EXECUTOR_STATUS, 'command_executor', ExecutorStatus('disabled', 'disabled')),
        (RECORDER_STATUS, 'recorder', RecorderStatus('recording', '/data/episode_000001')),
        (SIM_STATUS, 'sim', SimStatus(1.0, 30.0)),
    )
    reports = [StatusReport(node, topic, name) for topic, name, _ in rows]
    for report, (_, _, status) in zip(reports, rows, strict=True):
        report.publish('ok', '', status)
    monitor = EpisodeMonitor(node, JOINTS)
    end_s = time.monotonic() + WAIT_S
    while not (monitor.executor and monitor.recorder and monitor.sim):
        assert time.monotonic() < end_s, 'a status did not arrive'
        rclpy.spin_once(node, timeout_sec=0.1)
    assert monitor.is_disabled()
    assert monitor.recorder.path == '/data/episode_000001'
    assert monitor.sim.camera_hz == 30.0


def test_answer_is_reported_with_the_candidate_that_is_played(node: Node) -> None:
    """Of two candidates the second was chosen."""
    answers: list[dict[str, object]] = []
    monitor = EpisodeMonitor(node, JOINTS, answers.append)
    stamp_ns = node.get_clock().now().nanoseconds
    monitor.start(stamp_ns)
    positions = np.stack([np.zeros((3, 2)), np.full((3, 2), 0.5)]).astype(np.float32)
    values = np.array([[0.25], [0.75]], np.float32)
    candidates = Candidates(stamp_ns, positions, values, np.zeros((2, 2), np.float32))
    monitor.on_inference(InferenceStatus(stamp_ns, 2, steps_used=3, budget_s=0.25))
    monitor.on_inference(InferenceStatus(stamp_ns, 2, steps_used=5))
    committed = ActionChunk(stamp_ns, positions[0, :2], 10.0)
    monitor.on_query(chunk_message(committed, JOINTS), [0.03, 0.0456])
    monitor.on_candidates(candidates_message(candidates, 10.0, JOINTS))
    monitor.on_chunk(chunk_message(ActionChunk(stamp_ns, positions[1], 10.0), JOINTS))
    (answer,) = answers
    assert (answer['at_s'], answer['values'], answer['best']) == (0.0, [0.25, 0.75], 1)
    assert (answer['steps_used'], answer['budget_ms']) == (3, 250.0)
    assert (answer['committed_rows'], answer['image_ages_ms']) == (2, [30.0, 45.6])
    assert answer['passed_rows'] >= 1


def test_answer_that_is_played_in_part_is_reported_too(node: Node) -> None:
    """As the first rows of a chunk are in the open loop; those of another policy are left out."""
    answers: list[dict[str, object]] = []
    monitor = EpisodeMonitor(node, JOINTS, answers.append)
    monitor.start(node.get_clock().now().nanoseconds)
    positions = np.stack([np.zeros((3, 2)), np.full((3, 2), 0.5)]).astype(np.float32)
    for rows in (positions[1, :2], np.zeros((4, 2), np.float32)):
        stamp_ns = node.get_clock().now().nanoseconds
        values, poses = np.zeros((2, 1), np.float32), np.zeros((2, 2), np.float32)
        candidates = Candidates(stamp_ns, positions, values, poses)
        monitor.on_candidates(candidates_message(candidates, 10.0, JOINTS))
        monitor.on_chunk(chunk_message(ActionChunk(stamp_ns, rows, 10.0), JOINTS))
    assert [answer['best'] for answer in answers] == [1]


def test_summary_keeps_what_happened_since_the_start(node: Node) -> None:
    """The slowest moment and the fault stay, the figures are the newest."""
    monitor = EpisodeMonitor(node, JOINTS)
    monitor.start(0)
    for factor in (1.0, 0.5, 0.875):
        monitor.on_sim(SimStatus(factor, 29.96))
    monitor.on_executor(ExecutorStatus('fault', 'fault', 'emergency stop'))
    monitor.on_executor(ExecutorStatus('disabled', 'disabled', standstill_s=0.12345))
    summary = monitor.summary()
    assert (summary['real_time_factor_min'], summary['camera_hz']) == (0.5, 30.0)
    assert (summary['fault'], summary['standstill_s']) == ('emergency stop', 0.123)


def test_seam_jumps_of_an_episode_are_kept(node: Node) -> None:
    """One for every chunk but the first, however often a status comes."""
    monitor = EpisodeMonitor(node, JOINTS)
    monitor.on_sim(SimStatus(1.0, 30.0))
    for chunks, jump_rad in ((5, 0.9), (0, 0.0), (1, 0.0), (2, 0.1), (2, 0.1), (3, 0.25)):
        if not chunks:
            monitor.start(0)
        monitor.on_executor(
            ExecutorStatus('enabled', 'playing', chunks=chunks, seam_jump_rad=jump_rad)
        )
    assert monitor.summary()['seam_jumps_rad'] == [0.1, 0.25]


def test_choices_of_an_episode_are_counted_from_its_start(node: Node) -> None:
    """The planner counts since it was started."""
    monitor = EpisodeMonitor(node, JOINTS)
    monitor.on_sim(SimStatus(1.0, 30.0))
    monitor.on_executor(ExecutorStatus('disabled', 'disabled'))
    monitor.on_planner(PlannerStatus(True, plans=9, choices=4))
    monitor.start(0)
    monitor.on_planner(PlannerStatus(True, plans=15, choices=7))
    assert monitor.summary()['choices'] == 3


def test_reasons_of_interventions_are_those_of_the_executor(node: Node) -> None:
    """By joint, as safety counts them."""
    monitor = EpisodeMonitor(node, JOINTS)
    monitor.on_sim(SimStatus(1.0, 30.0))
    reasons = {'left/waist is limited': 2, 'hold': 1}
    monitor.on_executor(
        ExecutorStatus('enabled', 'playing', interventions=3, intervention_reasons=reasons)
    )
    summary = monitor.summary()
    assert (summary['interventions'], summary['intervention_reasons']) == (3, reasons)


def test_success_counts_from_when_it_began(node: Node) -> None:
    """A success that is lost again starts anew."""
    monitor = EpisodeMonitor(node, JOINTS)
    monitor.start(node.get_clock().now().nanoseconds)
    monitor.on_success(Bool(data=True))
    monitor.on_success(Bool(data=False))
    assert monitor.verdict() == {'success': False, 'success_at_s': None}
    monitor.on_success(Bool(data=True))
    assert monitor.verdict()['success'] is True
    assert monitor.verdict()['success_at_s'] >= 0.0

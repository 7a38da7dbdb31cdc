# SPDX-License-Identifier: Apache-2.0
"""The candidate table without ROS: one builder, one reader, also for bags."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from cosmos_policy_ros.candidate_table import build_table, columns, FLOAT32, read_table
from cosmos_policy_ros.data.bags.files import read_topics
from cosmos_policy_ros.data.bags.policy_messages import write_candidates
from cosmos_policy_ros.data.bags.writer import BagWriter
from cosmos_policy_ros.types import Candidates
import numpy as np
import pytest

JOINTS = ('waist', 'gripper')
STAMP_NS = 3_000_000_007


def candidates() -> Candidates:
    """Return two candidates of three rows with two values each."""
    positions = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    values = np.array([[0.25, 0.5], [0.75, 1.0]], np.float32)
    return Candidates(STAMP_NS, positions, values, np.array([[7, 8], [9, 10]], np.float32))


def test_columns_are_joints_time_values_and_future_proprio() -> None:
    """Behind each other, four bytes a number."""
    found = [(c.name, c.offset, c.count) for c in columns(JOINTS, 2, 2)]
    assert found == [
        ('waist', 0, 1),
        ('gripper', 4, 1),
        ('time_from_start', 8, 1),
        ('values', 12, 2),
        ('future_proprio', 20, 2),
    ]


def test_every_row_has_its_time_and_the_values_of_its_candidate() -> None:
    """The second row of the first candidate, as bytes."""
    table = build_table(candidates(), 10.0, JOINTS)
    assert (table.n, table.horizon, table.point_step) == (2, 3, 28)
    points = np.frombuffer(table.data, '<f4').reshape(2, 3, 7)
    assert points[0, 1].tolist() == pytest.approx([2.0, 3.0, 0.1, 0.25, 0.5, 7.0, 8.0])


def test_table_in_a_bag_is_read_as_it_was_written(tmp_path: Path) -> None:
    """The bag has what the running stack would have sent."""
    with BagWriter(tmp_path / 'bag', {}) as bag:
        write_candidates(bag, candidates(), 10.0, JOINTS, STAMP_NS)
    ((_, message),) = read_topics(tmp_path / 'bag', ['/policy/candidates'])['/policy/candidates']
    got, rate_hz = read_table(message, JOINTS)
    assert (got.stamp_ns, rate_hz) == (STAMP_NS, 10.0)
    np.testing.assert_array_equal(got.positions, candidates().positions)
    np.testing.assert_array_equal(got.values, candidates().values)
    np.testing.assert_array_equal(got.future_proprio, candidates().future_proprio)


def test_reader_that_knows_no_robot_takes_the_joints_of_the_table(tmp_path: Path) -> None:
    """Whoever looks at a recording may not have the robot's file."""
    with BagWriter(tmp_path / 'bag', {}) as bag:
        write_candidates(bag, candidates(), 10.0, JOINTS, STAMP_NS)
    ((_, message),) = read_topics(tmp_path / 'bag', ['/policy/candidates'])['/policy/candidates']
    assert read_table(message)[0].positions.shape == (2, 3, 2)


def test_policy_without_a_value_has_no_columns_for_it(tmp_path: Path) -> None:
    """Nor for joints that it does not predict; the reader finds none either."""
    nothing = np.zeros((2, 0), np.float32)
    unjudged = replace(candidates(), values=nothing, future_proprio=nothing)
    table = build_table(unjudged, 10.0, JOINTS)
    assert [column.name for column in table.columns] == [*JOINTS, 'time_from_start']
    with BagWriter(tmp_path / 'bag', {}) as bag:
        write_candidates(bag, unjudged, 10.0, JOINTS, STAMP_NS)
    ((_, message),) = read_topics(tmp_path / 'bag', ['/policy/candidates'])['/policy/candidates']
    got, _ = read_table(message, JOINTS)
    np.testing.assert_array_equal(got.positions, candidates().positions)
    assert got.values.shape == got.future_proprio.shape == (2, 0)
    assert np.isnan(got.mean_values).all()


def test_table_of_something_else_is_refused() -> None:
    """It is a point cloud of somebody else."""
    fields = [SimpleNamespace(name='x', offset=0, datatype=FLOAT32, count=1)]
    with pytest.raises(ValueError, match=r"has the fields \['x'\]"):
        read_table(SimpleNamespace(fields=fields))

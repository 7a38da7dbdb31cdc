# SPDX-License-Identifier: Apache-2.0
"""What nodes really open on the graph is what the policy of SROS2 allows them."""

from __future__ import annotations

from pathlib import Path
import time

import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.stack.node_list import EXECUTOR, INFERENCE, PLANNER, RECORDER
from cosmos_policy_ros.stack.processes import start_node, stop_nodes
from cosmos_policy_ros.stack.security import permissions
from node_bench import ros_node

pytestmark = pytest.mark.patient

ROBOT = read_robot(Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml')
SPECS = (EXECUTOR, PLANNER, INFERENCE, RECORDER)
LONG_S = 120.0  # nodes may take to start where others use the processor
READY = {  # node -> a service or topic that it opens last
    'command_executor': '/command_executor/reset',
    'planner': '/planner/activate',
    'recorder': '/recorder/discard',
}


def test_nodes_open_nothing_but_what_the_policy_allows(tmp_path: Path) -> None:
    """Else they would end, or be deaf, as soon as security is enforced."""
    opened: dict[str, dict[tuple[str, str], set[str]]] = {}
    with ros_node('watcher') as watcher:
        values = {'out': str(tmp_path / 'bags')}
        nodes = [start_node(spec, values, tmp_path / f'{spec.name}.log') for spec in SPECS]
        try:
            end_s = time.monotonic() + LONG_S
            while not set(READY.values()) <= {n for n, _ in watcher.get_service_names_and_types()}:
                assert time.monotonic() < end_s
                time.sleep(0.2)
            while not watcher.count_publishers('/policy/candidates'):
                assert time.monotonic() < end_s
                time.sleep(0.2)
            time.sleep(1.0)
            for spec in SPECS:
                where = (spec.name, '/')
                found = {
                    ('topic', 'publish'): watcher.get_publisher_names_and_types_by_node(*where),
                    ('topic', 'subscribe'): watcher.get_subscriber_names_and_types_by_node(*where),
                    ('service', 'reply'): watcher.get_service_names_and_types_by_node(*where),
                    ('service', 'request'): watcher.get_client_names_and_types_by_node(*where),
                }
                opened[spec.name] = {do: {n for n, _ in names} for do, names in found.items()}
        finally:
            stop_nodes(nodes)
    for name, found in opened.items():
        assert len(found['topic', 'publish']) > 2, name  # it was seen at all
        allowed = permissions(name, ROBOT)
        assert {
            do: names - allowed[do] for do, names in found.items() if names - allowed[do]
        } == {}

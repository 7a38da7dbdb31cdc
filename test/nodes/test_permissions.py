# SPDX-License-Identifier: Apache-2.0
"""What nodes really open on the graph is what the policy of SROS2 allows them."""

from __future__ import annotations

from pathlib import Path
import time

import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.episode_monitor import EpisodeMonitor
from cosmos_policy_ros.ros.operator_desk import OperatorDesk
from cosmos_policy_ros.ros.stack_client import SIM_SERVICES, StackClient
from cosmos_policy_ros.stack.node_list import BLACK_BOX, EXECUTOR, INFERENCE, PLANNER, RECORDER
from cosmos_policy_ros.stack.processes import start_node, stop_nodes
from cosmos_policy_ros.stack.security import permissions
from cosmos_policy_ros.topics import ENABLE, Service
from node_bench import ros_node
from rclpy.node import Node

pytestmark = pytest.mark.patient

ROBOT_FILE = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
SPECS = (EXECUTOR, PLANNER, INFERENCE, RECORDER, BLACK_BOX)
LONG_S = 120.0  # nodes may take to start where others use the processor
READY = {  # node -> a service or topic that it opens last
    'command_executor': '/command_executor/reset',
    'planner': '/planner/activate',
    'recorder': '/recorder/discard',
}


def find_opened(watcher: Node, name: str, namespace: str = '/') -> dict[tuple[str, str], set[str]]:
    """Return what a node has on the graph, by kind and what it does with it."""
    where = (name, namespace)
    found = {
        ('topic', 'publish'): watcher.get_publisher_names_and_types_by_node(*where),
        ('topic', 'subscribe'): watcher.get_subscriber_names_and_types_by_node(*where),
        ('service', 'reply'): watcher.get_service_names_and_types_by_node(*where),
        ('service', 'request'): watcher.get_client_names_and_types_by_node(*where),
    }
    return {do: {n for n, _ in names} for do, names in found.items()}


def find_forbidden(
    name: str, opened: dict[tuple[str, str], set[str]], namespace: str = '/'
) -> dict[tuple[str, str], set[str]]:
    """Return what a node opened and may not."""
    allowed = permissions(name, read_robot(ROBOT_FILE, namespace), namespace)
    return {do: names - allowed[do] for do, names in opened.items() if names - allowed[do]}


@pytest.mark.parametrize('namespace', ['/', '/robot1'])
@pytest.mark.parametrize('name', ['console', 'operate'])
def test_the_desk_of_an_operator_opens_nothing_else(name: str, namespace: str) -> None:
    """It is the same one behind a page and in a terminal."""
    with ros_node(name, namespace) as node:
        OperatorDesk(node)
        opened = find_opened(node, name, namespace)
        assert len(opened['service', 'request']) >= 10
        assert find_forbidden(name, opened, namespace) == {}


@pytest.mark.parametrize(
    ('name', 'services'), [('arms', (ENABLE,)), ('replay', (ENABLE, *SIM_SERVICES))]
)
def test_who_leads_a_stack_opens_the_services_that_it_calls(
    name: str, services: tuple[Service, ...]
) -> None:
    """A client of one that a node never calls would end it where security is enforced."""
    with ros_node(name) as node:
        StackClient(node, services)
        opened = find_opened(node, name)
        assert opened['service', 'request'] == {service.name for service in services}
        assert find_forbidden(name, opened) == {}


def test_who_plays_a_bag_again_may_watch_the_stack() -> None:
    """By the status of all of its nodes."""
    with ros_node('replay') as node:
        EpisodeMonitor(node, read_robot(ROBOT_FILE).joint_names)
        opened = find_opened(node, 'replay')
        assert len(opened['topic', 'subscribe']) >= 6
        assert find_forbidden('replay', opened) == {}


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
                opened[spec.name] = find_opened(watcher, spec.name)
        finally:
            stop_nodes(nodes)
    for name, found in opened.items():
        assert len(found['topic', 'subscribe']) > 2, name  # it was seen at all
        assert find_forbidden(name, found) == {}

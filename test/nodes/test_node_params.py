# SPDX-License-Identifier: Apache-2.0
"""Every parameter in ``nodes.yaml`` is declared by its node and the other way round."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
import re
from typing import Any

import pytest
import yaml

pytest.importorskip('rclpy')

from cosmos_policy_ros.nodes.arms_node import ArmsParams
from cosmos_policy_ros.nodes.black_box_node import BlackBoxParams
from cosmos_policy_ros.nodes.bridge_node import BridgeParams
from cosmos_policy_ros.nodes.camera_node import CameraParams
from cosmos_policy_ros.nodes.check_node import CheckParams
from cosmos_policy_ros.nodes.command_executor import ExecutorParams
from cosmos_policy_ros.nodes.console_node import ConsoleParams
from cosmos_policy_ros.nodes.demonstrator_node import DemonstratorParams
from cosmos_policy_ros.nodes.estop_node import EstopParams
from cosmos_policy_ros.nodes.fake_sensor_node import FakeSensorParams
from cosmos_policy_ros.nodes.faults_node import FaultsParams
from cosmos_policy_ros.nodes.inference_node import InferenceParams
from cosmos_policy_ros.nodes.monitor_node import MonitorParams
from cosmos_policy_ros.nodes.operate_node import OperateParams
from cosmos_policy_ros.nodes.operator_node import OperatorParams
from cosmos_policy_ros.nodes.planner_node import PlannerParams
from cosmos_policy_ros.nodes.recorder_node import RecorderParams
from cosmos_policy_ros.nodes.replay_node import ReplayParams
from cosmos_policy_ros.nodes.sim_node import SEED_DOC, SimParams
from cosmos_policy_ros.nodes.status_node import StatusParams
from cosmos_policy_ros.nodes.trial_node import TrialParams
from cosmos_policy_ros.nodes.visualizer_node import VisualizerParams
from cosmos_policy_ros.stack.node_list import SEED_STRIDE
from reference import parameter_lines

pytestmark = pytest.mark.patient

FILE = Path(__file__).parents[2] / 'config' / 'nodes.yaml'
SECTIONS: dict[str, dict[str, Any]] = {
    node: section['ros__parameters']
    for node, section in yaml.safe_load(FILE.read_text(encoding='utf-8')).items()
}
CLASSES = {
    'camera': CameraParams,
    'check': CheckParams,
    'sim': SimParams,
    'inference': InferenceParams,
    'planner': PlannerParams,
    'command_executor': ExecutorParams,
    'operator': OperatorParams,
    'recorder': RecorderParams,
    'demonstrator': DemonstratorParams,
    'fake_sensor': FakeSensorParams,
    'replay': ReplayParams,
    'faults': FaultsParams,
    'estop': EstopParams,
    'arms': ArmsParams,
    'black_box': BlackBoxParams,
    'bridge': BridgeParams,
    'console': ConsoleParams,
    'operate': OperateParams,
    'monitor': MonitorParams,
    'status': StatusParams,
    'trial': TrialParams,
    'visualizer': VisualizerParams,
}
DYNAMIC = {'sim': {'seed': SEED_DOC}}  # declared outside the frozen dataclass


def test_every_node_has_a_section() -> None:
    """A node without a section would run with values nobody sees."""
    assert set(SECTIONS) == set(CLASSES)


@pytest.mark.parametrize('node', sorted(CLASSES))
def test_file_and_node_name_the_same_parameters(node: str) -> None:
    """A typing mistake in the file or a forgotten parameter is found here."""
    declared = {field.name for field in fields(CLASSES[node])} | set(DYNAMIC.get(node, {}))
    assert set(SECTIONS[node]) == declared


@pytest.mark.parametrize('node', sorted(CLASSES))
def test_values_have_the_declared_type_and_range(node: str) -> None:
    """The file starts the nodes; 1 instead of 1.0 would not."""
    for field in fields(CLASSES[node]):
        value = SECTIONS[node][field.name]
        assert type(value) is type(field.default), field.name
        if field.metadata['low'] is not None and type(value) is not str:
            assert field.metadata['low'] <= value <= field.metadata['high'], field.name


def test_no_two_inference_nodes_share_a_seed() -> None:
    """They are as far apart as one of them may take candidates."""
    (candidates,) = [f for f in fields(InferenceParams) if f.name == 'candidates']
    assert candidates.metadata['high'] == SEED_STRIDE


@pytest.mark.parametrize('node', sorted(CLASSES))
def test_every_number_says_its_unit(node: str) -> None:
    """A parameter that ends in a unit is described with that unit."""
    for field in fields(CLASSES[node]):
        unit = re.search(r'_(s|hz|rad|m)$', field.name)
        if unit:
            wanted = unit[1].replace('hz', 'Hz')
            assert f'[{wanted}]' in field.metadata['doc'], field.name


@pytest.mark.parametrize('node', sorted(CLASSES))
def test_comment_in_the_file_is_the_description_of_the_parameter(node: str) -> None:
    """`ros2 param describe`, the file and the reference page say one thing."""
    docs = {field.name: field.metadata['doc'] for field in fields(CLASSES[node])}
    comments = {line.name: line.comment for line in parameter_lines()[node]}
    assert comments == docs | DYNAMIC.get(node, {})


def test_every_parameter_has_a_comment() -> None:
    """One line each says what it does."""
    lines = FILE.read_text(encoding='utf-8').splitlines()
    bare = [line for line in lines if re.match(r'    \w+:', line) and '#' not in line]
    assert bare == []

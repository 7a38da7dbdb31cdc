# SPDX-License-Identifier: Apache-2.0
"""The one node list, and the launch files and processes made from it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
import sys
from typing import Any

from cosmos_policy_ros import resources
from cosmos_policy_ros.cli import parse
from cosmos_policy_ros.resources import find_robot_file, robot_file, share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.stack.node_list import (
    ARGUMENTS,
    BRIDGE,
    CONSOLE,
    default_values,
    environment,
    EXECUTOR,
    FAKE_SENSOR,
    fit_robot,
    INFERENCE,
    node_command,
    nodes_to_start,
    OPERATOR,
    parameters,
    PLANNER,
    POLICY_STACK,
    read_argument,
    RECORD_STACK,
    RECORDER,
    REPLAY,
    REPLAY_STACK,
    ROBOT_STACK,
    ROBOT_TELEOP_STACK,
    SIM,
    SIM_DRIVERS,
    SIM_STACK,
    stack_arguments,
    TELEOP_STACK,
    WATCHED_SIM_STACK,
)
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROFILE = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')


def test_share_path_finds_the_source_tree() -> None:
    """A checkout reads its own config and models."""
    assert share_path('config', 'nodes.yaml') == ROOT / 'config' / 'nodes.yaml'


def test_share_path_finds_the_installed_share(tmp_path: Path) -> None:
    """A copy in a prefix reads the share folder of that prefix."""
    package = tmp_path / 'lib' / 'python3.12' / 'site-packages' / 'cosmos_policy_ros'
    share = tmp_path / 'share' / 'cosmos_policy_ros'
    package.mkdir(parents=True)
    share.mkdir(parents=True)
    (share / 'package.xml').touch()
    module = _load(_copy(package))
    assert module.share_path('config', 'fastdds.xml') == share / 'config' / 'fastdds.xml'


def test_share_path_names_the_remedy_when_nothing_is_installed(tmp_path: Path) -> None:
    """A copy without data files says how to install them."""
    with pytest.raises(FileNotFoundError, match='colcon build or pip install'):
        _load(_copy(tmp_path)).share_path()


def test_a_robot_is_named_by_its_file_or_by_a_path() -> None:
    """A path stays what it is, also where there is no such file: its reader says so."""
    assert robot_file('aloha_sim') == ROOT / 'config' / 'robots' / 'aloha_sim.yaml'
    assert robot_file(Path('my/robot.yaml')) == Path('my/robot.yaml')
    assert robot_file('another') == Path('another')


def test_a_file_in_another_folder_of_robots_is_no_name(tmp_path: Path) -> None:
    """A path without its suffix does not lead to a file that nobody has named."""
    (tmp_path / 'robots').mkdir()
    (tmp_path / 'robots' / 'mine.yaml').touch()
    mine = tmp_path / 'robots' / 'mine'
    assert robot_file(mine) == mine
    assert find_robot_file(str(mine)) is None


@pytest.mark.parametrize('name', ['', 'another', '../nodes', '/etc/robot'])
def test_a_name_in_a_bag_opens_no_other_file(name: str) -> None:
    """A bag comes from anywhere."""
    assert find_robot_file(name) is None


def test_every_executable_is_a_module_in_nodes() -> None:
    """The list names what exists."""
    names = {f.stem for f in (ROOT / 'cosmos_policy_ros' / 'nodes').glob('*.py')}
    specs = (*SIM_STACK, OPERATOR, RECORDER, REPLAY, FAKE_SENSOR, *TELEOP_STACK)
    assert {spec.executable for spec in specs} <= names


def test_every_node_has_a_section_with_its_arguments() -> None:
    """An argument that a node does not declare would stop it."""
    sections = yaml.safe_load(share_path('config', 'nodes.yaml').read_text(encoding='utf-8'))
    missing = {
        (spec.name, name)
        for spec in (
            *SIM_STACK,
            OPERATOR,
            RECORDER,
            REPLAY,
            FAKE_SENSOR,
            *TELEOP_STACK,
            BRIDGE,
            CONSOLE,
        )
        for name in spec.arguments
        if spec.parameter(name) not in sections[spec.name]['ros__parameters']
    }
    assert missing == set()


def test_the_real_robot_runs_the_same_nodes_without_the_simulator() -> None:
    """Simulation and robot differ by one process."""
    assert set(SIM_STACK) - set(POLICY_STACK) == {SIM}


def test_a_replay_asks_no_policy() -> None:
    """The node that reads the bag takes the place of inference and planner."""
    assert {spec.name for spec in REPLAY_STACK} == {'sim', 'command_executor'}


def test_every_launch_argument_has_a_default_of_its_type() -> None:
    """What nodes.yaml says is what ``--show-args`` shows."""
    defaults = default_values()
    arguments = stack_arguments(SIM_STACK)
    assert {n: type(defaults[n]) for n in arguments} == {n: a.type for n, a in arguments.items()}


def test_the_default_robot_exists() -> None:
    """The simulated robot's file is part of the package."""
    assert Path(str(default_values()['robot'])).is_file()


@pytest.mark.parametrize('driver', list(SIM_DRIVERS))
def test_a_driver_of_the_simulated_arms_brings_its_robot_file(driver: str) -> None:
    """Whose arms are commanded by the driver of that name; sim is the forward driver's."""
    (left, right) = read_robot(
        Path(str(fit_robot(default_values() | {'driver': driver})['robot']))
    ).arms
    assert left.driver == right.driver == {'sim': 'forward'}.get(driver, driver)


def test_a_robot_file_that_was_chosen_is_kept() -> None:
    """Whatever the driver is."""
    values = {**default_values(), 'driver': 'interbotix', 'robot': '/mine.yaml'}
    assert fit_robot(values)['robot'] == '/mine.yaml'


def test_an_unknown_driver_of_the_simulated_arms_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(ValueError, match="driver 'xs' must be one of sim, interbotix"):
        fit_robot({**default_values(), 'driver': 'xs'})


@pytest.mark.parametrize('name', ['seam', 'interpolation', 'blend_s'])
def test_planner_and_executor_play_chunks_alike(name: str) -> None:
    """The planner commits to what it believes the executor plays."""
    assert name in PLANNER.arguments
    assert name in EXECUTOR.arguments
    assert parameters(PLANNER)[name] == parameters(EXECUTOR)[name]


def test_a_command_gives_a_node_its_own_parameters_and_no_others() -> None:
    """All of its section, so that no file is looked through for a node of another name."""
    command = node_command(EXECUTOR, {'robot': '/a b/c.yaml', 'candidates': 3})
    assert command[1:3] == ['-m', 'cosmos_policy_ros.nodes.command_executor']
    rules = dict(a.split(':=') for a in command if ':=' in a)
    assert (rules.pop('__node'), rules.pop('__ns')) == ('command_executor', '/')
    assert set(rules) == set(parameters(EXECUTOR))
    assert (rules['robot'], rules['seam'], rules['resume_s']) == (
        '"/a b/c.yaml"',
        '"committed"',
        '0.2',
    )
    assert '--params-file' not in command


def test_console_and_bridge_have_a_port_each() -> None:
    """Under one name in their sections, and under two where both are started."""
    defaults = default_values()
    assert (defaults['console_port'], defaults['bridge_port']) == (8080, 8765)
    given = {'console_port': 8081, 'bridge_port': 8766}
    assert 'port:=8081' in node_command(CONSOLE, given)
    assert 'port:=8766' in node_command(BRIDGE, given)


@pytest.mark.parametrize('command', [
    'arms home --robot my_robot.yaml', 'bridge', 'check --robot my_robot.yaml', 'console', 'estop',
    'evaluate-robot --policies first second', 'operate', 'replay bag',
    'security --robot my_robot.yaml', 'status',
])  # fmt: skip
def test_every_command_that_meets_a_running_robot_takes_its_namespace(command: str) -> None:
    """Under one name."""
    assert parse([*command.split(), '--namespace', 'robot1']).namespace == 'robot1'


@pytest.mark.parametrize('command', ['check', 'arms home', 'console', 'demo', 'replay a_bag'])
def test_every_command_takes_a_robot_by_its_name_or_its_file(command: str) -> None:
    """As the launch files do."""
    words = [*command.split(), '--robot']
    assert parse([*words, 'aloha_2']).robot == ROOT / 'config' / 'robots' / 'aloha_2.yaml'
    assert parse([*words, 'mine/aloha_2.yaml']).robot == Path('mine/aloha_2.yaml')


@pytest.mark.parametrize('namespace', ['robot1', '/robot1', '/robot1/'])
def test_a_namespace_is_that_of_every_node(namespace: str) -> None:
    """With or without the slashes."""
    assert '__ns:=/robot1' in node_command(SIM, {'namespace': namespace})


def test_only_a_true_use_sim_time_is_given_to_the_nodes() -> None:
    """Whoever includes a launch file may have set it for all."""
    assert 'use_sim_time:=true' in node_command(PLANNER, {'use_sim_time': True})
    assert 'use_sim_time' not in ' '.join(node_command(PLANNER, {}))


def test_text_becomes_a_value_of_the_type_of_its_argument() -> None:
    """A launch file has only text."""
    assert read_argument('cameras', 'True') is True
    assert read_argument('futures', '3') == 3
    assert read_argument('blend_s', '0.5') == 0.5
    assert read_argument('task', '1') == '1'


@pytest.mark.parametrize(
    ('name', 'text', 'wanted'),
    [
        ('futures', 'abc', 'a whole number'),
        ('blend_s', 'long', 'a number'),
        ('cameras', 'maybe', 'true or false'),
    ],
)
def test_text_of_another_type_names_its_argument(name: str, text: str, wanted: str) -> None:
    """And says what the argument is for."""
    with pytest.raises(ValueError, match=f'{name}:={text} must be {wanted}: '):
        read_argument(name, text)


def test_a_command_keeps_the_type_of_a_value() -> None:
    """A task called 1 stays a string, a switch stays a switch."""
    command = node_command(SIM, {'task': '1', 'render': True, 'seed': 7})
    assert {'task:="1"', 'render:=true', 'seed:=7'} <= set(command)


def test_an_unknown_argument_is_refused() -> None:
    """A typing mistake does not pass silently."""
    with pytest.raises(KeyError, match=r"no arguments \['candidate'\]"):
        node_command(INFERENCE, {'candidate': 3})


def test_a_list_of_devices_is_a_list_of_inference_nodes() -> None:
    """The first keeps its name; no candidate of one has the seed of another's."""
    values = {'device': 'cuda:0, cuda:1,cpu', 'candidates': 5, 'seed': 100}
    nodes = nodes_to_start(POLICY_STACK, values)
    names = ['inference', 'inference_2', 'inference_3', 'planner', 'command_executor']
    assert [node.name for node in nodes] == names
    assert [node.given for node in nodes[:3]] == [
        {'device': 'cuda:0', 'seed': 100},
        {'device': 'cuda:1', 'seed': 356},
        {'device': 'cpu', 'seed': 612},
    ]


@pytest.mark.parametrize('wanted', [True, False])
def test_the_camera_node_is_started_where_it_is_asked_for(wanted: bool) -> None:
    """Without the argument other programs publish the images."""
    names = [node.name for node in nodes_to_start(ROBOT_TELEOP_STACK, {'cameras': wanted})]
    others = ['check', 'command_executor', 'visualizer', 'black_box']
    assert names == ['camera'] * wanted + others
    assert [node.name for node in nodes_to_start(ROBOT_TELEOP_STACK, {})] == others


def test_what_a_recording_needs_to_be_told_is_an_argument_of_its_launch_file() -> None:
    """The recorder's refusal of a demonstration without commands names one of them."""
    arguments = stack_arguments(RECORD_STACK)
    assert {'actions', 'is_eval_episode', 'source', 'policy'} <= set(arguments)
    command = node_command(RECORDER, {'actions': 'state-next', 'is_eval_episode': True})
    assert {'actions:="state-next"', 'is_eval_episode:=true'} <= set(command)


@pytest.mark.parametrize('specs', [ROBOT_STACK, ROBOT_TELEOP_STACK, WATCHED_SIM_STACK])
def test_a_stack_with_a_console_has_who_draws_its_images(specs: tuple[Any, ...]) -> None:
    """Whoever demonstrates looks at the cameras too."""
    names = [node.name for node in nodes_to_start(specs, {'console': True})]
    assert {'console', 'visualizer'} <= set(names)


def test_the_default_is_one_inference_node() -> None:
    """Nothing but what the list says."""
    assert [node.name for node in nodes_to_start(SIM_STACK, {})] == [s.name for s in SIM_STACK]


def test_a_node_with_another_name_gets_the_section_of_its_kind() -> None:
    """What is its own stands above what the stack is given."""
    command = node_command(nodes_to_start([INFERENCE], {'device': 'cpu,cpu'})[1], {'seed': 9})
    assert {'__node:=inference_2', 'threads:=1', 'device:="cpu"', 'seed:=256'} <= set(command)


@pytest.fixture
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Return an environment in which the user has set nothing of DDS."""
    for name in (*PROFILE, 'ROS_AUTOMATIC_DISCOVERY_RANGE'):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.usefixtures('plain_environment')
def test_the_environment_has_the_fast_dds_profile_and_this_machine_alone() -> None:
    """Both names that Fast DDS has used point to the shipped file; nobody else moves the arms."""
    assert environment() == {
        **dict.fromkeys(PROFILE, str(ROOT / 'config' / 'fastdds.xml')),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }


def test_what_the_user_has_set_is_kept(plain_environment: pytest.MonkeyPatch) -> None:
    """A robot with a profile of its own, or a driver on another machine."""
    plain_environment.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', '/etc/robot.xml')
    plain_environment.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET')
    assert environment() == {}


def test_what_is_set_to_nothing_is_not_set(plain_environment: pytest.MonkeyPatch) -> None:
    """ROS takes an empty range for the whole network, where strangers could move the arms."""
    wanted = environment()
    for name in (*PROFILE, 'ROS_AUTOMATIC_DISCOVERY_RANGE'):
        plain_environment.setenv(name, '')
    assert environment() == wanted


@pytest.mark.parametrize(
    ('file', 'specs'),
    [
        ('sim.launch.py', WATCHED_SIM_STACK),
        ('policy.launch.py', ROBOT_STACK),
        ('record.launch.py', RECORD_STACK),
        ('teleop.launch.py', ROBOT_TELEOP_STACK),
    ],
)
def test_launch_file_starts_the_node_list(file: str, specs: tuple[Any, ...]) -> None:
    """The launch file has the nodes, names and arguments of the list, with descriptions."""
    pytest.importorskip('launch_ros')  # ``launch`` alone would find our folder
    description = _load(ROOT / 'launch' / file).generate_launch_description()
    from launch import LaunchContext  # only where ROS 2 is installed
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    context = LaunchContext()
    chosen = {'robot': 'x', 'checkpoint': 'x', 'out': 'x', 'device': 'cpu,cuda'}
    context.launch_configurations.update(chosen)
    nodes = []
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument | OpaqueFunction):
            nodes += entity.execute(context) or []
    wanted = nodes_to_start(specs, {'device': 'cpu,cuda'})
    assert [n.node_executable for n in nodes] == [s.executable for s in wanted]
    arguments = description.get_launch_arguments()
    assert [a.name for a in arguments] == list(stack_arguments(specs))
    assert [a.description for a in arguments] == [ARGUMENTS[a.name].help for a in arguments]


def _copy(folder: Path) -> Path:
    target = folder / 'resources.py'
    target.write_text(Path(resources.__file__).read_text(encoding='utf-8'), encoding='utf-8')
    return target


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location('loaded', path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules['loaded'] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_command_lines_read_the_parameter_file_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts a node does nothing else meanwhile; each has a copy of its own."""
    command = node_command(EXECUTOR, {})
    parameters(EXECUTOR).clear()
    monkeypatch.setattr(Path, 'read_text', lambda *_args, **_words: pytest.fail('read again'))
    assert node_command(EXECUTOR, {}) == command

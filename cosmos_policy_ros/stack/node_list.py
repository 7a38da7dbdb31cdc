# SPDX-License-Identifier: Apache-2.0
"""Which processes make up the running stack; the one node list.

The launch files and ``cosmos-policy demo`` both read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
import json
import os
from pathlib import Path
import sys
from typing import Any

from cosmos_policy_ros.resources import PACKAGE, robot_file, share_path

Value = bool | int | float | str
MISTAKE = 78  # exit status of a node that a ConfigError ends, EX_CONFIG of sysexits.h
COMMON = ('namespace', 'use_sim_time')  # arguments of every stack
SEED_STRIDE = 256  # between inference nodes, which take no more candidates than that


@dataclass(frozen=True)
class Argument:
    """A parameter that the launch files and the demo offer.

    Attributes:
        type: Type of the ROS parameter.
        help: What it means, with its unit.
    """

    type: type[bool] | type[int] | type[float] | type[str]
    help: str


ARGUMENTS = {
    'namespace': Argument(str, 'Namespace of all nodes, such as robot1: one for each robot.'),
    'use_sim_time': Argument(bool, 'Whether the time of all nodes is that on /clock.'),
    'robot': Argument(str, 'Robot YAML file, or the name of one in config/robots.'),
    'checkpoint': Argument(str, 'Checkpoint folder.'),
    'planning_checkpoint': Argument(str, 'Checkpoint folder that scores the candidates.'),
    'backend': Argument(str, 'What runs the networks; auto takes the fastest that is there.'),
    'device': Argument(str, 'Where the networks run: cpu or cuda; a list starts a node each.'),
    'precision': Argument(str, 'Arithmetic of the networks: auto, float32 or bfloat16.'),
    'candidates': Argument(str, 'Candidates N per query, or auto: as many as there is time for.'),
    'keep': Argument(str, 'Candidates kept after each denoising step, as 4 2 1; empty: all.'),
    'futures': Argument(int, 'Futures M predicted per candidate; 0 reads them from the policy.'),
    'values': Argument(int, 'Values K predicted per future; 0 reads them from the stage before.'),
    'depth': Argument(int, 'Chunks imagined one after the other before a candidate is valued.'),
    'temperature': Argument(float, 'How far candidates are spread as different plans.'),
    'paired': Argument(bool, 'Whether all candidates are judged with the same noise.'),
    'guidance': Argument(float, 'How strongly better chunks than expected are asked for.'),
    'selection': Argument(str, 'When another candidate is played: decisive, reference, argmax.'),
    'speed_scale': Argument(float, 'Share of its own speed at which the policy moves the arms.'),
    'stop_when_done': Argument(bool, 'End the queries once the value says that the task is done.'),
    'seam': Argument(str, 'How a new chunk takes over: committed, blend or official.'),
    'interpolation': Argument(str, 'The way between the rows of a chunk: spline or linear.'),
    'blend_s': Argument(float, 'How long a new chunk takes to take over [s].'),
    'seed': Argument(int, 'Seed of the noise and, with the simulator, of its first scene.'),
    'task': Argument(str, 'Simulated task: a row of sim/experts/table.py.'),
    'driver': Argument(
        str, 'Driver that the simulated arms stand in for: a row of SIM_DRIVERS in node_list.py.'
    ),
    'states': Argument(str, 'Start states of the simulator: normal, as in training, or hard.'),
    'render': Argument(bool, 'Show the simulator in a window; needs a display.'),
    'instruction': Argument(str, 'Language instruction of a rollout.'),
    'seconds': Argument(float, 'Longest rollout [s].'),
    'scene': Argument(int, 'Scene of the simulator in which a rollout is played, -1 for none.'),
    'episodes': Argument(int, 'Episodes to play; episode i plays the scene of seed + i.'),
    'source': Argument(str, 'demo (a human or a script acts) or rollout (a policy).'),
    'n_episodes': Argument(int, 'Episodes that are wanted in the folder; 0 keeps its number.'),
    'reference': Argument(str, 'Bag, or folder of bags, whose start state the console shows.'),
    'operator_id': Argument(str, 'Who records; kept with every episode.'),
    'station_id': Argument(str, 'Where the robot stands; kept with every episode.'),
    'robot_id': Argument(str, 'Which robot of its kind it is; kept with every episode.'),
    'policy': Argument(str, 'Checkpoint folder of the policy that acts, for its hash.'),
    'is_eval_episode': Argument(bool, 'Whether the episodes measure a policy; kept with each.'),
    'actions': Argument(
        str, 'What demonstrations are imitated by: command, or state-next for arms moved by hand.'
    ),
    'cameras': Argument(bool, 'Start the camera node too, for cameras with a driver in the file.'),
    'bridge': Argument(bool, 'Show the topics to Foxglove, on this machine alone.'),
    'bridge_port': Argument(int, 'Port of the bridge to Foxglove: one for each robot.'),
    'console': Argument(bool, 'Show and operate the stack in a browser, on this machine alone.'),
    'console_port': Argument(int, 'Port of the console: one for each robot.'),
    'host': Argument(str, 'Address at which the bridge to Foxglove or the console listens.'),
    'port': Argument(int, 'Port at which it listens.'),
    'read_only': Argument(bool, 'Let people look at the console and press nothing.'),
    'pedal': Argument(str, 'Input device whose keys an operator presses.'),
    'black_box': Argument(bool, 'Keep the last 30 s, and write them at every fault and stop.'),
    'rviz': Argument(bool, 'Open RViz on what the visualizer draws.'),
    'teleop': Argument(bool, 'Follow the leader arms instead of a policy.'),
    'takeover': Argument(bool, 'Let a person at the leader arms take over from the policy.'),
    'kinds': Argument(str, 'Names of faults, separated by commas; empty tries all.'),
    'minutes': Argument(float, 'Length of a campaign in random order [min].'),
    'quick': Argument(bool, 'Try every fault at one moment alone.'),
    'stream': Argument(str, 'Name of a camera, or arms for the joint states of all arms.'),
    'lateness': Argument(str, 'File for the lateness of all commands.'),
    'record_s': Argument(float, 'Record an episode this long; 0 does not [s].'),
    'compress': Argument(bool, 'Whether bags are compressed with zstd.'),
    'out': Argument(str, 'Folder for rosbags and events.'),
    'bag': Argument(str, 'Rosbag whose joint commands are played again.'),
    'speed': Argument(float, 'How fast to play a rosbag; 1.0 as recorded, less is slower.'),
    'motion': Argument(str, 'What the arms do: home, park, jog or grippers.'),
    'joint': Argument(str, 'Joint that is jogged, as <arm>/<joint>.'),
    'step': Argument(float, 'How far it is jogged [rad; gripper 0..1].'),
    'joint_speed': Argument(float, 'Highest speed of any joint then [rad/s; gripper 1/s].'),
    'simulate': Argument(
        bool, 'Reset the simulator and enable the executor without waiting for a person.'
    ),
}


@dataclass(frozen=True)
class NodeSpec:
    """One process of the stack.

    Attributes:
        name: ROS node name.
        executable: Console script, and module in ``cosmos_policy_ros.nodes``.
        arguments: The ``ARGUMENTS`` it takes. One that begins with its section, such as
            ``console_port``, is its parameter of the rest of that name.
        given: Parameters that are its own, whatever the rest of the stack is given.
        only_with: An argument that must be true for it to start; empty where it always does.
    """

    name: str
    executable: str
    arguments: tuple[str, ...]
    given: Mapping[str, Value] = field(default_factory=dict, hash=False)
    only_with: str = ''

    @property
    def section(self) -> str:
        """Its section of ``config/nodes.yaml``: the name of the first node of its kind."""
        return self.executable.removesuffix('_node')

    def parameter(self, argument: str) -> str:
        """Return the name of the parameter that one of its arguments sets."""
        return argument.removeprefix(f'{self.section}_')


SIM_DRIVERS = {  # what the simulator stands in for -> robot file, whose drivers choose that
    'sim': 'aloha_sim',
    'interbotix': 'aloha_sim_interbotix',
    'forward': 'aloha_sim',
    'trajectory': 'aloha_sim_trajectory',
}
SIM = NodeSpec('sim', 'sim_node', ('robot', 'task', 'states', 'seed', 'render'))
CAMERA = NodeSpec('camera', 'camera_node', ('robot',), only_with='cameras')
INFERENCE = NodeSpec('inference', 'inference_node', (
    'robot', 'checkpoint', 'planning_checkpoint', 'backend', 'device', 'precision', 'candidates',
    'keep', 'futures', 'values', 'depth', 'temperature', 'paired',
    'guidance', 'seed',
))  # fmt: skip
PLAYBACK = ('seam', 'interpolation', 'blend_s')  # the planner has to know what is played
PLANNER = NodeSpec('planner', 'planner_node', (
    'robot', 'checkpoint', 'selection', 'speed_scale', 'stop_when_done', *PLAYBACK,
))  # fmt: skip
EXECUTOR = NodeSpec('command_executor', 'command_executor', ('robot', 'takeover', *PLAYBACK))
OPERATOR = NodeSpec('operator', 'operator_node', ('robot', 'seed', 'episodes', 'out'))
TELEOP = NodeSpec('command_executor', 'command_executor', ('robot', 'teleop'))
RECORDER = NodeSpec('recorder', 'recorder_node', (
    'robot', 'out', 'source', 'n_episodes', 'reference', 'operator_id', 'station_id', 'robot_id',
    'policy', 'is_eval_episode', 'actions', 'compress',
))  # fmt: skip
DEMONSTRATOR = NodeSpec(
    'demonstrator', 'demonstrator_node', ('robot', 'task', 'seed', 'episodes', 'out')
)
FAKE_SENSOR = NodeSpec('fake_sensor', 'fake_sensor_node', ('robot', 'stream', 'out', 'record_s'))
REPLAY = NodeSpec('replay', 'replay_node', ('robot', 'bag', 'out', 'speed', 'simulate'))
ARMS = NodeSpec('arms', 'arms_node', ('robot', 'motion', 'joint', 'step', 'joint_speed', 'out'))
ESTOP = NodeSpec('estop', 'estop_node', ())
FAULTS = NodeSpec('faults', 'faults_node', (
    'robot', 'checkpoint', 'out', 'kinds', 'quick', 'minutes', 'episodes', 'seed',
))  # fmt: skip
BRIDGE = NodeSpec('bridge', 'bridge_node', ('robot', 'bridge_port'), only_with='bridge')
LONE_BRIDGE = replace(BRIDGE, arguments=('robot', 'host', 'port'), only_with='')  # in a terminal
CONSOLE = NodeSpec('console', 'console_node', ('robot', 'console_port'), only_with='console')
LONE_CONSOLE = replace(  # in a terminal
    CONSOLE, arguments=('robot', 'host', 'port', 'read_only', 'pedal'), only_with=''
)
OPERATE = NodeSpec('operate', 'operate_node', ('pedal', 'instruction'))
MONITOR = NodeSpec('monitor', 'monitor_node', ('robot', 'checkpoint'))
TRIAL = NodeSpec('trial', 'trial_node', ('robot', 'instruction', 'scene', 'seconds', 'out'))
STATUS = NodeSpec('status', 'status_node', ())  # in a terminal
BLACK_BOX = NodeSpec('black_box', 'black_box_node', ('robot',), only_with='black_box')
VISUALIZER = NodeSpec('visualizer', 'visualizer_node', ('robot',))
CHECK = NodeSpec('check', 'check_node', ('robot', 'out'))  # looks once, then ends
LOGGED_CHECK = replace(CHECK, arguments=('robot',))
# Arms that are moved by name need no camera, are slow enough for older joint states, and may lie
# where nothing else may start.
ARMS_STACK = (
    replace(EXECUTOR, given={'max_image_age_s': 0.0, 'max_joint_age_s': 0.3, 'enter_range': True}),
)
REPLAY_STACK = (SIM, EXECUTOR)
POLICY_STACK = (INFERENCE, PLANNER, EXECUTOR)
TELEOP_STACK = (TELEOP,)
WATCH_STACK = (
    MONITOR,
    VISUALIZER,
    BLACK_BOX,
    BRIDGE,
    CONSOLE,
)  # for people; nobody else needs them
ROBOT_STACK = (CAMERA, LOGGED_CHECK, *POLICY_STACK, *WATCH_STACK)  # whose arm drivers run already
ROBOT_TELEOP_STACK = (CAMERA, LOGGED_CHECK, *TELEOP_STACK, VISUALIZER, BLACK_BOX, CONSOLE)
RECORD_STACK = (RECORDER,)  # beside one of the others
DEMONSTRATION_STACK = (SIM, *TELEOP_STACK, *RECORD_STACK)  # led by the demonstrator
SIM_STACK = (SIM, *POLICY_STACK)  # plays what an operator, human or node, asks for
WATCHED_SIM_STACK = (*SIM_STACK, *WATCH_STACK)


def stack_arguments(specs: Iterable[NodeSpec]) -> dict[str, Argument]:
    """Return the arguments that at least one of the nodes takes, in the order of ``ARGUMENTS``."""
    specs = tuple(specs)
    taken = {name for spec in specs for name in (*spec.arguments, spec.only_with)} | {*COMMON}
    taken |= {'driver'} if SIM in specs else set()  # no node takes it: it chooses the robot file
    taken |= {'rviz'} if VISUALIZER in specs else set()  # which is no node of this package
    return {name: argument for name, argument in ARGUMENTS.items() if name in taken}


def default_values() -> dict[str, Value]:
    """Return the default of every argument in the simulator.

    The files are this package's own; the other values stand in ``config/nodes.yaml``.
    """
    values: dict[str, Value] = {}
    for spec in (*SIM_STACK, *RECORD_STACK, BRIDGE, CONSOLE):
        section = parameters(spec)
        names = {argument: spec.parameter(argument) for argument in spec.arguments}
        values |= {argument: section[n] for argument, n in names.items() if n in section}
    values['robot'] = str(robot_file('aloha_sim'))
    values['checkpoint'] = str(share_path('models', 'aloha_sim'))
    values['driver'] = 'sim'
    values['teleop'] = True  # who takes it was started for it
    values |= {
        'black_box': True,
        'cameras': False,
        'rviz': False,
        'bridge': False,
        'console': False,
        'namespace': '',
        'use_sim_time': False,
    }
    return values


def read_argument(name: str, text: str) -> Value:
    """Return the value of an argument that was given as text.

    Args:
        name: The argument, a row of ``ARGUMENTS``.
        text: What a launch file was given.

    Raises:
        ValueError: It is no value of the argument's type.
    """
    kind = ARGUMENTS[name].type
    words = {'true': True, 'false': False}
    try:
        return words[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        wanted = {bool: 'true or false', int: 'a whole number', float: 'a number'}[kind]
        msg = f'{name}:={text} must be {wanted}: {ARGUMENTS[name].help}'
        raise ValueError(msg) from None


def fit_robot(values: Mapping[str, Value]) -> dict[str, Value]:
    """Return arguments with the robot file of their driver, where no other file was chosen.

    Args:
        values: Arguments, ``robot`` and ``driver`` among them.

    Raises:
        ValueError: There is no such driver.
    """
    driver, robot = str(values['driver']), str(robot_file(str(values['robot'])))
    if driver not in SIM_DRIVERS:
        msg = f'driver {driver!r} must be one of {", ".join(SIM_DRIVERS)}'
        raise ValueError(msg)
    if robot == str(robot_file(SIM_DRIVERS['sim'])):
        robot = str(robot_file(SIM_DRIVERS[driver]))
    return {**values, 'robot': robot}


def nodes_to_start(specs: Iterable[NodeSpec], values: Mapping[str, Value]) -> list[NodeSpec]:
    """Return the nodes to start: one inference node for each device of a list such as ``cpu,cpu``.

    The first keeps its name, the others are numbered from 2. No two draw a candidate with the
    same seed. A node that is started only with an argument is left out without it.

    Args:
        specs: The nodes.
        values: Arguments of the stack, as for ``node_command``.
    """
    merged = default_values() | dict(values)
    devices = str(merged['device']).split(',')
    nodes: list[NodeSpec] = []
    for spec in specs:
        if spec.only_with and not merged[spec.only_with]:
            continue
        if 'device' not in spec.arguments:
            nodes.append(spec)
            continue
        for i, device in enumerate(devices):
            seed = int(merged['seed']) + i * SEED_STRIDE
            name = f'{spec.name}_{i + 1}' if i else spec.name
            nodes.append(replace(spec, name=name, given={'device': device.strip(), 'seed': seed}))
    return nodes


def parameter_file() -> Path:
    """Return the YAML file with the parameters of all nodes."""
    return share_path('config', 'nodes.yaml')


def parameters(spec: NodeSpec) -> dict[str, Value]:
    """Return the parameters of a node's section of that file; raises as ``read_parameters``."""
    file = parameter_file()
    return _take_section(file, _read_once(file), spec.section)


def read_parameters(file: Path, section: str) -> dict[str, Value]:
    """Return the parameters in a section of a YAML file.

    Raises:
        ConfigError: The file is missing or damaged, or has no such section with parameters.
    """
    return _take_section(file, _read_sections(file), section)


def _read_sections(file: Path) -> dict[str, Any]:
    # late: who only needs names waits for no numpy
    from cosmos_policy_ros.config_file import read_mapping

    return read_mapping(file, 'parameter file', 'install the package again')


_read_once = cache(_read_sections)  # 35 ms, and every start of a node looks into most sections


def _take_section(file: Path, sections: dict[str, Any], section: str) -> dict[str, Value]:
    """Return the parameters in a section of what a file holds; raises as ``read_parameters``."""
    from cosmos_policy_ros.types import ConfigError  # late, too

    found = sections.get(section)
    values = found.get('ros__parameters') if isinstance(found, dict) else None
    if not isinstance(values, dict):
        msg = f'{file}: no {section}: with ros__parameters: in it; it has {list(sections)}'
        raise ConfigError(msg)
    for name, value in values.items():
        if not isinstance(value, bool | int | float | str | list):
            msg = f'{file}: {section}: {name} must be a number, text, a truth or a list, got '
            msg += repr(value)
            raise ConfigError(msg)
    return dict(values)


def node_parameters(spec: NodeSpec, values: Mapping[str, Value]) -> dict[str, Value]:
    """Return all parameters of a node: those of its section, and above them what it is given.

    They are given to the process as they are, never as the file: ROS would look for a section of
    the node's name and namespace there, and take none without a word where that is another.

    Args:
        spec: The node.
        values: Arguments of the stack; those that the node does not take are left out.
    """
    given = {spec.parameter(name): values[name] for name in spec.arguments if name in values}
    given |= spec.given
    if values.get('use_sim_time'):  # else it is left to whoever includes the launch file
        given['use_sim_time'] = True
    return parameters(spec) | given


def full_namespace(name: str) -> str:
    """Return a namespace with its leading slash, ``/`` for none."""
    return '/' + name.strip('/')


def environment() -> dict[str, str]:
    """Return the environment variables every process of a stack needs in addition.

    Nodes are seen by this machine alone, since nobody else on a network shall move the arms, and
    Fast DDS has the profile of the package: up to 2.14 it reads that from the first name, since
    then from the second. A range or a profile that the user has set already is kept; one that is
    empty is none, and ROS would take an empty range for the whole network.
    """
    discovery, profile = 'ROS_AUTOMATIC_DISCOVERY_RANGE', str(share_path('config', 'fastdds.xml'))
    names = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
    variables = {} if os.environ.get(discovery) else {discovery: 'LOCALHOST'}
    if not any(map(os.environ.get, names)):
        variables |= dict.fromkeys(names, profile)
    return variables


def enclave(name: str) -> str:
    """Return the enclave of a kind of node, whose keys it has where security is switched on.

    Args:
        name: Section of the node in ``config/nodes.yaml``.
    """
    return f'/cosmos_policy/{name}'


def node_command(spec: NodeSpec, values: Mapping[str, Value]) -> list[str]:
    """Return the command line that starts a node as a process of this interpreter.

    Args:
        spec: The node.
        values: Arguments of the stack; those that the node does not take are left out, those that
            are not given keep the default of ``default_values`` or of the node.

    Raises:
        KeyError: An argument does not exist.
    """
    unknown = sorted(set(values) - set(ARGUMENTS))
    if unknown:
        msg = f'the stack has no arguments {unknown}; it knows {sorted(ARGUMENTS)}'
        raise KeyError(msg)
    merged = fit_robot(default_values() | dict(values))
    command = [sys.executable, '-m', f'{PACKAGE}.nodes.{spec.executable}', '--ros-args']
    command += ['-r', f'__node:={spec.name}', '--enclave', enclave(spec.section)]
    command += ['-r', f'__ns:={full_namespace(str(merged["namespace"]))}']
    for name, value in node_parameters(spec, merged).items():
        # JSON is YAML with the quotes that keep a string a string
        command += ['-p', f'{name}:={json.dumps(value)}']
    return command

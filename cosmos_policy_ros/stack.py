# SPDX-License-Identifier: Apache-2.0
"""Which processes make up the running stack, and how they start and end; the one node list.

The launch files and ``cosmos-policy demo`` both read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
import ctypes
from dataclasses import dataclass
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import yaml

PACKAGE = 'cosmos_policy_ros'
Value = bool | int | float | str


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
    'robot': Argument(str, 'Robot YAML file.'),
    'checkpoint': Argument(str, 'Checkpoint folder.'),
    'planning_checkpoint': Argument(str, 'Checkpoint folder that scores the candidates.'),
    'backend': Argument(str, 'What runs the networks; auto takes the fastest that is there.'),
    'device': Argument(str, 'Where the networks run: cpu or cuda.'),
    'precision': Argument(str, 'Arithmetic of the networks: auto, float32 or bfloat16.'),
    'candidates': Argument(int, 'Candidates N per query; the best one is executed.'),
    'keep': Argument(str, 'Candidates kept after each denoising step, as 4 2 1; empty: all.'),
    'futures': Argument(int, 'Futures M predicted per candidate; 0 reads them from the policy.'),
    'values': Argument(int, 'Values K predicted per future; 0 reads them from the stage before.'),
    'seed': Argument(int, 'Seed of the noise, and of the scene at the first reset.'),
    'task': Argument(str, 'Simulated task: transfer_cube or insert_peg.'),
    'states': Argument(str, 'Start states of the simulator: normal, as in training, or hard.'),
    'render': Argument(bool, 'Show the simulator in a window; needs a display.'),
    'episodes': Argument(int, 'Episodes to play; episode i plays the scene of seed + i.'),
    'source': Argument(str, 'demo (a human or a script acts) or rollout (a policy).'),
    'operator': Argument(str, 'Who records; kept with every episode.'),
    'policy': Argument(str, 'Checkpoint folder of the policy that acts, for its hash.'),
    'teleop': Argument(bool, 'Follow the leader arms instead of a policy.'),
    'stream': Argument(str, 'Name of a camera, or arms for the joint states of all arms.'),
    'record_s': Argument(float, 'Record an episode this long; 0 does not [s].'),
    'compress': Argument(bool, 'Whether bags are compressed with zstd.'),
    'out': Argument(str, 'Folder for rosbags and events.'),
    'bag': Argument(str, 'Rosbag whose joint commands are played again.'),
    'speed': Argument(float, 'How fast to play a rosbag; 1.0 as recorded, less is slower.'),
    'simulate': Argument(bool, 'Reset the simulator and enable the executor without asking.'),
}


@dataclass(frozen=True)
class NodeSpec:
    """One process of the stack.

    Attributes:
        name: ROS node name, which is also its section of ``config/nodes.yaml``.
        executable: Console script, and module in ``cosmos_policy_ros.nodes``.
        arguments: The ``ARGUMENTS`` it takes.
    """

    name: str
    executable: str
    arguments: tuple[str, ...]


SIM = NodeSpec('sim', 'sim_node', ('robot', 'task', 'states', 'seed', 'render'))
INFERENCE = NodeSpec('inference', 'inference_node', (
    'robot', 'checkpoint', 'planning_checkpoint', 'backend', 'device', 'precision', 'candidates',
    'keep', 'futures', 'values', 'seed',
))  # fmt: skip
PLANNER = NodeSpec('planner', 'planner_node', ('robot',))
EXECUTOR = NodeSpec('command_executor', 'command_executor', ('robot',))
OPERATOR = NodeSpec('operator', 'operator_node', ('robot', 'seed', 'episodes', 'out'))
TELEOP = NodeSpec('command_executor', 'command_executor', ('robot', 'teleop'))
RECORDER = NodeSpec(
    'recorder', 'recorder_node', ('robot', 'out', 'source', 'operator', 'policy', 'compress')
)
DEMONSTRATOR = NodeSpec(
    'demonstrator', 'demonstrator_node', ('robot', 'task', 'seed', 'episodes', 'out')
)
STREAM = NodeSpec('stream', 'stream_node', ('robot', 'stream', 'out', 'record_s'))
REPLAY = NodeSpec('replay', 'replay_node', ('robot', 'bag', 'out', 'speed', 'simulate'))
REPLAY_STACK = (SIM, EXECUTOR)
POLICY_STACK = (INFERENCE, PLANNER, EXECUTOR)
TELEOP_STACK = (TELEOP,)
RECORD_STACK = (RECORDER,)  # beside one of the others
DEMONSTRATION_STACK = (SIM, *TELEOP_STACK, *RECORD_STACK)  # led by the demonstrator
SIM_STACK = (SIM, *POLICY_STACK)  # plays what an operator, human or node, asks for


def share_path(*parts: str) -> Path:
    """Return a path below the folder that holds ``config/`` and ``models/``.

    That is the source tree when this file lies in one (also when installed as editable), else the
    ``share/cosmos_policy_ros`` of the prefix this package is installed in.

    Raises:
        FileNotFoundError: This copy of the package was installed without its data files.
    """
    here = Path(__file__).resolve()
    source = here.parents[1]
    if (source / 'package.xml').is_file():
        return source.joinpath(*parts)
    for prefix in here.parents:
        share = prefix / 'share' / PACKAGE
        if (share / 'package.xml').is_file():
            return share.joinpath(*parts)
    msg = f'no share/{PACKAGE} above {here}; install the package with colcon build or pip install'
    raise FileNotFoundError(msg)


def stack_arguments(specs: Iterable[NodeSpec]) -> dict[str, Argument]:
    """Return the arguments that at least one of the nodes takes, in the order of ``ARGUMENTS``."""
    taken = {name for spec in specs for name in spec.arguments}
    return {name: argument for name, argument in ARGUMENTS.items() if name in taken}


def default_values() -> dict[str, Value]:
    """Return what every argument is in the simulator when nobody gives it.

    The files are this package's own; the other values stand in ``config/nodes.yaml``.
    """
    sections = yaml.safe_load(parameter_file().read_text(encoding='utf-8'))
    values: dict[str, Value] = {}
    for spec in (*SIM_STACK, *RECORD_STACK):
        parameters = sections[spec.name]['ros__parameters']
        values |= {n: parameters[n] for n in spec.arguments if n in parameters}
    values['robot'] = str(share_path('config', 'robots', 'aloha_sim.yaml'))
    values['checkpoint'] = str(share_path('models', 'aloha_sim_transfer_cube'))
    values['teleop'] = True  # who takes it was started for it
    return values


def parameter_file() -> Path:
    """Return the YAML file with the parameters of all nodes."""
    return share_path('config', 'nodes.yaml')


def environment() -> dict[str, str]:
    """Return the environment variables every process of a stack needs in addition.

    Fast DDS up to 2.14 reads its profile from the first name, since then from the second. A
    profile that the user named already is kept.
    """
    names = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
    if any(name in os.environ for name in names):
        return {}
    return dict.fromkeys(names, str(share_path('config', 'fastdds.xml')))


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
    merged = default_values() | dict(values)
    command = [sys.executable, '-m', f'{PACKAGE}.nodes.{spec.executable}', '--ros-args']
    command += ['-r', f'__node:={spec.name}', '--params-file', str(parameter_file())]
    for name in (n for n in spec.arguments if n in merged):
        # JSON is YAML with the quotes that keep a string a string
        command += ['-p', f'{name}:={json.dumps(merged[name])}']
    return command


def start_node(spec: NodeSpec, values: Mapping[str, Value], log: Path) -> subprocess.Popen[bytes]:
    """Start a node as ``start_process`` does.

    Args:
        spec: The node.
        values: As for ``node_command``.
        log: File that its output is appended to.

    Raises:
        KeyError: An argument does not exist.
    """
    return start_process(node_command(spec, values), log)


def start_process(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process of the stack in a process group of its own, which dies with this process.

    Call it from the main thread: the kernel ends the process when the thread that started it ends.

    Args:
        command: Command line.
        log: File that its output is appended to.
    """
    with log.open('ab') as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | environment(),
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop the others
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 - one system call, takes no lock
        )


def stop_nodes(processes: Iterable[subprocess.Popen[bytes]], patience_s: float = 5.0) -> None:
    """Ask processes to end, and kill those that are still there after ``patience_s``."""
    running = [p for p in processes if p.poll() is None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + patience_s
    while any(p.poll() is None for p in running) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _die_with_parent() -> Callable[[], None]:
    """Return what a child calls so that not even a killed parent leaves it behind."""
    libc = ctypes.CDLL(None)  # loaded before the fork
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG

    def ask() -> None:
        libc.prctl(set_parent_death_signal, signal.SIGKILL)

    return ask

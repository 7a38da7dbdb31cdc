# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy demo``: episodes of a policy on the simulated robot, by way of the stack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cosmos_policy_ros.control.seams import PlaybackSettings, SEAMS
from cosmos_policy_ros.core.config import check_robot, check_task
from cosmos_policy_ros.core.cosmos3.facts import Cosmos3Facts
from cosmos_policy_ros.core.facts import read_facts
from cosmos_policy_ros.core.planner import Selection
from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.resources import robot_file, share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.experts.table import find_task, TASKS
from cosmos_policy_ros.sim.states import States
from cosmos_policy_ros.sim.tasks import EPISODE_S, UNSEEN_SEED
from cosmos_policy_ros.stack.node_list import fit_robot, SIM_DRIVERS, Value
from cosmos_policy_ros.terminal.demo import play_demo
from cosmos_policy_ros.types import ConfigError
import tyro

DRIVER_HELP = (
    f'Driver that the simulated arms stand in for: {" or ".join(SIM_DRIVERS)}; all but sim have '
    'the topics, services and habits of a driver of real arms, and a robot file of their own.'
)
SEAM_HELP = f'How a new chunk takes over from the running one: {" or ".join(SEAMS)}.'


@dataclass(frozen=True)
class Demo:
    """Let the simulated robot do its task through ROS topics, in real time.

    Starts simulator, inference, planner, command executor and an operator as processes, plays the
    episodes and writes report.json, plot.png, demo.mp4 and one rosbag per episode. Exit status 0
    means that every episode ran and queries were answered, whatever the success.

    Example: cosmos-policy demo --episodes 5 --seed 100000 --candidates 4
    """

    task: Annotated[str, tyro.conf.arg(help=f'Simulated task: {" or ".join(TASKS)}.')] = (
        'transfer_cube'
    )
    driver: Annotated[str, tyro.conf.arg(help=DRIVER_HELP)] = 'sim'
    states: States = 'normal'
    """Start states, normal as in training or hard; see evaluate."""
    episodes: int = 5
    """Number of episodes of 8 s."""
    seed: int = UNSEEN_SEED
    """Episode i plays the scene of seed + i; training used seeds below 100000."""
    candidates: int | Literal['auto'] = 'auto'
    """Candidates N per query; the one with the best value is played. By default 4, and fewer where
    the machine has no time for them; 1 of a checkpoint that has no value."""
    keep: tuple[int, ...] = ()
    """Candidates kept after each denoising step, by value so far; none keeps all to the end."""
    futures: int = 0
    """Predicted futures M per candidate; 0 reads the value from the joint denoising."""
    values: int = 0
    """Value samples K per future; 0 reads the value from the stage before."""
    depth: int = 1
    """Chunks that are imagined one after the other before a candidate is valued; with auto
    candidates fewer where the machine has no time for them."""
    temperature: float = 0.0
    """How far the candidates are spread as different plans; see evaluate."""
    paired: bool = True
    """Judge all candidates with the same noise, so that they differ by what they do; otherwise
    with noise of their own, as the reference."""
    guidance: float = 1.0
    """How strongly a checkpoint of train --role improve is asked for what goes better than
    expected: 0 not at all, 1 as trained, up to 3 beyond, which takes twice the time."""
    selection: Selection = 'decisive'
    """When another candidate than the first is played; see evaluate."""
    seam: Annotated[str, tyro.conf.arg(help=SEAM_HELP)] = PlaybackSettings.seam
    device: str = 'cpu'
    """Where the networks run: cpu, cuda or cuda:1; a list such as cpu,cpu starts an inference node
    with N candidates each, and one that crashes costs its candidates only."""
    out: Path | None = None
    """Folder for what is recorded, by default runs/<date>-<time>; what an earlier demo left in it
    is replaced."""
    checkpoint: Path = share_path('models', 'aloha_sim')
    """Checkpoint folder."""
    planning_checkpoint: Path | None = None
    """Checkpoint folder that scores the candidates; otherwise the first one does so itself."""
    robot: Path = robot_file('aloha_sim')
    """Robot YAML; by default that of the driver."""
    domain: int | None = None
    """ROS domain, by default ROS_DOMAIN_ID where that is set, else one of its own."""
    render: bool = False
    """Show the simulator in a window; needs a display."""


def run(options: Demo) -> int:
    """Play the episodes; exit status 1 where one did not run or was not answered."""
    _check(options)
    whole = play_demo(
        _arguments(options), EPISODE_S, options.out, options.domain, options=vars(options)
    )
    return 0 if whole else 1


def _check(options: Demo) -> None:
    """Refuse what would only fail once the nodes have loaded their networks.

    Raises:
        ConfigError: A count is too small, there is no such task, driver or robot, or the
            checkpoint does not fit the robot, the task or ``--keep``.
    """
    counts = [('episodes', 1), ('futures', 0), ('values', 0), ('depth', 1), ('seed', 0)]
    counts += [('candidates', 1)] if options.candidates != 'auto' else []
    for name, least in counts:
        if getattr(options, name) < least:
            msg = f'--{name} must be at least {least}, got {getattr(options, name)}'
            raise ConfigError(msg)
    if options.driver not in SIM_DRIVERS:
        msg = f'--driver {options.driver} must be one of {", ".join(SIM_DRIVERS)}'
        raise ConfigError(msg)
    find_task(options.task)
    PlaybackSettings(options.seam)
    facts = read_facts(options.checkpoint)
    check_robot(facts, read_robot(Path(str(_arguments(options)['robot']))))
    usual = PlanQuery.candidates if facts.has_value else 1
    most = usual if options.candidates == 'auto' else options.candidates
    query = PlanQuery(
        most,
        options.futures,
        options.values,
        options.depth,
        options.keep,
        options.temperature,
        guidance=options.guidance,
    )
    if isinstance(facts, Cosmos3Facts):
        facts.check_query(query)
        facts.check_task(TASKS[options.task])
        return
    query.check(facts.action_steps)
    residuals = options.checkpoint / 'residuals.safetensors'
    if query.temperature and not residuals.is_file():
        msg = f'--temperature needs {residuals}; cosmos-policy residuals measures it'
        raise ConfigError(msg)
    check_task(options.checkpoint / 'text_embeddings.safetensors', TASKS[options.task])


def _arguments(options: Demo) -> dict[str, Value]:
    """Return the arguments of the nodes."""
    planning = options.planning_checkpoint
    values: dict[str, Value] = {
        'planning_checkpoint': str(planning.resolve()) if planning else '',
        'futures': options.futures,
        'values': options.values,
        'depth': options.depth,
        'temperature': options.temperature,
        'paired': options.paired,
        'guidance': options.guidance,
        'selection': options.selection,
        'robot': str(options.robot.resolve()),
        'checkpoint': str(options.checkpoint.resolve()),
        'candidates': str(options.candidates),
        'keep': ' '.join(map(str, options.keep)),
        'device': options.device,
        'seam': options.seam,
        'seed': options.seed,
        'task': options.task,
        'driver': options.driver,
        'states': options.states,
        'render': options.render,
        'episodes': options.episodes,
    }
    return fit_robot(values)

# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy demo``: the whole stack as processes, and episodes played on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
import json
from pathlib import Path
import shutil
import sys
import time
from typing import Annotated

from cosmos_policy_ros.core.config import check_robot, check_task, read_config
from cosmos_policy_ros.core.planner import check_keep
from cosmos_policy_ros.report.demo_summary import make_report
from cosmos_policy_ros.report.terminal import print_report, View
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.experts.table import find_task, TASKS
from cosmos_policy_ros.sim.states import States
from cosmos_policy_ros.stack.domain import choose_domain
from cosmos_policy_ros.stack.node_list import Value
from cosmos_policy_ros.stack.running import run_stack
from cosmos_policy_ros.types import ConfigError
from rich.console import Console
import tyro

OUTPUTS = ('bags', 'logs', 'events.jsonl', 'report.json', 'plot.png', 'demo.mp4')


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
    states: States = 'normal'
    """Start states, normal as in training or hard; see evaluate."""
    episodes: int = 5
    """Number of episodes of 8 s."""
    seed: int = 100000
    """Episode i plays the scene of seed + i; training used seeds below 100000."""
    candidates: int = 4
    """Candidates N per query; the one with the best value is played."""
    keep: tuple[int, ...] = ()
    """Candidates kept after each denoising step, by value so far; none keeps all to the end."""
    futures: int = 0
    """Predicted futures M per candidate; 0 reads the value from the joint denoising."""
    values: int = 0
    """Value samples K per future; 0 reads the value from the stage before."""
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
    robot: Path = share_path('config', 'robots', 'aloha_sim.yaml')
    """Robot YAML."""
    domain: int | None = None
    """ROS domain, by default ROS_DOMAIN_ID where that is set, else one of its own."""
    render: bool = False
    """Show the simulator in a window; needs a display."""


def run(options: Demo) -> int:
    """Play the episodes, print the table and write report, plot and film."""
    _check(options)
    robot = read_robot(options.robot)
    config = read_config(options.checkpoint / 'policy.json')
    check_robot(config, robot)
    check_keep(options.keep, options.candidates, config.action_steps)
    check_task(options.checkpoint / 'text_embeddings.safetensors', TASKS[options.task])
    domain = choose_domain(options.domain)
    start_s = time.perf_counter()
    out = prepare_folder(options.out)
    console = Console()
    console.print(f'ROS_DOMAIN_ID={domain}, logs in {out}/logs', highlight=False, soft_wrap=True)
    trouble = ''
    with run_stack(_arguments(options), out) as stack:
        try:
            with View(console, options.episodes) as view:
                for event in stack.follow():
                    view.show(event)
        except (ConfigError, ChildProcessError) as error:
            trouble = str(error)
        events = stack.events
    if trouble:
        print(f'cosmos-policy: {trouble}', file=sys.stderr)
    report = make_report(events, vars(options), domain)
    if report['episodes']:
        print_report(report, console)
        (out / 'report.json').write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
        with console.status('drawing plot and film'):
            # late: they load slowly, and nothing before needs them
            from cosmos_policy_ros.report.demo_plot import write_plot
            from cosmos_policy_ros.report.film import write_film

            write_plot(out / 'plot.png', report, robot)
            write_film(out / 'demo.mp4', report, robot)
        files = 'report.json, plot.png, demo.mp4, bags/'
        took = f'{time.perf_counter() - start_s:.0f} s in all'
        console.print(f'{took}; see {out}: {files}', highlight=False, soft_wrap=True)
    complete = len(report['episodes']) == options.episodes
    answered = all(episode['answers'] for episode in report['episodes'])
    return 0 if complete and answered and not trouble else 1


def prepare_folder(wanted: Path | None, outputs: Iterable[str] = OUTPUTS) -> Path:
    """Return the output folder, made or without what an earlier run left in it.

    Args:
        wanted: Folder, by default one named after date and time.
        outputs: What a run leaves.

    Raises:
        ConfigError: It cannot be written.
    """
    out = wanted or Path('runs', datetime.now().strftime('%Y%m%d-%H%M%S'))
    try:
        for path in [out / name for name in outputs]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        (out / 'logs').mkdir(parents=True)
    except OSError as error:
        msg = f'cannot write to the folder {out} ({error.strerror}); give another one with --out'
        raise ConfigError(msg) from error
    return out.resolve()


def _check(options: Demo) -> None:
    """Refuse counts that make no sense.

    Raises:
        ConfigError: One does not.
    """
    counts = ('episodes', 1), ('candidates', 1), ('futures', 0), ('values', 0), ('seed', 0)
    for name, least in counts:
        if getattr(options, name) < least:
            msg = f'--{name} must be at least {least}, got {getattr(options, name)}'
            raise ConfigError(msg)
    find_task(options.task)


def _arguments(options: Demo) -> dict[str, Value]:
    """Return the arguments of the nodes."""
    planning = options.planning_checkpoint
    return {
        'planning_checkpoint': str(planning.resolve()) if planning else '',
        'futures': options.futures,
        'values': options.values,
        'robot': str(options.robot.resolve()),
        'checkpoint': str(options.checkpoint.resolve()),
        'candidates': options.candidates,
        'keep': ' '.join(map(str, options.keep)),
        'device': options.device,
        'seed': options.seed,
        'task': options.task,
        'states': options.states,
        'render': options.render,
        'episodes': options.episodes,
    }

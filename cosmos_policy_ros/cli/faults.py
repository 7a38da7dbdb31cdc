# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy faults``: what the running stack does when something breaks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.outputs import check_output
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.sim.tasks import UNSEEN_SEED
from cosmos_policy_ros.terminal.faults import add_to_file, print_report, read_cases, run_faults
from cosmos_policy_ros.types import ConfigError
from rich.console import Console


@dataclass(frozen=True)
class Faults:
    """Inject faults into the whole stack, on the simulator, and judge what it does.

    Sensors that die, freeze or lie, messages of strangers, people who stop and enable at the
    wrong moment, processes that die or stand still: each has a right reaction, a time limit, and
    a largest step and speed of the commands, which is printed and written. Exit status 1 means
    that something did not end as it should.

    Example: cosmos-policy faults --quick --json faults.json
    """

    driver: str = 'sim'
    """What stands for the robot: sim (forward controllers), interbotix or jtc."""
    quick: bool = False
    """Try every fault at one moment alone: about 15 minutes."""
    minutes: float = 0.0
    """Try faults in random order for so long [min], to see that the stack outlives them; 0 tries
    each once."""
    kinds: tuple[str, ...] = ()
    """Only these faults."""
    seeds: int = 1
    """Scenes in which each fault is tried."""
    seed: int = UNSEEN_SEED
    """Seed of the first scene."""
    json: Path | None = None
    """File for all cases; those of other drivers and faults in it are kept."""
    checkpoint: Path = share_path('models', 'aloha_sim')
    """Checkpoint folder of the policy that moves the arms."""
    out: Path | None = None
    """Folder for logs and events, by default runs/<date>-<time>."""
    domain: int | None = None
    """ROS domain, by default ROS_DOMAIN_ID where that is set, else one of its own."""


def run(options: Faults) -> int:
    """Play the campaign; exit status 1 where a case did not end as it should."""
    if options.seeds < 1:
        msg = f'--seeds must be at least 1, got {options.seeds}'
        raise ConfigError(msg)
    check_output('--json', options.json)
    if options.json is not None:
        read_cases(options.json)  # a file of something else shows before hours of faults
    report = run_faults(
        options.driver,
        {
            'checkpoint': str(options.checkpoint.resolve()),
            'kinds': ','.join(options.kinds),
            'quick': options.quick,
            'minutes': options.minutes,
            'episodes': options.seeds,
            'seed': options.seed,
        },
        options.out,
        options.domain,
    )
    print_report(report, Console())
    if options.json is not None:
        add_to_file(options.json, report)
    return 1 if report['unsafe'] else 0

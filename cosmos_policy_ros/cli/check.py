# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy check``: whether the robot that runs is the one in the robot file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
import tempfile

from cosmos_policy_ros.cli.robot_options import Domain, Namespace
from cosmos_policy_ros.core.config import check_robot
from cosmos_policy_ros.core.facts import read_facts
from cosmos_policy_ros.finding import Finding, refuse
from cosmos_policy_ros.outputs import check_output, write_json
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.stack.domain import choose_domain_of_running_robot
from cosmos_policy_ros.stack.node_list import CHECK
from cosmos_policy_ros.stack.running import run_stack
from cosmos_policy_ros.types import ConfigError
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

COLOURS = {'ok': 'green', 'warning': 'yellow', 'error': 'red'}


@dataclass(frozen=True)
class Check:
    """Look whether the robot that runs is the one in the robot file; nothing moves.

    Listens for a few seconds to the cameras and arms, whose drivers run already: publisher, type,
    rate, stamps, quality of service, joint names, image size and format. Asks the controllers
    what the executor asks before it enables, and compares the limits with robot_description. A
    table has what was found, what was expected and what to do. Exit status 0 means that nothing
    is wrong; warnings may be meant so.

    Example: cosmos-policy check --robot my_robot.yaml --checkpoint my_checkpoint
    """

    robot: Path
    """Robot YAML file, or the name of one in config/robots."""
    checkpoint: Path | None = None
    """Checkpoint folder that is to run on the robot."""
    json: Path | None = None
    """File for the findings; replaced when it exists."""
    all: bool = False
    """Show in the table what is well too."""
    namespace: Namespace = ''
    domain: Domain = None


def run(options: Check) -> int:
    """Print the table; exit status 1 where something is wrong."""
    check_output('--json', options.json)
    read_robot(options.robot)
    findings = _look(options)
    if options.checkpoint is not None:
        findings.append(_compare(options.checkpoint, options.robot))
    wrong = sum(finding.level == 'error' for finding in findings)
    shown = [f for f in findings if options.all or f.level != 'ok']
    console = Console()
    if shown:
        console.print(_table(shown))
    console.print(f'{len(findings)} things checked, {wrong} wrong', highlight=False)
    if options.json is not None:
        report = {'wrong': wrong, 'findings': [asdict(finding) for finding in findings]}
        write_json(options.json, report)
    return 1 if wrong else 0


def _look(options: Check) -> list[Finding]:
    """Return what the check node finds out.

    Raises:
        ConfigError: The message package of a driver is missing, or the node crashed.
    """
    choose_domain_of_running_robot(options.domain)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        (out / 'logs').mkdir()
        values = {'robot': str(options.robot.resolve()), 'namespace': options.namespace}
        try:
            with run_stack(values, out, CHECK, ()) as stack:
                events = list(stack.follow())
        except ChildProcessError as error:
            raise ConfigError(str(error)) from error
    details = [{k: v for k, v in e.items() if k != 'event'} for e in events]
    return [Finding(**detail) for detail in details if detail]


def _compare(checkpoint: Path, robot: Path) -> Finding:
    """Return whether a checkpoint was trained for a robot."""
    facts, reason = read_facts(checkpoint), ''
    try:
        check_robot(facts, read_robot(robot))
    except ConfigError as error:
        reason = str(error)
    return refuse(str(checkpoint), 'checkpoint', reason, 'trained for this robot')


def _table(findings: Sequence[Finding]) -> Table:
    """Return the findings as a table."""
    table = Table(box=SIMPLE)
    for column in ('', 'check', 'found', 'expected', 'what to do'):
        table.add_column(column, overflow='fold')
    last = ''
    for f in findings:
        colour, last, subject = COLOURS[f.level], f.subject, f.subject if f.subject != last else ''
        table.add_row(
            subject, f'[{colour}]{f.check}[/]', *map(escape, (f.found, f.expected, f.advice))
        )
    return table

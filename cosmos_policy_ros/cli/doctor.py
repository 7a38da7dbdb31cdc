# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy doctor``: whether this machine can run a stack, and what to do where not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from cosmos_policy_ros.finding import Finding
from cosmos_policy_ros.outputs import check_output, write_json
from cosmos_policy_ros.report import doctor
from rich.console import Console
from rich.markup import escape

MARKS = {'ok': ('green', '✓'), 'warning': ('yellow', '!'), 'error': ('red', '✗')}


@dataclass(frozen=True)
class Doctor:
    """Look at machine, graphics, packages, ROS 2, shared memory, reports of faults and messages.

    Each line has what was found, and where that is not well what is expected and what to do.
    Nothing is changed; for the last lines cameras and arms are imitated by processes that publish
    what they would, on a ROS domain of their own, for about ten seconds. Give the lines with a
    report of a problem.
    Exit status 0 means that nothing is wrong; warnings may be meant so.

    Example: cosmos-policy doctor
    """

    quick: bool = False
    """Start no processes that send each other messages."""
    json: Path | None = None
    """File for the findings; replaced when it exists."""


def run(options: Doctor) -> int:
    """Print a line each; exit status 1 where something is wrong."""
    check_output('--json', options.json)
    examinations = [
        doctor.examine_machine,
        doctor.examine_graphics,
        doctor.examine_packages,
        doctor.examine_ros,
        doctor.examine_shared_memory,
        doctor.examine_reports,
    ]
    if not options.quick:
        examinations.append(doctor.examine_messages)
    console = Console()
    findings: list[Finding] = []
    with console.status('looking') as status:
        for examine in examinations:
            status.update(f'looking at {examine.__name__.partition("_")[2].replace("_", " ")}')
            for finding in examine():
                if not findings or findings[-1].subject != finding.subject:
                    console.print(f'[bold]{finding.subject}[/]')
                console.print(_line(finding), highlight=False, soft_wrap=True)
                findings.append(finding)
    count = {level: sum(f.level == level for f in findings) for level in ('error', 'warning')}
    console.print(
        f'{len(findings)} things looked at, {count["error"]} wrong, {count["warning"]} to mind',
        highlight=False,
    )
    if options.json is not None:
        report = {'wrong': count['error'], 'findings': [asdict(f) for f in findings]}
        write_json(options.json, report)
    return 1 if count['error'] else 0


def _line(finding: Finding) -> str:
    """Return a finding as a line with markup."""
    colour, mark = MARKS[finding.level]
    line = f'  [{colour}]{mark}[/] {escape(finding.check)}: {escape(finding.found)}'
    if finding.level == 'ok':
        return line
    expected = f', expected {escape(finding.expected)}' if finding.expected else ''
    return f'{line}{expected}\n      {escape(finding.advice)}'

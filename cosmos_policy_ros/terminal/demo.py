# SPDX-License-Identifier: Apache-2.0
"""A demo from its first process to its film: episodes of a policy on the simulated robot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import sys
import time
from typing import Any

from cosmos_policy_ros.outputs import write_json
from cosmos_policy_ros.report.demo_summary import make_report
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.stack.domain import choose_domain
from cosmos_policy_ros.stack.node_list import Value
from cosmos_policy_ros.terminal.demo_terminal import print_report, show_demo
from cosmos_policy_ros.terminal.live import follow_stack, prepare_folder
from rich.console import Console

OUTPUTS = ('bags', 'logs', 'events.jsonl', 'report.json', 'plot.png', 'demo.mp4')


def play_demo(
    values: Mapping[str, Value],
    episode_s: float,
    out: Path | None = None,
    domain: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> bool:
    """Play the episodes, print a table of them and write report, plot, film and a bag of each.

    Args:
        values: Arguments of the nodes, see ``node_list.ARGUMENTS``; ``robot`` and ``episodes``
            are among them.
        episode_s: Length of an episode [s].
        out: Output folder, by default one named after date and time; what an earlier demo left in
            it is replaced.
        domain: ROS domain, None for ``ROS_DOMAIN_ID`` or one of its own.
        options: What ``report.json`` keeps of how the demo was started.

    Returns:
        Whether every episode ran and queries were answered in each, whatever the success.

    Raises:
        ConfigError: The folder cannot be written, or there is no such domain or robot file.
    """
    robot = read_robot(Path(str(values['robot'])))
    n_episodes = int(values['episodes'])
    domain = choose_domain(domain)
    start_s = time.perf_counter()
    out = prepare_folder(out, OUTPUTS)
    console = Console()
    view = show_demo(console, n_episodes, episode_s)
    events, trouble = follow_stack(values, out, domain, console, view)
    if trouble:
        print(f'cosmos-policy: {trouble}', file=sys.stderr)
    report = make_report(events, options or {}, domain)
    if report['episodes']:
        print_report(report, console)
        write_json(out / 'report.json', report)
        with console.status('drawing plot and film'):
            # late: they load slowly, and nothing before needs them
            from cosmos_policy_ros.report.demo_film import write_film
            from cosmos_policy_ros.report.demo_plot import write_plot

            write_plot(out / 'plot.png', report, robot)
            write_film(out / 'demo.mp4', report, robot)
        files = 'report.json, plot.png, demo.mp4, bags/'
        took = f'{time.perf_counter() - start_s:.0f} s in all'
        console.print(f'{took}; see {out}: {files}', highlight=False, soft_wrap=True)
    complete = len(report['episodes']) == n_episodes
    answered = all(episode['answers'] for episode in report['episodes'])
    return complete and answered and not trouble

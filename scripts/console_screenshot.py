# SPDX-License-Identifier: Apache-2.0
"""Write docs/images/console.png: the console before the simulated robot while the policy moves it.

It says how much of a core the console needs, too. The browser draws the 3D view without a GPU, so
either it runs or the policy does: it stands still while the arms move, and they do while it draws
what it was sent meanwhile.

    MUJOCO_GL=egl python scripts/console_screenshot.py
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
import json
from pathlib import Path
import re
import signal
import subprocess
import tempfile
import time
from urllib.request import Request, urlopen

from browser import open_page
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.stack.domain import choose_domain
from cosmos_policy_ros.stack.node_list import (
    LONE_CONSOLE,
    nodes_to_start,
    Value,
    WATCHED_SIM_STACK,
)
from cosmos_policy_ros.stack.processes import start_node, stop_nodes
import psutil

IMAGE = Path(__file__).parents[1] / 'docs' / 'images' / 'console.png'
START_S = 150.0  # [s] that the stack may take to start
RUN_S = 6.0  # [s] that the policy acts: the arms are on their way then
MEASURE_S = 6.0  # [s] over which the processor time of the console is measured
CATCH_UP_S = 10.0  # [s] in which the browser draws what was sent to it until then
VIEW = "document.querySelector('iframe')?.contentDocument"


def wait_for_line(log: Path, pattern: str) -> str:
    """Return the first match of a pattern in a log.

    Raises:
        TimeoutError: It does not come.
    """
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s:
        if log.exists() and (match := re.search(pattern, log.read_text(encoding='utf-8'))):
            return match[0]
        time.sleep(0.1)
    raise TimeoutError(f'no {pattern!r} in {log}')


def press(url: str, operation: str) -> None:
    """Press a button of the console."""
    body = json.dumps({'operation': operation, 'seen': time.monotonic()}).encode()
    with urlopen(Request(f'{url}press', body), timeout=5.0):
        pass


def take_picture(image: Path, folder: Path) -> None:
    """Run the stack, look at it, and write what the page shows."""
    values: dict[str, Value] = {'robot': str(robot_file('aloha_sim')), 'port': 0}
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for spec in (*nodes_to_start(WATCHED_SIM_STACK, values), LONE_CONSOLE):
            processes[spec.name] = start_node(spec, values, folder / f'{spec.name}.log')
        url = wait_for_line(folder / 'console.log', r'http://\S+')
        wait_for_line(folder / 'inference.log', 'answering with')
        console = psutil.Process(processes['console'].pid)
        print(f'without a page: {console.cpu_percent(MEASURE_S):.0f} % of a core')
        with open_page(1400, 1000) as page:
            page.open(url)
            page.wait_for(f"{VIEW}?.body?.innerText.includes('latency')")
            close = f"{VIEW}.querySelectorAll('.mantine-Notification-closeButton')"
            page.run(f'{close}.forEach(button => button.click())')
            print(f'with a page: {console.cpu_percent(MEASURE_S):.0f} % of a core', flush=True)
            # what stands still would pass for a cut connection
            page.wait_for('!isCut && ((check = () => {}), true)')
            first = psutil.Process(page.process)
            browser = [first, *first.children(recursive=True)]
            for process in browser:
                process.suspend()
            press(url, 'enable')
            time.sleep(2.0)
            press(url, 'start')
            time.sleep(RUN_S)
            signal_all(processes.values(), signal.SIGSTOP)
            for process in browser:
                process.resume()
            time.sleep(CATCH_UP_S)
            page.save_screenshot(image)
    finally:
        signal_all(processes.values(), signal.SIGCONT)
        stop_nodes(processes.values())


def signal_all(processes: Iterable[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    """Send a signal to processes that run."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=IMAGE, help='PNG file')
    out = parser.parse_args().out
    choose_domain(None)
    with tempfile.TemporaryDirectory() as folder:
        take_picture(out, Path(folder))
    print(out)


if __name__ == '__main__':
    main()

# SPDX-License-Identifier: Apache-2.0
"""Write the pictures of docs/images that show what an operator sees, from stacks that really run.

The console while the policy moves the simulated robot, and while a person leads it; the score
sheet of a blind comparison; and RViz, on a machine that has it. It says how much of a core the
console needs, too.

The browser draws the 3D view without a GPU, so either it runs or the stack does: the stack stands
still while the page loads, the browser while the arms move, and they do while it draws what it was
sent meanwhile.

    MUJOCO_GL=egl python scripts/screenshots.py
    MUJOCO_GL=egl python scripts/screenshots.py takeover
    python scripts/screenshots.py score_sheet --session runs/evaluate_robot
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
import json
import os
from pathlib import Path
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from threading import Event, Thread
import time
from typing import Any, Literal
from urllib.request import Request, urlopen

from browser import open_page, Page
from cosmos_policy_ros.align import stamp_of
from cosmos_policy_ros.control.realtime import request_realtime
from cosmos_policy_ros.control.stall import SETTLED_S
from cosmos_policy_ros.resources import robot_file, share_path
from cosmos_policy_ros.robot import leader_robot, read_robot, RobotSpec
from cosmos_policy_ros.ros.control_loop import spin_events
from cosmos_policy_ros.ros.convert import command_positions, joint_state_message
from cosmos_policy_ros.ros.endpoints import create_publisher, create_subscription
from cosmos_policy_ros.stack.domain import choose_domain
from cosmos_policy_ros.stack.node_list import (
    environment,
    LONE_CONSOLE,
    nodes_to_start,
    Value,
    WATCHED_SIM_STACK,
)
from cosmos_policy_ros.stack.processes import start_node, start_process, stop_nodes
from cosmos_policy_ros.topics import JOINT_COMMAND, LEADER_JOINT_STATES
from PIL import ImageGrab
import psutil
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
import tyro
import yaml

Process = subprocess.Popen[bytes]
ROOT = Path(__file__).parents[1]
ROBOT = robot_file('aloha_sim')
SHEET = 'score_sheet.html'
POLICIES = ('aloha_sim', 'aloha_sim_planning')  # that are compared
PAIRS = 3
START_S = 150.0  # [s] that the stack may take to start
RUN_S = 6.0  # [s] that the policy acts: the arms are on their way then
MEASURE_S = 6.0  # [s] over which the processor time of the console is measured
CATCH_UP_S = 10.0  # [s] in which the browser draws what was sent to it until then
SETTLE_S = 1.0  # [s] that a request takes until it is seen
REALTIME_PRIORITY = 40  # of the hands, as of simulated hardware
RVIZ_S = 20.0  # [s] in which RViz opens its window and loads the meshes of the arms
VIEW = "document.querySelector('iframe')?.contentDocument"


def take_console(image: Path, folder: Path) -> None:
    """Write the console before the robot that the policy moves, and say what it costs."""
    with watched_stack(folder) as (processes, url):
        console = psutil.Process(processes['console'].pid)
        print(f'without a page: {console.cpu_percent(MEASURE_S):.0f} % of a core')
        with console_page(url, processes) as page:
            print(f'with a page: {console.cpu_percent(MEASURE_S):.0f} % of a core', flush=True)
            shoot(page, image, processes.values(), lambda: run_policy(url))


def take_takeover(image: Path, folder: Path) -> None:
    """Write the console while a person leads the arms by the leaders."""
    with (
        watched_stack(folder, takeover=True) as (processes, url),
        hands_at_the_leaders() as hold,
        console_page(url, processes) as page,
    ):

        def take_over() -> None:
            run_policy(url)
            press(url, 'take_over')
            time.sleep(SETTLE_S)
            hold.set()
            time.sleep(SETTLE_S)

        shoot(page, image, processes.values(), take_over)


def take_score_sheet(image: Path, folder: Path) -> None:
    """Play a blind comparison in the simulator, and write its score sheet."""
    command = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()']
    command += ['evaluate-robot', '--judge', 'sim', '--pairs', str(PAIRS)]
    command += ['--policies', *(str(share_path('models', name)) for name in POLICIES)]
    subprocess.run([*command, '--out', str(folder)], check=True)
    show_sheet(folder / SHEET, image)


def show_sheet(sheet: Path, image: Path) -> None:
    """Write a score sheet with an image of each film, and without folders of this machine.

    Args:
        sheet: The HTML file, beside its films.
        image: PNG file to write.
    """
    with open_page(1250, 1000) as page:
        page.open(sheet.resolve().as_uri())
        page.wait_for("document.readyState === 'complete'")
        page.run(f"document.body.innerHTML = document.body.innerHTML.replaceAll('{ROOT}/', ''); 0")
        films = "[...document.querySelectorAll('video')]"
        page.run(f"{films}.forEach(film => {{ film.preload = 'auto'; film.load(); }}); 0")
        page.wait_for(f'{films}.every(film => film.readyState >= 2)')
        page.run(f'{films}.forEach(film => {{ film.currentTime = film.duration / 2; }}); 0')
        page.wait_for(f'{films}.every(film => !film.seeking && film.readyState >= 2)')
        page.save_screenshot(image)


def take_rviz(image: Path, folder: Path) -> None:
    """Write RViz before the robot that the policy moves; it needs ``rviz2`` and ``Xvfb``."""
    file = share_path('config', 'policy.rviz')
    window = yaml.safe_load(file.read_text(encoding='utf-8'))['Window Geometry']
    left, top = int(window['X']), int(window['Y'])
    right, bottom = left + int(window['Width']), top + int(window['Height'])
    with watched_stack(folder) as (processes, url), display(right, bottom) as name:
        screen = {'DISPLAY': name, 'LIBGL_ALWAYS_SOFTWARE': '1'}
        command = ['env', *(f'{key}={value}' for key, value in screen.items())]
        processes['rviz'] = start_process(
            [*command, 'rviz2', '-d', str(file)], folder / 'rviz.log'
        )
        time.sleep(RVIZ_S)
        run_policy(url)
        ImageGrab.grab(bbox=(left, top, right, bottom), xdisplay=name).save(image)


TAKERS: Mapping[str, Callable[[Path, Path], None]] = {  # name of the picture -> what writes it
    'console': take_console,
    'takeover': take_takeover,
    'score_sheet': take_score_sheet,
    'rviz': take_rviz,
}


@contextmanager
def watched_stack(folder: Path, **given: Value) -> Iterator[tuple[dict[str, Process], str]]:
    """Yield the processes of a simulated stack that answers, and the address of its console.

    Args:
        folder: For the logs.
        given: Arguments of the nodes.
    """
    values: dict[str, Value] = {'robot': str(ROBOT), 'port': 0, **given}
    processes: dict[str, Process] = {}
    try:
        for spec in (*nodes_to_start(WATCHED_SIM_STACK, values), LONE_CONSOLE):
            processes[spec.name] = start_node(spec, values, folder / f'{spec.name}.log')
        url = wait_for_line(folder / 'console.log', r'http://\S+')
        wait_for_line(folder / 'inference.log', 'answering with')
        yield processes, url
    finally:
        signal_all(processes.values(), signal.SIGCONT)
        stop_nodes(processes.values())


@contextmanager
def console_page(url: str, processes: Mapping[str, Process]) -> Iterator[Page]:
    """Yield the page of a console whose 3D view has loaded.

    Args:
        url: Address of the console.
        processes: The stack; all of it but the console stands still meanwhile.
    """
    others = [process for name, process in processes.items() if name != 'console']
    with open_page(1400, 1000) as page:
        signal_all(others, signal.SIGSTOP)
        try:
            page.open(url)
            page.wait_for(f"{VIEW}?.body?.innerText.includes('latency')")
            close = f"{VIEW}.querySelectorAll('.mantine-Notification-closeButton')"
            page.run(f'{close}.forEach(button => button.click())')
            # what stands still later would pass for a cut connection
            page.wait_for('!isCut && ((check = () => {}), true)')
        finally:
            signal_all(others, signal.SIGCONT)
        yield page


@contextmanager
def hands_at_the_leaders() -> Iterator[Event]:
    """Yield what makes the hands at the leader arms hold still; they go with the commands."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)  # Ctrl-C ends all of this
    node, hold = Node('hands'), Event()
    lead(node, leader_robot(read_robot(ROBOT)), hold)

    def spin() -> None:
        request_realtime(REALTIME_PRIORITY)  # a hand does not wait for a processor
        with suppress(ExternalShutdownException):
            spin_events(node)

    thread = Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield hold
    finally:
        node.context.try_shutdown()
        thread.join(timeout=5.0)


def lead(node: Node, leaders: RobotSpec, hold: Event) -> None:
    """Publish leaders where the followers are commanded, and were once the hands hold still.

    Not where they are measured: around a cube a gripper stays more open than it is commanded.
    """
    topics = [LEADER_JOINT_STATES.at(arm.joint_state_topic) for arm in leaders.arms]
    publishers = [create_publisher(node, topic) for topic in topics]
    pose = leaders.start.copy()

    def on_command(message: Any) -> None:
        if not hold.is_set():
            pose[:] = command_positions(message, leaders.joint_names)
        for arm, mine, publisher in zip(leaders.arms, leaders.arm_slices, publishers, strict=True):
            positions = arm.state_of_pose(pose[mine])
            publisher.publish(joint_state_message(arm.state_joints, positions, stamp_of(message)))

    create_subscription(node, JOINT_COMMAND, on_command)


@contextmanager
def display(width: int, height: int) -> Iterator[str]:
    """Yield the name of a display that nobody sees, of a size [px]."""
    command = ['Xvfb', '-displayfd', '1', '-screen', '0', f'{width}x{height}x24']
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        yield f':{int(process.stdout.readline())}'
    finally:
        process.terminate()
        process.wait(timeout=10.0)


def shoot(page: Page, image: Path, processes: Iterable[Process], act: Callable[[], None]) -> None:
    """Write a page as it is after something was done, which it draws when all others stand still.

    Args:
        page: The page of a console.
        image: PNG file to write.
        processes: Those of the stack.
        act: What is done before, while the browser stands still.
    """
    first = psutil.Process(page.process)
    browser = [first, *first.children(recursive=True)]
    for process in browser:
        process.suspend()
    try:
        act()
        signal_all(processes, signal.SIGSTOP)
    finally:
        for process in browser:
            process.resume()
    time.sleep(CATCH_UP_S)
    page.save_screenshot(image)


def run_policy(url: str) -> None:
    """Let the policy of a console act for a while."""
    time.sleep(SETTLED_S)  # until what came before a standstill is forgotten
    press(url, 'enable')
    time.sleep(2 * SETTLE_S)
    press(url, 'start')
    time.sleep(RUN_S)


def press(url: str, operation: str) -> None:
    """Press a button of a console."""
    body = json.dumps({'operation': operation, 'seen': time.monotonic()}).encode()
    with urlopen(Request(f'{url}press', body), timeout=5.0):
        pass


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


def signal_all(processes: Iterable[Process], number: signal.Signals) -> None:
    """Send a signal to processes that run."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


@dataclass(frozen=True)
class Screenshots:
    """Write the pictures of the documents that show what an operator sees."""

    pictures: tyro.conf.Positional[
        tuple[Literal['console', 'takeover', 'score_sheet', 'rviz'], ...]
    ] = ()
    """Which ones; by default all, RViz only where it is installed."""
    out: Path = ROOT / 'docs' / 'images'
    """Folder of the PNG files."""
    session: Path | None = None
    """Finished session of evaluate-robot whose score sheet is shown; by default one is played."""


def main() -> None:
    """Write the pictures."""
    options = tyro.cli(Screenshots, description=__doc__.splitlines()[0])
    has_rviz = all(shutil.which(program) for program in ('rviz2', 'Xvfb'))
    names = options.pictures or [name for name in TAKERS if name != 'rviz' or has_rviz]
    choose_domain(None)
    for name, value in environment().items():
        os.environ.setdefault(name, value)
    for name in names:
        image = options.out / f'{name}.png'
        with tempfile.TemporaryDirectory() as folder:
            if name == 'score_sheet' and options.session is not None:
                show_sheet(options.session / SHEET, image)
            else:
                TAKERS[name](image, Path(folder))
        print(image)


if __name__ == '__main__':
    main()

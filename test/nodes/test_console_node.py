# SPDX-License-Identifier: Apache-2.0
"""The console before a simulated robot, looked at and pressed in a real browser.

The page is opened without its 3D view, which a browser without a GPU draws at the cost of
everything else; that the view is there is seen at its own socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
import re
import signal
import subprocess
import time

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('viser')
pytest.importorskip('websockets')

from browser import find_browser, open_page, Page
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.ros.convert import command_positions, trajectory_message
from cosmos_policy_ros.ros.diagnostics import subscribe_status
from cosmos_policy_ros.ros.endpoints import create_publisher, create_subscription
from cosmos_policy_ros.stack.node_list import (
    EXECUTOR,
    LONE_CONSOLE,
    MISTAKE,
    SIM,
    VISUALIZER,
)
from cosmos_policy_ros.stack.processes import start_node, stop_nodes
from cosmos_policy_ros.status import ExecutorStatus
from cosmos_policy_ros.topics import ACTION_CHUNK, EXECUTOR_STATUS, JOINT_COMMAND
from node_bench import ThreadedBench
import numpy as np
import rclpy
from rclpy.node import Node
from ros_domains import ros_domain, wait_for, without_shared_memory
from sensor_msgs.msg import JointState
import viser
from websockets.sync.client import connect

ROBOT_FILE = Path(__file__).parents[2] / 'config' / 'robots' / 'aloha_sim.yaml'
ROBOT = read_robot(ROBOT_FILE)
RATE_HZ, ROWS, SPEED_RAD_S = 12.5, 200, 0.2
LIMIT_S = 0.3  # from the press to arms that stand
LONG_S = 60.0  # a process may take to start where others use the processor
PHASE = "document.querySelector('#phase').textContent"
IMAGE = """(() => { const image = document.querySelector('#images');
  if (!image.naturalWidth) return null;
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  return [canvas.width, canvas.height, context.getImageData(0, 0, 320, 240).data.reduce(
    (sum, level, i) => (sum * 31 + level * (i % 7)) % 1000003, 0)]; })()"""


class Robot(Node):
    """Somebody who moves the arms by a chunk and sees what they are sent."""

    def __init__(self) -> None:
        """Listen."""
        super().__init__('robot_watch')
        self.status: ExecutorStatus | None = None
        self.stopped_s = 0.0  # when a latched stop was seen first [s, monotonic]
        self.moved_s = 0.0  # when a command was another than the one before
        self._command = np.zeros(ROBOT.size, np.float32)
        self._chunks = create_publisher(self, ACTION_CHUNK)
        subscribe_status(self, EXECUTOR_STATUS, ExecutorStatus, self._on_status)
        create_subscription(self, JOINT_COMMAND, self._on_command)

    def move(self) -> None:
        """Turn the left waist slowly, for a long time."""
        rows = np.repeat(ROBOT.start[None], ROWS, axis=0)
        rows[:, 0] += np.arange(ROWS, dtype=np.float32) / RATE_HZ * SPEED_RAD_S
        now_ns = self.get_clock().now().nanoseconds
        self._chunks.publish(trajectory_message(now_ns, rows, RATE_HZ, ROBOT.joint_names))

    def _on_status(self, status: ExecutorStatus) -> None:
        self.status = status
        if status.stopped and not self.stopped_s:
            self.stopped_s = time.monotonic()

    def _on_command(self, message: JointState) -> None:
        positions = command_positions(message, ROBOT.joint_names)
        if np.abs(positions - self._command).max() > 1e-5:
            self.moved_s = time.monotonic()
        self._command = positions


class Stack:
    """A robot with its console, and who watches it."""

    def __init__(self, folder: Path) -> None:
        """Start all of it."""
        self._log = folder / 'console.log'
        self._folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for spec in (SIM, EXECUTOR, VISUALIZER):
            log = folder / f'{spec.name}.log'
            self.processes[spec.name] = start_node(spec, {'robot': str(ROBOT_FILE)}, log)
        self.start_console()
        rclpy.init()
        self.robot = Robot()
        self.bench = ThreadedBench(self.robot)
        self.bench.wait(lambda: self.robot.status is not None, LONG_S)

    def start_console(self) -> None:
        """Start the console, and know where it is."""
        self._log.unlink(missing_ok=True)
        values = {'robot': str(ROBOT_FILE), 'port': 0}
        self.console = start_node(LONE_CONSOLE, values, self._log)
        self.processes['console'] = self.console
        wait_for(lambda: self._log.exists() and 'http://' in self._log.read_text(), LONG_S)
        [self.url] = re.findall(r'http://\S+', self._log.read_text())

    def close(self) -> None:
        """End all of it."""
        self.bench.close()
        stop_nodes(self.processes.values())


@pytest.fixture(scope='module')
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Give a simulated robot with its console."""
    with ros_domain(), without_shared_memory():
        stack = Stack(tmp_path_factory.mktemp('logs'))
        yield stack
        stack.close()


@pytest.fixture
def page(stack: Stack) -> Iterator[Page]:
    """Give the console's page in a browser."""
    if find_browser() is None:
        pytest.skip('no browser is installed: apt-get install chromium')
    with open_page(900, 700) as page:
        page.open(f'{stack.url}?view=off')
        page.wait_for(f"document.querySelector('#phase') && {PHASE} !== 'connecting'")
        yield page


def enable(stack: Stack, page: Page) -> None:
    """Enable motion by the button, as soon as it is there."""
    button = '[data-operation=enable]'
    page.wait_for(f"!document.querySelector('{button}').disabled")
    page.click(button)
    stack.bench.wait(lambda: stack.robot.status.state == 'enabled', LONG_S)


def move(stack: Stack) -> None:
    """Have the arms move."""
    began_s = time.monotonic()
    stack.robot.move()
    stack.bench.wait(lambda: stack.robot.moved_s > began_s + 0.5, LONG_S)


def test_live_images_arrive(page: Page) -> None:
    """All cameras above what is predicted of them, and always another one."""
    width, height, first = page.wait_for(IMAGE)
    assert (width, height) == (960, 520)
    page.wait_for(f'({IMAGE})?.[2] !== {first}', 20.0)


def test_streams_are_counted_while_somebody_looks(page: Page) -> None:
    """Five of them: three cameras, two arms."""
    rows = "[...document.querySelectorAll('#streams tr')].slice(1).map(r => r.innerText)"
    page.wait_for(f'({rows}).length === 5 && ({rows})[0].startsWith("high")', 20.0)


def stop(stack: Stack, press: Callable[[], None]) -> tuple[float, float]:
    """Press, and return after how long a stop was latched and the arms stood [s]."""
    stack.robot.stopped_s = 0.0
    pressed_s = time.monotonic()
    press()
    stack.bench.wait(lambda: stack.robot.stopped_s > 0.0, 10.0)
    time.sleep(1.0)
    return stack.robot.stopped_s - pressed_s, stack.robot.moved_s - pressed_s


def reset(stack: Stack, page: Page) -> None:
    """Let go of an emergency stop by its button, again where a page that lagged was refused."""
    button, end_s = '[data-operation=reset]', time.monotonic() + 15.0
    while stack.robot.status.stopped:
        assert time.monotonic() < end_s, page.run("document.querySelector('#note').innerText")
        page.wait_for(f"!document.querySelector('{button}').disabled")
        page.click(button)
        time.sleep(1.0)


def test_the_emergency_stop_of_the_page_stops_the_arms_in_time(stack: Stack, page: Page) -> None:
    """Latched, and the page says that it was confirmed.

    The middle one of three counts: the browser draws on the cores that the robot runs on.
    """
    took = []
    for _ in range(3):
        enable(stack, page)
        move(stack)
        took.append(stop(stack, lambda: page.click('#stop button')))
        page.wait_for(f"{PHASE} === 'stopped'")
        note = "document.querySelector('#note').innerText"
        assert page.wait_for(f'{note}.startsWith("STOPPED, confirmed after")')
        reset(stack, page)
    latched_s, stood_s = zip(*took, strict=True)
    assert sorted(latched_s)[1] < LIMIT_S, latched_s
    assert sorted(stood_s)[1] < LIMIT_S, stood_s
    assert max(stood_s) < 1.0


def test_escape_is_the_emergency_stop_also_while_somebody_types(stack: Stack, page: Page) -> None:
    """And other keys are letters there."""
    page.run("document.querySelector('#task input').focus()")
    page.press('s')
    assert page.run("document.querySelector('#task input').value") == 's'
    took = []
    for _ in range(3):
        took.append(stop(stack, lambda: page.press('Escape'))[0])
        reset(stack, page)
    assert sorted(took)[1] < LIMIT_S, took


def test_other_tabs_take_no_connection_from_the_stop(stack: Stack, page: Page) -> None:
    """A browser opens six to one server for all of its tabs, and WebSockets besides."""
    page.run("""window.tabs = [...Array(8)].map((_, i) =>
      new WebSocket(`ws://${location.host}/${i % 2 ? 'state' : 'images'}`)); 0""")
    page.wait_for('tabs.every((socket) => socket.readyState === WebSocket.OPEN)')
    stop(stack, lambda: page.click('#stop button'))
    reset(stack, page)


def test_a_key_does_what_its_button_would(page: Page) -> None:
    """Space is refused with the reason while nothing is enabled, and presses no button."""
    page.run("document.querySelector('[data-operation=stop]').focus()")
    page.press(' ')
    page.wait_for("document.querySelector('#note').innerText === 'Start: no planner reports'")


def test_a_console_that_is_killed_is_shown_as_cut_and_stops_nothing(
    stack: Stack, page: Page
) -> None:
    """The arms go on as they were."""
    enable(stack, page)
    move(stack)
    stack.console.kill()
    stack.console.wait()
    killed_s = time.monotonic()
    page.wait_for("!document.querySelector('#cut').hidden", 10.0)
    text = page.run("document.querySelector('#cut').innerText")
    assert 'THE CONNECTION IS CUT' in text
    stack.bench.wait(lambda: stack.robot.moved_s > killed_s + 2.0, 10.0)
    assert stack.robot.status.state == 'enabled'
    stack.start_console()
    assert stack.robot.status.state == 'enabled'


def test_a_pedal_is_refused_where_people_only_look(tmp_path: Path) -> None:
    """Somebody would rely on it."""
    values = {'robot': str(ROBOT_FILE), 'port': 0, 'read_only': True, 'pedal': '/dev/input/pedal'}
    done = start_node(LONE_CONSOLE, values, tmp_path / 'log')
    assert done.wait(timeout=LONG_S) == MISTAKE
    assert 'the pedal /dev/input/pedal would stop nothing' in (tmp_path / 'log').read_text()


def test_the_view_is_a_viser_behind_the_door(stack: Stack) -> None:
    """With its page, and its scene over a socket."""
    place = stack.url.removeprefix('http://').rstrip('/')
    protocol = f'viser-v{viser.__version__}'
    with connect(f'ws://{place}/view', subprotocols=[protocol], max_size=None) as socket:
        assert isinstance(socket.recv(timeout=20.0), bytes)


def test_what_is_pressed_while_the_console_hangs_is_not_done_later(
    stack: Stack, page: Page
) -> None:
    """The page shows that the connection is cut, and comes back."""
    stop(stack, lambda: page.click('#stop button'))
    reset(stack, page)
    stack.console.send_signal(signal.SIGSTOP)
    try:
        page.wait_for("!document.querySelector('#cut').hidden", 10.0)
        assert page.run("document.querySelector('[data-operation=enable]').disabled")
        page.run("press({operation: 'enable'}); 0")
        time.sleep(1.0)
    finally:
        stack.console.send_signal(signal.SIGCONT)
    page.wait_for("document.querySelector('#cut').hidden", 20.0)
    time.sleep(1.0)
    assert stack.robot.status.state != 'enabled'

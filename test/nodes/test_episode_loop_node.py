# SPDX-License-Identifier: Apache-2.0
"""The loop of episodes as an operator goes through it, at a real recorder that is killed in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import re
import signal
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from browser import find_browser, open_page
from cosmos_policy_ros.ros.endpoints import create_client
from cosmos_policy_ros.ros.operator_desk import OperatorDesk
from cosmos_policy_ros.stack.node_list import LONE_CONSOLE, VISUALIZER
from cosmos_policy_ros.stack.processes import start_node, stop_nodes
from cosmos_policy_ros.topics import LABEL_RECORDING
from node_bench import ThreadedBench
import rclpy
from rclpy.node import Node
from ros_domains import ros_domain, wait_for
from std_msgs.msg import String
import test_recorder_node
from test_recorder_node import Bench as RecorderBench, custom, Robot, ROBOT_FILE

LONG_S = 60.0  # a process may take to start where others use the processor
FIRST, SECOND = 'episode_000000', 'episode_000001'


class Bench(RecorderBench):
    """A fake robot and an operator's desk, and recorders beside them."""

    def __init__(self) -> None:
        """Start spinning."""
        rclpy.init()
        self.robot, node = Robot(), Node('operate')
        self.process = None
        self.desk = OperatorDesk(node)
        self._label = create_client(node, LABEL_RECORDING)
        ThreadedBench.__init__(self, self.robot, node)

    def begin(self, out: Path, *parameters: str) -> None:
        """Start a recorder, and wait until the desk knows it."""
        self.robot.task.publish(String(data='fold'))
        self.record_to(out, *parameters)
        self.wait(self._label.service_is_ready)
        self.wait(lambda: self.desk.view()['loop'] and self.robot.status.get('task'))

    def see(self, **wanted: object) -> None:
        """Wait until the loop is as wanted."""
        self.wait(lambda: wanted.items() <= (self.desk.view()['loop'] or {}).items(), 20.0)

    def press(self, key: str, note: str) -> None:
        """Press a key, and wait until the desk says something."""
        self.desk.press_key(key)
        self.read(note)

    def read(self, note: str) -> None:
        """Wait until the desk says something."""
        self.wait(lambda: note in self.desk.note.text, 20.0)


@pytest.fixture(scope='module')
def bench() -> Iterator[Bench]:
    """Give a fake robot with a desk in a ROS domain of its own."""
    with ros_domain():
        bench = Bench()
        yield bench
        bench.close()


def test_an_operator_goes_through_the_loop_also_where_the_recorder_is_killed(
    bench: Bench, tmp_path: Path
) -> None:
    """What is said to be saved is in the bag, and what was recorded then waits for its label."""
    bench.begin(tmp_path, 'n_episodes:=3')
    bench.see(next='episode 1 of 3: set the scene up, then record', episode='', done=0)
    bench.press('n', 'Record next: recording')
    bench.see(next='episode 1 of 3 is recorded: end it with success or failure')
    bench.press('2', '2: an episode is recorded; say success or failure first')
    time.sleep(0.5)
    bench.press('f', f'Failure: {tmp_path / FIRST} has')
    bench.see(episode=FIRST, label='failure', done=1)
    bench.press('2', f'2: {FIRST} is saved: failure, 2 of 4')
    bench.desk.add_words('', ' dropped ', 'slid off')
    bench.read(f'Words: {FIRST} is saved: failure, 2 of 4, dropped, slid off')
    said = custom(tmp_path / FIRST)
    assert (said['success'], said['progress']) == ('false', '0.5')
    assert (said['failure'], said['note']) == ('dropped', 'slid off')

    bench.see(recording=False)
    bench.press('n', 'Record next: recording')
    bench.see(recording=True)
    time.sleep(2.5)
    bench.end(signal.SIGKILL)
    bench.begin(tmp_path)
    bench.see(wanted=3, done=1, episode=SECOND, label='')
    bench.press('n', f'Record next: {SECOND} has no label; 0 to 4 give it one')
    assert 'success' not in custom(tmp_path / SECOND)
    bench.press('4', f'4: {SECOND} is saved: success')
    bench.see(done=2, next='episode 3 of 3: set the scene up, then record')
    assert custom(tmp_path / SECOND)['success'] == 'true'

    bench.press('r', 'Redo last: move the last episode to the trash? Once more does it')
    assert (tmp_path / SECOND).is_dir()
    time.sleep(1.0)  # a double click is no answer
    bench.press('r', f'Redo last: {SECOND} was moved to')
    bench.see(done=1, episode=FIRST)
    assert (tmp_path / '.trash' / SECOND).is_dir()
    bench.desk.set_episodes(5)
    bench.see(wanted=5)


def test_the_page_lays_the_start_state_over_the_cameras_and_takes_labels(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says whether the scene matches, hides that while recording, and ends what is held."""
    pytest.importorskip('viser')
    pytest.importorskip('websockets')
    if find_browser() is None:
        pytest.skip('no browser is installed: apt-get install chromium')
    reference, out, log = tmp_path / 'reference', tmp_path / 'bags', tmp_path / 'console.log'
    bench.begin(reference)
    bench.record(0.5)
    assert bench.stop()[0]
    bench.begin(out, f'reference:={reference}', 'n_episodes:=2')
    values = {'robot': str(ROBOT_FILE), 'port': 0}
    nodes = [
        start_node(VISUALIZER, values, tmp_path / 'visualizer.log'),
        start_node(LONE_CONSOLE, values, log),
    ]
    try:
        wait_for(lambda: log.exists() and 'http://' in log.read_text(), LONG_S)
        [url] = re.findall(r'http://\S+', log.read_text())
        with open_page(900, 1100) as page:
            page.open(f'{url}?view=off')
            near = "document.querySelector('#near').textContent"
            page.wait_for(f"document.querySelector('#near') && {near}.includes(': matches')")
            page.wait_for("document.querySelector('#start').naturalWidth === 960")
            page.run("blend.value = 20, blend.dispatchEvent(new Event('input'))")
            assert page.run("document.querySelector('#start').style.opacity") == '0.2'
            other = np.full_like(test_recorder_node.PIXELS, 30)
            monkeypatch.setattr(test_recorder_node, 'PIXELS', other)
            page.wait_for(f"{near}.includes('farthest apart, in levels: high ')")

            page.click('[data-operation=next]')
            page.wait_for("document.querySelector('#match').hidden")
            page.wait_for("document.querySelector('#next').textContent.includes('1 of 2 is rec')")
            page.press('f')
            last = "document.querySelector('#last').textContent"
            page.wait_for(f"{last}.startsWith('{FIRST}: failure')")
            page.click('[data-operation=progress_3]')
            page.wait_for(f"{last}.startsWith('{FIRST}: failure, 3 of 4')")
            page.run("document.querySelector('#words').elements.failure.value = 'dropped'")
            page.click('#words button')
            page.wait_for(f"{last}.startsWith('{FIRST}: failure, 3 of 4, dropped')")
            said = custom(out / FIRST)
            assert (said['progress'], said['failure']) == ('0.75', 'dropped')

            page.run('window.n = 0, press = async () => { n += 1; }, 0')
            page.run("document.querySelector('[data-operation=home]').disabled = false")
            place = page.run(
                "(() => {const e = document.querySelector('[data-operation=home]');"
                "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
                'return {x: b.x + 5, y: b.y + 5}})()'
            )
            mouse = {'button': 'left', 'clickCount': 1}
            page.call('Input.dispatchMouseEvent', type='mousePressed', **mouse, **place)
            page.wait_for('n > 3', 10.0)
            page.call('Input.dispatchMouseEvent', type='mouseReleased', **mouse, x=600, y=500)
            held = page.run('n')
            time.sleep(0.5)
            assert page.run('n') - held <= 1
    finally:
        stop_nodes(nodes)

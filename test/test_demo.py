# SPDX-License-Identifier: Apache-2.0
"""The demo as a newcomer runs it: real processes, the committed checkpoint, whole episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import av
import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.cli.demo_report import make_report
from cosmos_policy_ros.cli.demo_stack import explain_end
from cosmos_policy_ros.data.bag_reader import read_bag
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.stack import share_path
from cosmos_policy_ros.types import ConfigError

ROBOT = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))
CHECKPOINT = share_path('models', 'aloha_sim_transfer_cube')
COMMAND = [sys.executable, '-c', 'from cosmos_policy_ros.cli import main; main()', 'demo']


def start_demo(out: Path, domain: int, episodes: int) -> subprocess.Popen[str]:
    """Start a demo with two candidates."""
    words = ['--episodes', str(episodes), '--candidates', '2', '--domain', str(domain)]
    words += ['--out', str(out), '--checkpoint', str(CHECKPOINT)]
    return subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def nodes_left(domain: int) -> list[str]:
    """Return the command lines of the nodes that run on a domain."""
    lines = []
    for folder in Path('/proc').glob('[0-9]*'):
        try:
            words = (folder / 'cmdline').read_bytes().replace(b'\0', b' ').decode()
            variables = (folder / 'environ').read_bytes().split(b'\0')
        except OSError:  # it ended just now, or belongs to somebody else
            continue
        if 'cosmos_policy_ros.nodes' in words and f'ROS_DOMAIN_ID={domain}'.encode() in variables:
            lines.append(words)
    return lines


def wait_for(condition: Callable[[], object], timeout_s: float = 180.0) -> None:
    """Wait until a condition holds."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, 'nothing happened'
        time.sleep(0.1)


class Finished:
    """A demo of one episode and what it left."""

    def __init__(self, out: Path) -> None:
        """Run it."""
        process = start_demo(out, domain=81, episodes=1)
        self.text, self.errors = process.communicate(timeout=300)
        self.out, self.status = out, process.returncode

    @property
    def report(self) -> dict[str, Any]:
        """What report.json holds."""
        return json.loads((self.out / 'report.json').read_text(encoding='utf-8'))


@pytest.fixture(scope='module')
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Return a demo of one episode."""
    return Finished(tmp_path_factory.mktemp('demo'))


def test_demo_ends_well_and_leaves_no_process(finished: Finished) -> None:
    """Exit status 0 says that the episode ran and queries were answered."""
    assert finished.status == 0, finished.text + finished.errors
    assert nodes_left(81) == []


def test_report_has_what_others_rely_on(finished: Finished) -> None:
    """Names and types of the figures."""
    report = finished.report
    episode = report['episodes'][0]
    assert isinstance(episode['success'], bool)
    assert episode['seconds'] == 8.0
    assert episode['queries'] >= episode['answers'] >= 4
    assert report['success_rate'] in (0.0, 1.0)
    assert 0 < report['query_ms']['p50'] <= report['query_ms']['p99']
    assert report['standstill_s'] >= 0
    assert report['seam_jump_rad_max'] > 0
    assert report['interventions'] >= 0


def test_the_best_of_two_candidates_was_played(finished: Finished) -> None:
    """The planner leaves candidate 0 only for a better one."""
    for answer in finished.report['episodes'][0]['candidates']:
        assert len(answer['values']) == 2
        assert answer['values'][answer['best']] == max(answer['values'])


def test_simulator_kept_real_time_and_its_cameras_their_rate(finished: Finished) -> None:
    """At least 10 Hz each, with the networks beside them."""
    episode = finished.report['episodes'][0]
    assert episode['real_time_factor_min'] > 0.9
    assert episode['camera_hz'] >= 10.0


def test_terminal_shows_the_episode_and_a_table(finished: Finished) -> None:
    """One line while it runs, one row at the end."""
    assert 'task: hand the red cube from the right gripper to the left' in finished.text
    assert 'episode 1: ' in finished.text
    assert 'of 1 episodes succeeded' in finished.text


def test_film_shows_the_whole_episode(finished: Finished) -> None:
    """8 s and a second for the outcome; both rows show something."""
    with av.open(str(finished.out / 'demo.mp4')) as film:
        pictures = [f.to_ndarray(format='rgb24') for f in film.decode(video=0)]
    assert len(pictures) == round(9.0 * 12.5)
    middle = pictures[len(pictures) // 2]
    half = middle.shape[0] // 2
    assert middle[40:half].std() > 10
    assert middle[half + 40 :].mean() > 20  # black before the first prediction


def test_plot_is_a_picture(finished: Finished) -> None:
    """PNG with something in it."""
    assert (finished.out / 'plot.png').read_bytes()[:4] == b'\x89PNG'
    assert (finished.out / 'plot.png').stat().st_size > 20_000


def test_episode_can_be_learned_from(finished: Finished) -> None:
    """The bag is one that ``train`` reads, with the outcome in it."""
    episode = finished.report['episodes'][0]
    rollout = read_bag(Path(episode['bag']), ROBOT, 25.0)
    assert (rollout.source, rollout.success) == ('rollout', episode['success'])
    assert len(rollout.stamps_ns) > 150
    assert np.abs(np.diff(rollout.actions, axis=0)).max() > 0.001


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Return a demo that is in the middle of an episode."""
    events = tmp_path / 'out' / 'events.jsonl'
    process = start_demo(tmp_path / 'out', domain=82, episodes=100)
    wait_for(lambda: events.exists() and '"answer"' in events.read_text(encoding='utf-8'))
    yield process
    process.kill()
    process.communicate()


def test_second_stack_is_refused_and_ctrl_c_leaves_no_process(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    """The second demo says so on one line; the first plays on until it is interrupted."""
    second = start_demo(tmp_path / 'second', domain=82, episodes=1)
    _, errors = second.communicate(timeout=120)
    assert second.returncode == 1
    assert len(errors.strip().splitlines()) == 1
    assert 'a second stack on the same domain' in errors
    assert running.poll() is None
    assert len(nodes_left(82)) == 5

    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 130
    assert errors == 'cosmos-policy: stopped\n'
    assert nodes_left(82) == []


def test_what_a_node_refuses_ends_the_demo(tmp_path: Path) -> None:
    """A truncated file of weights is one line, from the inference node."""
    checkpoint = tmp_path / 'checkpoint'
    shutil.copytree(CHECKPOINT, checkpoint)
    weights = checkpoint / 'transformer' / 'diffusion_pytorch_model.safetensors'
    weights.write_bytes(weights.read_bytes()[:1000])
    words = ['--out', str(tmp_path / 'out'), '--checkpoint', str(checkpoint), '--domain', '84']
    done = subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert f'{weights} is damaged' in done.stderr
    assert nodes_left(84) == []


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--episodes', '0'], '--episodes must be at least 1, got 0'),
        (['--domain', '300'], 'a ROS domain is a number from 0 to 101, got 300'),
        (['--robot', 'none.yaml'], 'no robot file none.yaml'),
        (['--checkpoint', '/none'], 'no policy file /none/policy.json'),
        (['--out', '/proc/none'], 'cannot write to the folder /proc/none'),
    ],
)
def test_wrong_option_is_one_line(words: list[str], said: str) -> None:
    """Nothing is started."""
    words = ['--checkpoint', str(CHECKPOINT), *words]
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert said in done.stderr


def test_error_of_a_node_is_passed_on(tmp_path: Path) -> None:
    """Without the logger's prefix."""
    log = tmp_path / 'planner.log'
    log.write_text('[ERROR] [12.5] [cosmos_policy_ros]: no robot file x\n', encoding='utf-8')
    error = explain_end('planner', 1, log)
    assert isinstance(error, ConfigError)
    assert str(error) == 'planner: no robot file x'


def test_crash_of_a_node_shows_its_last_lines(tmp_path: Path) -> None:
    """A traceback is for whoever mends the node."""
    log = tmp_path / 'sim.log'
    log.write_text('Traceback\n  line\nValueError: x\n', encoding='utf-8')
    error = explain_end('sim', -9, log)
    assert isinstance(error, ChildProcessError)
    assert str(error).startswith('sim ended with status -9; its last lines:\nTraceback')


def test_report_without_answers_says_so() -> None:
    """An episode without answers has no value and no latency, and a warning."""
    episode = {
        'event': 'episode',
        'seed': 3,
        'seconds': 8.0,
        'success': False,
        'answers': 0,
        'standstill_s': 0.0,
        'seam_jump_rad_max': 0.0,
        'interventions': 0,
        'fault': '',
        'real_time_factor_min': 0.5,
    }
    started = {'event': 'started', 'seed': 3, 'start_ns': 1}
    report = make_report([started, episode], {}, domain=0)
    assert report['query_ms'] == {'p50': None, 'p99': None}
    assert report['episodes'][0]['value'] == {'middle': None, 'mean': None}
    assert 'no query was answered' in report['warnings'][0]
    assert '0.50 of real time' in report['warnings'][1]


def test_answers_belong_to_their_episode() -> None:
    """The value in the middle is that of the answer nearest to 4 s."""
    events: list[dict[str, Any]] = []
    for seed in (1, 2):
        events.append({'event': 'started', 'seed': seed, 'start_ns': 0})
        for at_s, value in ((0.0, 0.1), (3.9, 0.5 + seed / 10), (7.0, 0.9)):
            answer = {'at_s': at_s, 'query_ms': 100.0 * seed, 'values': [0.0, value], 'best': 1}
            events.append({'event': 'answer', **answer})
        figures = {'seconds': 8.0, 'success': seed == 2, 'answers': 3, 'standstill_s': 0.5}
        figures |= {'seam_jump_rad_max': 0.1 * seed, 'interventions': 4, 'fault': ''}
        events.append({'event': 'episode', 'seed': seed, 'real_time_factor_min': 1.0, **figures})
    report = make_report(events, {}, domain=0)
    assert [e['value']['middle'] for e in report['episodes']] == [0.6, 0.7]
    assert report['success_rate'] == 0.5
    assert report['query_ms']['p50'] == 150.0
    assert report['standstill_s'] == 1.0
    assert report['seam_jump_rad_max'] == 0.2
    assert report['interventions'] == 8


def test_folder_of_an_earlier_demo_is_cleared(tmp_path: Path) -> None:
    """Only what a demo writes is removed."""
    from cosmos_policy_ros.cli.demo import prepare_folder

    for name in ('bags', 'logs'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'old').touch()
    (tmp_path / 'report.json').touch()
    (tmp_path / 'notes.txt').touch()
    prepare_folder(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ['logs', 'notes.txt']
    assert list((tmp_path / 'logs').iterdir()) == []

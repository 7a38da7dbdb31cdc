# SPDX-License-Identifier: Apache-2.0
"""The demo as a newcomer runs it: real processes, the committed checkpoint, whole episodes."""

from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
import shutil
import signal
import subprocess
import sys
from typing import Any

import av
from command_line import refused
import numpy as np
import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.core.text import load_text_embeddings, save_text_embeddings, TextEmbeddings
from cosmos_policy_ros.data.bags.reader import read_bag
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.sim.experts.table import TASKS
from ros_domains import ros_domain, wait_for

ROBOT = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))
CHECKPOINT = share_path('models', 'aloha_sim')
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


class Finished:
    """A demo of one episode and what it left."""

    def __init__(self, out: Path) -> None:
        """Run it."""
        with ros_domain() as self.domain:
            process = start_demo(out, self.domain, episodes=1)
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
    assert nodes_left(finished.domain) == []


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
    # none at all where every answer came in time: its first rows are those that were playing
    assert report['seam_jump_rad_max'] >= max(episode['seam_jumps_rad'])
    assert report['interventions'] >= 0


def test_the_best_of_two_candidates_was_played(finished: Finished) -> None:
    """The planner leaves candidate 0 only for a better one."""
    for answer in finished.report['episodes'][0]['candidates']:
        assert len(answer['values']) == 2
        assert answer['best'] == 0 or answer['values'][1] > answer['values'][0]


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
def running(tmp_path: Path, domain: int) -> Iterator[subprocess.Popen[str]]:
    """Return a demo that is in the middle of an episode."""
    events = tmp_path / 'out' / 'events.jsonl'
    process = start_demo(tmp_path / 'out', domain, episodes=100)
    wait_for(lambda: events.exists() and '"answer"' in events.read_text(encoding='utf-8'), 180.0)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_second_stack_is_refused_and_ctrl_c_leaves_no_process(
    running: subprocess.Popen[str], tmp_path: Path, domain: int
) -> None:
    """The second demo says so on one line; the first plays on until it is interrupted."""
    second = start_demo(tmp_path / 'second', domain, episodes=1)
    _, errors = second.communicate(timeout=120)
    assert second.returncode == 1
    assert len(errors.strip().splitlines()) == 1
    assert 'a second stack on the same domain' in errors
    assert running.poll() is None
    assert len(nodes_left(domain)) == 5

    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 130
    assert errors == 'cosmos-policy: interrupted\n'
    assert nodes_left(domain) == []


@pytest.mark.slow
def test_what_a_node_refuses_ends_the_demo(tmp_path: Path, domain: int) -> None:
    """A truncated file of weights is one line, from the inference node."""
    checkpoint = tmp_path / 'checkpoint'
    shutil.copytree(CHECKPOINT, checkpoint)
    weights = checkpoint / 'transformer' / 'diffusion_pytorch_model.safetensors'
    weights.write_bytes(weights.read_bytes()[:1000])
    words = ['--out', str(tmp_path / 'out'), '--checkpoint', str(checkpoint)]
    words += ['--domain', str(domain)]
    done = subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert f'{weights} is damaged' in done.stderr
    assert nodes_left(domain) == []


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--episodes', '0'], '--episodes must be at least 1, got 0'),
        (['--domain', '300'], 'a ROS domain is a number from 0 to 101, got 300'),
        (['--robot', 'none.yaml'], 'none.yaml; give one of config/robots'),
        (['--checkpoint', '/none'], 'no policy file /none/policy.json'),
        (['--keep', '5'], 'never rising, at most the 4 candidates and at least 1'),
        (['--task', 'fly'], "no simulated task 'fly'"),
        (['--out', '/proc/none'], 'cannot write to the folder /proc/none'),
    ],
)
def test_wrong_option_is_one_line(words: list[str], said: str) -> None:
    """Nothing is started."""
    assert said in refused('demo', '--checkpoint', str(CHECKPOINT), *words)


def test_task_the_checkpoint_does_not_know_is_one_line(tmp_path: Path) -> None:
    """It was trained on one of the two; nothing is started."""
    shutil.copy(CHECKPOINT / 'policy.json', tmp_path)
    text = load_text_embeddings(CHECKPOINT / 'text_embeddings.safetensors')
    cube = {TASKS['transfer_cube']: text.lookup(TASKS['transfer_cube'])}
    save_text_embeddings(tmp_path / 'text_embeddings.safetensors', TextEmbeddings(cube))
    line = refused('demo', '--checkpoint', str(tmp_path), '--task', 'insert_peg')
    assert "does not know the task 'insert the red peg" in line

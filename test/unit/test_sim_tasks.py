# SPDX-License-Identifier: Apache-2.0
"""The reward rules of the simulated tasks, on contacts and on constructed states."""

from dataclasses import replace
import subprocess
import sys

from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.sim.experts.table import find_task, TASKS
from cosmos_policy_ros.sim.tasks import LEFT_FINGER, RIGHT_FINGER
import mujoco
import numpy as np
import pytest

CUBE_LADDER = [
    ((), 0),
    ((('red_box', 'table'),), 0),
    ((('red_box', 'table'), ('red_box', RIGHT_FINGER)), 1),
    ((('red_box', RIGHT_FINGER),), 2),
    ((('red_box', 'table'), ('red_box', LEFT_FINGER)), 3),
    ((('red_box', RIGHT_FINGER), ('red_box', LEFT_FINGER)), 4),
]
PEG_HELD, SOCKET_HELD = ('red_peg', RIGHT_FINGER), ('socket-3', LEFT_FINGER)
PEG_LADDER = [
    ((), 0),
    ((PEG_HELD, ('socket-1', 'table')), 0),
    ((PEG_HELD, SOCKET_HELD, ('socket-1', 'table')), 1),
    ((PEG_HELD, SOCKET_HELD), 2),
    ((PEG_HELD, SOCKET_HELD, ('red_peg', 'socket-2')), 3),
    ((PEG_HELD, SOCKET_HELD, ('red_peg', 'pin')), 4),
]


@pytest.mark.parametrize(('contacts', 'reward'), CUBE_LADDER)
def test_reward_of_the_cube_task(contacts: tuple[tuple[str, str], ...], reward: int) -> None:
    """gym-aloha's ladder: touched, lifted, touched by the left hand, transferred."""
    assert find_task('transfer_cube').reward({frozenset(c) for c in contacts}) == reward


@pytest.mark.parametrize(('contacts', 'reward'), PEG_LADDER)
def test_reward_of_the_insertion(contacts: tuple[tuple[str, str], ...], reward: int) -> None:
    """gym-aloha's ladder: both touched, both lifted, at the socket, pin touched."""
    assert find_task('insert_peg').reward({frozenset(c) for c in contacts}) == reward


def place(sim: AlohaSim, peg: list[float], socket: list[float]) -> None:
    """Put both pieces somewhere."""
    sim.data.qpos[16:19], sim.data.qpos[23:26] = peg, socket
    mujoco.mj_forward(sim.model, sim.data)


@pytest.mark.parametrize('task', sorted(TASKS))
def test_reward_of_untouched_pieces_is_0(task: str) -> None:
    """What lies on the table alone is worth nothing."""
    sim = AlohaSim(task)
    for _ in range(50):
        sim.step(sim.proprio)
    assert (sim.reward, sim.success) == (0, False)


def test_peg_in_a_lifted_socket_is_a_success() -> None:
    """The peg touches the pin 10 cm from the socket's centre."""
    sim = AlohaSim('insert_peg')
    place(sim, [0.0395, 0.5, 0.3], [-0.06, 0.5, 0.3])
    assert (sim.reward, sim.success) == (4, True)


def test_peg_before_the_pin_is_not_a_success() -> None:
    """A centimetre is missing; without friction nothing touches."""
    sim = AlohaSim('insert_peg')
    place(sim, [0.05, 0.5, 0.3], [-0.06, 0.5, 0.3])
    assert (sim.reward, sim.success) == (0, False)


def test_peg_stays_inserted_until_it_leaves_the_socket() -> None:
    """It touches the pin once; a hand that trembles does not undo that, another scene does."""
    sim = AlohaSim('insert_peg')
    place(sim, [0.0395, 0.5, 0.3], [-0.06, 0.5, 0.3])
    sim.step(sim.proprio)
    for peg, success in ((0.05, True), (0.065, False), (0.05, True)):
        place(sim, [peg, 0.5, 0.3], [-0.06, 0.5, 0.3])
        assert (sim.reward, sim.success) == (0, success)
    place(sim, [0.05, 0.5, 0.022], [-0.06, 0.5, 0.0218])
    assert not sim.success
    sim.reset(0)
    place(sim, [0.05, 0.5, 0.3], [-0.06, 0.5, 0.3])
    assert not sim.success


@pytest.mark.parametrize(('height', 'success'), [(0.07, True), (0.012, False)])
def test_post_has_to_be_left_standing(height: float, success: bool) -> None:
    """It touches the table either way; the cube does not."""
    held, standing = frozenset(('red_box', LEFT_FINGER)), frozenset(('green_post', 'table'))
    places = np.array([-0.02, 0.5, 0.24]), np.array([0.21, 0.5, height])
    task = find_task('avoid_post')
    assert task.success({held, standing}, True, *places) is success
    assert not task.success({held, standing, frozenset(('red_box', 'table'))}, True, *places)


def test_insertion_on_the_table_has_full_reward_and_no_success() -> None:
    """gym-aloha checks the pin alone; a label for training must mean what the instruction does."""
    sim = AlohaSim('insert_peg')
    place(sim, [0.0395, 0.5, 0.022], [-0.06, 0.5, 0.0218])
    assert (sim.reward, sim.success) == (4, False)


def test_instructions_are_different() -> None:
    """A checkpoint tells tasks apart by their text."""
    assert TASKS == {
        'transfer_cube': 'hand the red cube from the right gripper to the left',
        'insert_peg': 'insert the red peg into the blue socket',
        'avoid_post': 'bring the red cube past the green post to the left gripper',
    }


@pytest.mark.parametrize('task', sorted(TASKS))
def test_synonyms_stand_for_words_of_the_instruction(task: str) -> None:
    """A word that the instruction does not have could never be replaced."""
    assert set(find_task(task).synonyms) <= set(TASKS[task].split())


def test_table_of_tasks_needs_no_simulator() -> None:
    """The words and the names are there on a robot without MuJoCo."""
    code = (
        "import sys; sys.modules['mujoco'] = None\n"
        'from cosmos_policy_ros.sim.experts.table import TASKS; print(*sorted(TASKS))'
    )
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ['avoid_post', 'insert_peg', 'transfer_cube']


def test_pieces_of_the_insertion_are_seen_from_above() -> None:
    """Something red and something blue."""
    sim = AlohaSim('insert_peg', (120, 160))
    image = sim.render('high').astype(np.int64)
    sim.close()
    assert (image[..., 0] - image[..., 1:].max(axis=-1) > 80).sum() > 20
    assert (image[..., 2] - image[..., :2].max(axis=-1) > 80).sum() > 20


def test_post_is_seen_from_above_wherever_it_may_stand() -> None:
    """A policy that does not see it cannot know which way is free."""
    sim = AlohaSim('avoid_post', (120, 160))
    for y in (0.37, 0.5, 0.63):
        sim.data.qpos[23:26] = (0.21, y, 0.07)
        mujoco.mj_forward(sim.model, sim.data)
        image = sim.render('high').astype(np.int64)
        assert (image[..., 1] - image[..., [0, 2]].max(axis=-1) > 60).sum() > 20
    sim.close()


@pytest.mark.parametrize('hardness', [0.0, -0.3, float('nan')])
def test_a_task_without_hardness_is_refused(hardness: float) -> None:
    """Its hard starts would be drawn for ever: none lies outside the range of training."""
    with pytest.raises(ValueError, match='the hardness of a task must be above 0, got'):
        replace(find_task('transfer_cube'), hardness=hardness)

# SPDX-License-Identifier: Apache-2.0
"""The scripted experts: they do their task, recover, and fail where they shall."""

from pathlib import Path
import re

from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.sim.experts.avoid_post import AvoidExpert, BACK, FRONT
from cosmos_policy_ros.sim.experts.base import Expert, Noise
from cosmos_policy_ros.sim.experts.table import EXPERTS, make_expert, TASKS
from cosmos_policy_ros.sim.states import States
import numpy as np
import pytest

CUBE, PEG, POST = 'transfer_cube', 'insert_peg', 'avoid_post'


def perform(
    task: str,
    seed: int,
    noise: Noise,
    states: States = 'normal',
    ticks: int = 400,
    way: int | None = None,
) -> tuple[AlohaSim, Expert, np.ndarray]:
    """Play 8 s of the expert; return the scene, the expert and its (400,) expert flags.

    Past a post it goes the given way, by default the one that is farther from it.
    """
    sim = AlohaSim(task)
    sim.reset(seed, states)
    expert = make_expert(sim, np.random.default_rng(seed), noise)
    if isinstance(expert, AvoidExpert):
        farther = BACK if sim.place('post')[1] < 0.5 else FRONT
        expert.way = farther if way is None else way
    flags = []
    for _ in range(ticks):
        action = expert.action()
        flags.append(expert.expert)
        sim.step(action)
    return sim, expert, np.array(flags)


def test_every_task_has_an_expert() -> None:
    """A task without one could not be demonstrated, nor told from another with the same words."""
    assert {name: EXPERTS[name].task.instruction for name in EXPERTS} == TASKS
    assert len(set(TASKS.values())) == len(EXPERTS) >= 2


@pytest.mark.parametrize('seed', [0, 1, 2])
@pytest.mark.parametrize('task', sorted(TASKS))
def test_undisturbed_expert_succeeds(task: str, seed: int) -> None:
    """The cube is handed over, the peg is in the socket, and nothing is to be forgotten."""
    sim, expert, flags = perform(task, seed, Noise())
    assert sim.success
    assert flags.all()
    assert expert.rested_s > 1.0


@pytest.mark.parametrize('task', sorted(TASKS))
def test_undisturbed_expert_solves_hard_starts(task: str) -> None:
    """A hard start is hard to see, not impossible to do."""
    assert [perform(task, seed, Noise(), 'hard')[0].success for seed in (0, 1, 2)] == [True] * 3


@pytest.mark.parametrize(('task', 'seed'), [(CUBE, 100), (PEG, 100)])
def test_pushed_expert_recovers_and_marks_the_push(task: str, seed: int) -> None:
    """A push is not to be imitated, what follows is."""
    sim, _, flags = perform(task, seed, Noise(pushes=2.0), ticks=450)
    assert sim.success
    assert 0 < (~flags).sum() < 100


@pytest.mark.parametrize(
    'noise',
    [Noise(grasp_m=0.04), Noise(meet_m=0.02), Noise(drops=True)],
    ids=['reaches beside', 'beside the socket', 'drops'],
)
def test_insertion_expert_tries_again_after_a_mistake(noise: Noise) -> None:
    """The mistake is marked, the second try is not."""
    sim, _, flags = perform(PEG, 3, noise, ticks=500)
    assert sim.success
    assert (~flags).any()
    assert flags[-50:].all()


@pytest.mark.parametrize(
    ('task', 'noise'),
    [
        (CUBE, Noise(grasp_m=0.2, retry=False)),
        (PEG, Noise(grasp_m=0.06, retry=False)),
        (PEG, Noise(meet_m=0.05, retry=False)),
        (PEG, Noise(drops=True, retry=False)),
    ],
    ids=['cube missed', 'piece missed', 'beside the socket', 'dropped'],
)
def test_expert_that_does_not_notice_fails_and_marks_it(task: str, noise: Noise) -> None:
    """The value function gets its failures, the policy does not imitate them."""
    sim, expert, flags = perform(task, 3, noise)
    assert not sim.success
    assert not flags[-1]
    assert expert.phase == 'rest'


@pytest.mark.parametrize(
    ('way', 'wanted'),
    [(FRONT, [0, 2, 3, 4, 5, 7]), (BACK, [0, 1, 2, 4, 5, 6, 8, 9])],
    ids=['front', 'back'],
)
def test_way_past_the_post_fails_where_the_post_stands_in_it(way: int, wanted: list[int]) -> None:
    """Every scene can be solved one way, six of ten only one way, and each way is needed."""
    solved = []
    for seed in range(10):
        sim, expert, _ = perform(POST, seed, Noise(), way=way)
        assert expert.phase == 'rest'
        standing = sim.place('post')[2] > 0.06
        assert sim.success == standing
        solved += [seed] if standing else []
    assert solved == wanted


def test_way_is_drawn_wherever_the_post_stands() -> None:
    """That is what a policy cannot learn from the episodes; both ways are as frequent."""
    sim = AlohaSim(POST, (24, 32))
    ways = {}
    for scene in (1, 3):  # in the front, in the back
        sim.reset(scene)
        experts = [make_expert(sim, np.random.default_rng(i), Noise()) for i in range(40)]
        ways[scene] = [expert.way for expert in experts if isinstance(expert, AvoidExpert)]
    assert ways[1] == ways[3]
    assert 12 <= sum(ways[1]) <= 28


def test_hand_that_is_past_the_post_does_not_go_back_around_it() -> None:
    """Whoever takes over from a policy at the cube would throw the post over otherwise."""
    sim = AlohaSim(POST, (24, 32))
    sim.reset(1)
    first = make_expert(sim, np.random.default_rng(0), Noise())
    assert isinstance(first, AvoidExpert)
    first.way = BACK
    while first.phase != 'grasp':
        sim.step(first.action())
    second = make_expert(sim, np.random.default_rng(0), Noise())
    second.command = first.command.copy()
    second.action()
    assert second.phase == 'reach'


def test_way_that_fails_is_no_mistake_on_purpose() -> None:
    """It is to be imitated as the other one is, or there would be nothing to choose from."""
    sim, _, flags = perform(POST, 1, Noise(), way=FRONT)
    assert not sim.success
    assert flags.all()


def test_commands_of_the_insertion_are_smooth() -> None:
    """No joint is asked for more than the robot's 3.14 rad/s, nor jumps between two ticks."""
    sim = AlohaSim(PEG)
    expert = make_expert(sim, np.random.default_rng(0), Noise())
    actions = []
    for _ in range(300):
        actions.append(expert.action())
        sim.step(actions[-1])
    arms = np.delete(np.array(actions), [6, 13], axis=1)
    speed = np.diff(arms, axis=0) * 50.0
    assert np.abs(speed).max() < 3.14
    assert np.abs(np.diff(speed, axis=0)).max() < 1.2  # 60 rad/s^2 in one tick


def test_commands_of_the_cube_expert_stay_as_they_were_recorded() -> None:
    """The committed checkpoint learned from these; the recordings are kept."""
    sim = AlohaSim()
    sim.reset(0)
    expert = make_expert(sim, np.random.default_rng(0), Noise())
    actions = []
    for _ in range(151):
        actions.append(expert.action())
        sim.step(actions[-1])
    reach = [-0.11924, -0.24432, 0.68067, 0.0, 0.61085, 0.0, 1.0]
    carry = [-0.00015, 0.08259, -0.08338, 0.0, 1.04798, 0.0, 0.0]
    np.testing.assert_allclose(actions[60][7:], reach, atol=1e-4)
    np.testing.assert_allclose(actions[150][7:], carry, atol=1e-4)


def test_noise_of_recorded_insertions_has_every_kind() -> None:
    """About four in five episodes can succeed."""
    rng = np.random.default_rng(0)
    kinds = [EXPERTS[PEG].draw_noise(rng) for _ in range(500)]
    assert 0.8 < np.mean([noise.retry for noise in kinds]) < 0.86
    assert {(bool(n.grasp_m), bool(n.meet_m), n.drops, n.retry) for n in kinds} == {
        (False, False, False, True),
        (True, False, False, True),
        (False, True, False, True),
        (False, False, True, True),
        (True, False, False, False),
        (False, True, False, False),
        (False, False, True, False),
    }


def test_a_task_of_ones_own_overrides_public_names_only() -> None:
    """What an expert must define is in the documents, and none of it is private."""
    page = (Path(__file__).parents[2] / 'docs' / 'how-to' / 'add_a_task.md').read_text('utf-8')
    assert Expert.__abstractmethods__ == {
        'draw_noise', 'lost', 'mistaken', 'next_phase', 'phase_after_push', 'plan_move',
        'push_scale', 'pushed_arm', 'start_over', 'to_joints', 'tracking',
    }  # fmt: skip
    table = set(re.findall(r'^\| `(\w+)(?:\(\w*\))?` \|', page, re.MULTILINE))
    assert Expert.__abstractmethods__ <= table

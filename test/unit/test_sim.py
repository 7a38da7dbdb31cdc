# SPDX-License-Identifier: Apache-2.0
"""The simulated scene: its joints, images, normal and hard start states."""

from cosmos_policy_ros.sim.aloha import AlohaSim, joint_state
from cosmos_policy_ros.sim.experts.base import Noise
from cosmos_policy_ros.sim.experts.table import EXPERTS, find_task, make_expert
from cosmos_policy_ros.sim.states import draw_start, Push
from cosmos_policy_ros.types import ConfigError
import mujoco
import numpy as np
import pytest

HOME = np.array([0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.1] * 2, np.float32)
CAMERAS = ('high', 'left_wrist', 'right_wrist')


def looks(sim: AlohaSim) -> np.ndarray:
    """Return the images of all cameras, in a row."""
    return np.concatenate([sim.render(camera) for camera in CAMERAS], axis=1)


def test_same_seed_gives_the_same_scene() -> None:
    """Cube poses depend on the seed alone."""
    a, b = AlohaSim(), AlohaSim()
    a.reset(7)
    b.reset(8)
    b.reset(7)
    assert a.place('box').tolist() == b.place('box').tolist()


def test_cube_starts_where_gym_aloha_puts_it() -> None:
    """X in 0 … 0.2 m, y in 0.4 … 0.6 m, for every seed."""
    sim = AlohaSim()
    for seed in range(50):
        sim.reset(seed)
        assert 0.0 <= sim.place('box')[0] <= 0.2
        assert 0.4 <= sim.place('box')[1] <= 0.6


def test_peg_and_socket_start_where_gym_aloha_puts_them() -> None:
    """The peg in the right half, the socket in the left, both along x."""
    sim = AlohaSim('insert_peg')
    for seed in range(50):
        sim.reset(seed)
        assert 0.1 <= sim.place('peg')[0] <= 0.2
        assert -0.2 <= sim.place('socket')[0] <= -0.1
        assert min(sim.place('peg')[1], sim.place('socket')[1]) >= 0.4
        assert max(sim.place('peg')[1], sim.place('socket')[1]) <= 0.6
        np.testing.assert_array_equal(sim.turn('peg'), np.eye(3))


def test_seed_0_gives_gym_aloha_s_insertion_scene() -> None:
    """One generator draws the peg first."""
    sim = AlohaSim('insert_peg')
    np.testing.assert_allclose(sim.place('peg')[:2], [0.154881, 0.543038], atol=1e-6)
    np.testing.assert_allclose(sim.place('socket')[:2], [-0.145512, 0.484731], atol=1e-6)


def test_joint_state_has_the_names_of_the_real_driver() -> None:
    """Seven joints and two fingers that mirror each other."""
    names, positions = joint_state(AlohaSim(), 1)
    assert names[:7] == [
        'waist', 'shoulder', 'elbow', 'forearm_roll', 'wrist_angle', 'wrist_rotate', 'gripper',
    ]  # fmt: skip
    assert positions[7] == -positions[8]


def test_images_have_the_wanted_size_and_show_the_cube() -> None:
    """The image of the high camera has something red."""
    sim = AlohaSim(size=(120, 160))
    image = sim.render('high').astype(int)
    sim.close()
    assert image.shape == (120, 160, 3)
    assert ((image[..., 0] - image[..., 1:].max(axis=-1)) > 80).sum() > 20


@pytest.mark.parametrize('task', sorted(EXPERTS))
def test_hard_start_lies_beside_the_range_of_training(task: str) -> None:
    """Every piece is outside the normal range, and not far from it."""
    sim = AlohaSim(task)
    for seed in range(30):
        sim.reset(seed, 'hard')
        for piece in sim.pieces:
            place = sim.place(piece.body)
            beside = np.maximum(piece.low - place, place - piece.high)
            assert 0.0 < beside.max() <= 0.05


def test_hard_start_is_the_same_for_the_same_seed() -> None:
    """Pose, looks and push."""
    a, b = AlohaSim('insert_peg', (60, 80)), AlohaSim('insert_peg', (60, 80))
    b.reset(4, 'hard')
    for sim in (a, b):
        sim.reset(3, 'hard')
        for _ in range(90):
            sim.step(HOME)
    assert a.data.qpos.tolist() == b.data.qpos.tolist()
    np.testing.assert_array_equal(looks(a), looks(b))
    a.close()
    b.close()


def test_hard_start_looks_different_and_a_normal_reset_undoes_it() -> None:
    """Colours and cameras come back, and nothing is pushed any more."""
    sim = AlohaSim(size=(60, 80))
    sim.reset(5)
    before, start = looks(sim), sim.data.qpos.copy()
    sim.reset(5, 'hard')
    assert (looks(sim) != before).mean() > 0.1
    sim.reset(5)
    np.testing.assert_array_equal(looks(sim), before)
    np.testing.assert_array_equal(sim.data.qpos, start)
    for _ in range(100):
        sim.step(HOME)
    np.testing.assert_allclose(sim.place('box')[:2], start[16:18], atol=1e-4)
    sim.close()


@pytest.mark.parametrize('task', sorted(EXPERTS))
def test_hard_start_without_an_ingredient_is_as_in_training_in_that(task: str) -> None:
    """And as hard as before in the rest; without all of them it is a normal one."""
    usual, hard = (draw_start(find_task(task), 7, states) for states in ('normal', 'hard'))
    parts = {'place': 'places', 'turn': 'yaws', 'looks': 'colours', 'push': 'push'}
    for left_out in parts:
        start = draw_start(find_task(task), 7, 'hard', (left_out,))
        for name, field in parts.items():
            wanted = usual if name == left_out else hard
            assert str(getattr(start, field)) == str(getattr(wanted, field))
    assert str(draw_start(find_task(task), 7, 'hard', tuple(parts))) == str(usual)
    assert str(hard) != str(usual)


def test_unknown_ingredient_names_the_known_ones() -> None:
    """A typo must show what would have been right."""
    with pytest.raises(ConfigError, match=r'wind.*place.*turn.*looks.*push'):
        AlohaSim().reset(0, 'hard', ('wind',))  # type: ignore[arg-type]


def test_piece_is_pushed_once_in_a_hard_episode() -> None:
    """It lies still, slides a few centimetres and lies still again."""
    sim = AlohaSim()
    sim.reset(0, 'hard')
    places = []
    for _ in range(150):
        sim.step(HOME)
        places.append(sim.place('box')[:2])
    moving = np.linalg.norm(np.diff(places[10:], axis=0), axis=1) > 1e-4
    assert np.diff(moving.astype(int)).clip(0).sum() == 1
    assert 0.005 < np.linalg.norm(places[-1] - places[10]) < 0.06


def test_post_stands_by_itself_and_is_never_pushed() -> None:
    """A start in which it had fallen could not be solved."""
    sim = AlohaSim('avoid_post', (24, 32))
    for seed in range(30):
        push = draw_start(find_task('avoid_post'), seed, 'hard').push
        assert push is not None
        assert push.body == 'box'
    sim.reset(0, 'hard')
    start = sim.place('post')
    for _ in range(150):
        sim.step(HOME)
    np.testing.assert_allclose(sim.place('post'), start, atol=1e-3)
    np.testing.assert_allclose(sim.turn('post')[2, 2], 1.0, atol=1e-3)


def test_piece_in_a_hand_is_not_pushed() -> None:
    """A push that comes while a finger touches the piece is left out."""
    ends = []
    for velocity in ([0.0, 0.0], [0.5, 0.5]):
        sim = AlohaSim()
        expert = make_expert(sim, np.random.default_rng(0), Noise())
        while expert.phase != 'carry':
            sim.step(expert.action())
        sim.push = Push('box', 0.0, np.array(velocity))
        sim.step(expert.action())
        assert sim.push is None
        ends.append(sim.data.qpos.tolist())
    assert ends[0] == ends[1]


def test_unknown_task_names_the_known_ones() -> None:
    """A typo must show what would have been right."""
    with pytest.raises(ConfigError, match=r'insert_peg.*transfer_cube'):
        AlohaSim('fold_shirt')


def test_unknown_start_states_name_the_known_ones() -> None:
    """The parameter of the node is a string."""
    with pytest.raises(ConfigError, match=r"'easy'.*normal.*hard"):
        AlohaSim().reset(0, 'easy')  # type: ignore[arg-type]


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_a_camera_sees_the_cube_where_its_pose_and_projection_say(seed: int) -> None:
    """By the optical frame: x along a row, y along a column, z into the scene."""
    sim = AlohaSim()
    sim.reset(seed)
    place, turn = sim.camera_pose('high')
    axes = np.zeros(9)
    mujoco.mju_quat2Mat(axes, turn)
    x, y, z = axes.reshape(3, 3).T @ (sim.place('box') - place)
    fx, fy, cx, cy, _ = sim.intrinsics('high')
    image = sim.render('high').astype(int)
    sim.close()
    red, green, blue = image[round(fy * y / z + cy), round(fx * x / z + cx)]
    assert red > green + blue
    reds = np.argwhere(image[..., 0] > image[..., 1] + image[..., 2])
    assert reds.mean(axis=0) == pytest.approx([fy * y / z + cy, fx * x / z + cx], abs=3.0)

# SPDX-License-Identifier: Apache-2.0
"""Arms keep their distance from each other and from the table, whatever they are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cosmos_policy_ros.control.collision import LOOK_M, Scene, tool_distances_m
from cosmos_policy_ros.control.playback import Playback
from cosmos_policy_ros.control.safety import Limits, Safety
from cosmos_policy_ros.control.tracking import JointTracker
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.sim.aloha import AlohaSim
from cosmos_policy_ros.types import ActionChunk, ConfigError
import mujoco
import numpy as np
from numpy.typing import NDArray
import pytest

ROBOT = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))
SCENE = Scene(ROBOT)
START = ROBOT.start
TICK_NS = 20_000_000
LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_ELBOW = 1, 8, 2

URDF = """<robot name="one"><link name="base"><collision><geometry><box size="1 1 0.02"/></geometry></collision></link>
<joint name="arm_lift" type="prismatic"><parent link="base"/><child link="tool"/><origin xyz="0 0 0.5"/>
<axis xyz="0 0 1"/><limit lower="-1" upper="1" effort="1" velocity="1"/></joint>
<link name="tool"><inertial><mass value="1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial>
<collision><geometry><sphere radius="0.1"/></geometry></collision></link></robot>"""  # noqa: E501


def lifted(**changes: object) -> RobotSpec:
    """Return the right arm alone, with one joint."""
    arm = replace(ROBOT.arms[1], name='arm', joints=('lift',), lower=(-1.0,), upper=(1.0,))
    arm = replace(arm, max_speed=(1.0,), max_acceleration=(5.0,), start=(0.0,), gripper=None)
    return replace(ROBOT, arms=(arm,), **changes)


def push(
    target: NDArray[np.float32], n_ticks: int = 150, robot: RobotSpec = ROBOT
) -> tuple[Playback, list[NDArray]]:
    """Tell perfect arms to go to a pose, and return all commands."""
    playback = Playback(robot)
    playback.enable(START, 0.0, 0)
    rows = np.linspace(START, target, 26)
    playback.add(ActionChunk(0, rows.astype(np.float32), 12.5), 0)
    pose, poses = START, []
    for tick in range(1, n_ticks):
        command = playback.tick(pose, 0.0, tick * TICK_NS)
        assert command is not None
        pose = command.positions
        poses.append(pose)
    return playback, poses


def test_the_model_of_the_scene_has_the_arms_of_the_simulator() -> None:
    """Grippers of both are at the same place in any pose, from the middle between the arms."""
    sim = AlohaSim()
    rng = np.random.default_rng(0)
    lower, upper = ROBOT.lower, ROBOT.upper
    for _ in range(20):
        pose = rng.uniform(lower, upper).astype(np.float32)
        SCENE.clearance(pose)
        sim.data.qpos[:6], sim.data.qpos[8:14] = pose[:6], pose[7:13]
        mujoco.mj_kinematics(sim.model, sim.data)
        for side in ('left', 'right'):
            body = SCENE._model.geom(f'follower_{side}/gripper').bodyid[0]
            there = sim.data.body(f'vx300s_{side}/gripper_link').xpos - (0.0, 0.5, 0.0)
            assert SCENE._data.xpos[body] == pytest.approx(there, abs=1e-4)


def test_shapes_that_come_near_are_found_in_any_pose() -> None:
    """Gripper, base, upper arm and table, measured one by one, are no nearer than is said."""
    rng = np.random.default_rng(0)
    model, data = SCENE._model, SCENE._data
    hand = 'follower_left/gripper', 'follower_left/finger_roots'
    others = 'follower_left/base', 'follower_left/shoulder', 'follower_left/upper_arm'
    pairs = [(hand[0], other) for other in others] + [(part, 'table') for part in hand]
    nearest = []
    for _ in range(400):
        pose = START + (rng.uniform(ROBOT.lower, ROBOT.upper) - START) * rng.uniform(0.0, 0.6)
        found = SCENE.clearance(pose).distance_m
        shapes = [(model.geom(i).id, model.geom(j).id) for i, j in pairs]
        distance_m = min(
            mujoco.mj_geomDistance(model, data, i, j, LOOK_M, None) for i, j in shapes
        )
        assert found <= distance_m + 1e-9
        nearest.append((found, distance_m))
    assert sum(found == own and 0.0 < own < 0.05 for found, own in nearest) > 10


def test_walls_in_the_scene_are_a_work_envelope(tmp_path: Path) -> None:
    """The left hand swings towards a pane 0.3 m beside the middle and stops before it."""
    pane = (
        '<geom name="left_pane" type="box" pos="0 0.31 0.4" size="0.8 0.01 0.5"'
        ' contype="1" conaffinity="272"/></worldbody>'
    )
    scene = tmp_path / 'cell.xml'
    assert ROBOT.scene is not None
    scene.write_text(Path(ROBOT.scene).read_text().replace('</worldbody>', pane))
    robot = replace(ROBOT, scene=str(scene))
    swung = START.copy()
    swung[0] = 1.5
    assert push(swung)[0].safety.state == 'enabled'
    playback, poses = push(swung, robot=robot)
    assert playback.safety.intervention_reasons['hold'] > 0
    nearest = Scene(robot).nearest(np.array(poses))
    assert nearest.shapes == 'left_pane and follower_left/fingers'
    assert ROBOT.clearance_m - 1e-3 <= nearest.distance_m < ROBOT.clearance_m + 0.005


def test_nothing_is_near_at_the_start() -> None:
    """The arms are far apart and above the table."""
    assert SCENE.clearance(START).distance_m > 0.08


def test_a_gripper_comes_to_the_table() -> None:
    """The shapes are named as in the model."""
    low = START.copy()
    low[LEFT_SHOULDER] = 0.04
    distance_m, shapes, ends = SCENE.clearance(low)
    assert distance_m == pytest.approx(-0.0074, abs=1e-4)
    assert shapes == 'table and follower_left/finger_roots'
    assert [end[2] for end in ends] == pytest.approx([0.0, distance_m], abs=1e-6)
    assert ends[0][:2] == pytest.approx(ends[1][:2], abs=1e-6)


def test_tools_are_between_the_fingertips() -> None:
    """As the simulator has them, 0.14 m ahead of the gripper link."""
    sim, rng = AlohaSim(), np.random.default_rng(1)
    rows = rng.uniform(ROBOT.lower, ROBOT.upper, (5, 14)).astype(np.float32)
    paths = SCENE.tool_paths(rows)
    assert paths.shape == (2, 5, 3)
    for row, places in zip(rows, paths.transpose(1, 0, 2), strict=True):
        for side, joints, place in zip(
            ('left', 'right'), (row[:6], row[7:13]), places, strict=True
        ):
            assert place == pytest.approx(sim.arm(side).tip(joints) - (0.0, 0.5, 0.0), abs=1e-4)


def test_candidates_are_as_far_apart_as_their_tools() -> None:
    """The waist turned by 0.1 rad moves the left tool on its circle; jitter is averaged away."""
    start = np.repeat(START[None], 16, axis=0)
    turned, jitter = start.copy(), start.copy()
    turned[8:, 0] += 0.1
    jitter[::2, 0] += 0.1
    tool = SCENE.tool_paths(start[:1])[0, 0]
    waist = SCENE.joint_places(START)['follower_left/waist']
    arc_m = 0.1 * np.linalg.norm((tool - waist)[:2])
    apart_m = tool_distances_m(SCENE, np.stack([start, turned, jitter]))
    assert apart_m is not None
    assert apart_m[0] == 0.0
    assert apart_m[1:] == pytest.approx([arc_m, arc_m / 2], rel=0.01)
    assert tool_distances_m(None, start[None]) is None


def test_joints_are_where_they_turn() -> None:
    """The waist turns above the base, and a gripper without a joint in the model is left out."""
    places = SCENE.joint_places(START)
    assert places['follower_left/waist'] == pytest.approx([-0.469, 0.0, 0.079])
    assert 'follower_left/gripper' not in places


def test_a_model_without_sites_has_its_tools_at_the_last_bodies(tmp_path: Path) -> None:
    """A URDF has none."""
    path = tmp_path / 'one.urdf'
    path.write_text(URDF, encoding='utf-8')
    scene = Scene(lifted(scene=str(path)))
    assert scene.tool_paths(np.array([[0.0], [0.25]])) == pytest.approx(
        np.array([[[0.0, 0.0, 0.5], [0.0, 0.0, 0.75]]])
    )


@pytest.mark.parametrize(
    ('moved', 'shapes'),
    [
        ({LEFT_SHOULDER: 0.3}, 'table and follower_left'),
        ({LEFT_SHOULDER: 1.1, RIGHT_SHOULDER: 1.1}, 'follower_left/'),
    ],
    ids=['table', 'other arm'],
)
def test_arms_stop_before_they_touch(moved: dict[int, float], shapes: str) -> None:
    """A chunk into the table or the other arm is braked within all limits, then held."""
    target = START.copy()
    for joint, value in moved.items():
        target[joint] = value
    playback, poses = push(target)
    nearest = min(SCENE.clearance(pose).distance_m for pose in poses)
    assert 0.0045 <= nearest < 0.03  # it goes as far as it may
    assert playback.safety.intervention_reasons['hold'] > 0
    steps = np.diff([START, *poses], axis=0)
    limits = Limits.from_robot(ROBOT)
    assert (np.abs(steps) <= limits.max_speed * 0.02 + 1e-6).all()
    change = np.abs(np.diff(steps, axis=0))
    assert (change <= limits.max_acceleration * 0.02**2 + 1e-6).all()
    assert poses[-1] == pytest.approx(poses[-20])


def test_the_reason_names_the_shapes() -> None:
    """And the mode is hold, so that the chunk is not caught up with."""
    target = START.copy()
    target[LEFT_SHOULDER] = 0.3
    playback = Playback(ROBOT)
    playback.enable(START, 0.0, 0)
    rows = np.linspace(START, target, 26).astype(np.float32)
    playback.add(ActionChunk(0, rows, 12.5), 0)
    pose, tick = START, 0
    while playback.mode != 'hold' and tick < 150:
        tick += 1
        command = playback.tick(pose, 0.0, tick * TICK_NS)
        assert command is not None
        pose = command.positions
    assert 'table and follower_left/finger_roots would come within' in playback.reason
    assert playback.end_ns is None


def test_arms_that_are_too_near_may_move_away_alone() -> None:
    """As after a person has parked them on the table."""
    low = START.copy()
    low[LEFT_SHOULDER] = 0.04
    safety = Safety(Limits.from_robot(ROBOT), scene=SCENE)
    for shoulder, moves in ((0.2, False), (-0.2, True)):
        safety.disable()
        safety.enable(low, 0.0)
        target, pose = low.copy(), low
        target[LEFT_SHOULDER] = shoulder
        for tick in range(1, 20):
            command = safety.step(target, pose, 0.0, tick * TICK_NS)
            assert command is not None
            pose = command.positions
        assert (pose != low).any() == moves


def test_what_is_too_near_already_hides_nothing_else() -> None:
    """The left gripper lies in the table, and the right one stops above it all the same."""
    low = START.copy()
    low[LEFT_SHOULDER] = 0.04
    safety = Safety(Limits.from_robot(ROBOT), scene=SCENE)
    safety.enable(low, 0.0)
    target, pose = low.copy(), low
    target[RIGHT_SHOULDER] = 0.04
    for tick in range(1, 150):
        command = safety.step(target, pose, 0.0, tick * TICK_NS)
        assert command is not None
        pose = command.positions
    right = START.copy()
    right[7:] = pose[7:]
    assert right[RIGHT_SHOULDER] > START[RIGHT_SHOULDER] + 0.1
    assert SCENE.clearance(right).distance_m > ROBOT.clearance_m - 1e-3


def test_shapes_that_are_near_are_those_of_the_nearest_one_and_others() -> None:
    """By the number of their pair."""
    low = START.copy()
    low[LEFT_SHOULDER] = low[RIGHT_SHOULDER] = 0.04
    near = SCENE.near(low, ROBOT.clearance_m)
    shapes = {found.shapes for found in near.values()}
    assert {f'table and follower_{side}/finger_roots' for side in ('left', 'right')} <= shapes
    assert min(found.distance_m for found in near.values()) == SCENE.clearance(low).distance_m
    assert SCENE.near(START, ROBOT.clearance_m) == {}


def test_a_pose_to_rest_at_is_where_braking_ends() -> None:
    """To the last tick, from any speed."""
    rng = np.random.default_rng(1)
    limits = Limits.from_robot(ROBOT)
    tracker = JointTracker(
        limits.lower, limits.upper, limits.max_speed, limits.max_acceleration, 0.02
    )
    for _ in range(50):
        tracker.start(START)
        for _ in range(20):
            tracker.follow(rng.uniform(limits.lower, limits.upper).astype(np.float32), 0.02)
        rest = tracker.stopping_position
        while tracker.speed.any():
            tracker.brake()
        assert tracker.position == pytest.approx(rest, abs=1e-9)


def test_a_urdf_with_its_own_joint_names_is_a_scene_too(tmp_path: Path) -> None:
    """``<arm>_<joint>``; shapes without names are called as their links."""
    path = tmp_path / 'one.urdf'
    path.write_text(URDF, encoding='utf-8')
    scene = Scene(lifted(scene=str(path)))
    near = scene.clearance(np.array([-0.38]))
    assert near.distance_m == pytest.approx(0.01, abs=1e-6)
    assert near.shapes == 'world and tool'
    assert scene.clearance(np.zeros(1)) == (LOOK_M, '', ())


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        (None, 'no scene'),
        ('<mujoco', 'MuJoCo cannot read it'),
        (URDF.replace('arm_lift', 'other'), r"no joints \['arm/lift'\].*\['other'\]"),
    ],
)
def test_a_scene_that_cannot_be_is_one_line(tmp_path: Path, text: str | None, words: str) -> None:
    """What came, what was expected, and where."""
    path = tmp_path / 'one.urdf'
    if text is not None:
        path.write_text(text, encoding='utf-8')
    with pytest.raises(ConfigError, match=words):
        Scene(lifted(scene=str(path)))

# SPDX-License-Identifier: Apache-2.0
"""Write an ``Episode`` as the bag it could have been read from.

Every tick becomes a joint state per topic of the arms, a command and an expert flag on the topics
of the robot file, every distinct image a message at the first tick that shows it, and every change
of who acts a message; ``read_bag`` at the episode's rate gives the same episode back.
"""

from __future__ import annotations

from pathlib import Path

from cosmos_policy_ros.data.bags.writer import BagWriter, custom_text
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.topics import EXPERT, HUMAN_INTERVENTION, JOINT_COMMAND, TASK
from cosmos_policy_ros.types import ConfigError, Episode
import numpy as np


def write_bag(path: Path, episode: Episode, robot: RobotSpec) -> None:
    """Write one episode; a failure leaves no folder behind.

    Args:
        path: Folder of the bag, which must not exist.
        episode: What to write.
        robot: Topics and joints.

    Raises:
        FileExistsError: The folder exists.
        ConfigError: Images have another size than the robot's cameras.
    """
    for camera in robot.cameras:
        height, width = episode.images[camera.name].shape[1:3]
        if (height, width) != (camera.height, camera.width):
            wanted = f'{camera.width}x{camera.height}'
            msg = f'{path}: {camera.name} is {width}x{height} px, the robot file has {wanted}'
            raise ConfigError(msg)
    about = {'source': episode.source, 'task': episode.task, 'robot': robot.name}
    about['rate_hz'] = repr(episode.rate_hz)
    if episode.success is not None:
        about['success'] = custom_text(episode.success)
    about |= {name: custom_text(v) for name, v in episode.circumstances.known.items()}
    intervened = False
    shown = {c.name: -1 for c in robot.cameras}  # newest row of the images written so far
    with BagWriter(path, about) as bag:
        bag.write_text(TASK.name, episode.task, int(episode.stamps_ns[0]))
        for tick, stamp_ns in enumerate(episode.stamps_ns.tolist()):
            _write_arms(bag, robot, episode, tick)
            for camera in robot.cameras:
                row = int(episode.image_index[camera.name][tick])
                if row != shown[camera.name]:
                    bag.write_image(camera.topic, episode.images[camera.name][row], stamp_ns)
                    shown[camera.name] = row
            bag.write_joints(
                JOINT_COMMAND.name, robot.joint_names, episode.actions[tick], stamp_ns
            )
            bag.write_flag(EXPERT.name, bool(episode.expert[tick]), stamp_ns)
            if intervened != episode.human_intervention[tick]:
                intervened = bool(episode.human_intervention[tick])
                bag.write_flag(HUMAN_INTERVENTION.name, intervened, stamp_ns)


def _write_arms(bag: BagWriter, robot: RobotSpec, episode: Episode, tick: int) -> None:
    """Write the joint states that a tick is measured from, in the units of the driver."""
    stamp_ns = int(episode.stamps_ns[tick])
    for topic in robot.joint_state_topics:
        names: list[str] = []
        positions, speeds, efforts = [], [], []
        for arm, mine in zip(robot.arms, robot.arm_slices, strict=True):
            if arm.joint_state_topic != topic:
                continue
            names += arm.state_joints
            pose = episode.proprio[tick, mine]
            positions.append(arm.state_of_pose(pose))
            if episode.velocity is not None:
                speeds.append(episode.velocity[tick, mine] * arm.state_scale(pose))
            if episode.effort is not None:
                efforts.append(episode.effort[tick, mine].astype(np.float64))
        rows = (np.concatenate(parts or [np.zeros(0)]) for parts in (positions, speeds, efforts))
        position, speed, effort = rows
        bag.write_joints(topic, tuple(names), position, stamp_ns, speed, effort)

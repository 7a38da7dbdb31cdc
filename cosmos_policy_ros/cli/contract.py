# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy contract``: robot files of contracts of rosetta, and the other way round."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.config_file import OPEN, read_mapping
from cosmos_policy_ros.outputs import whole_file
from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.types import ConfigError
import tyro


@dataclass(frozen=True)
class Contract:
    """Make a robot file of a contract of rosetta, or a contract of a robot file.

    A contract is what rosetta knows of a robot: topics, types and joints. SRC is recognised by
    its content. A robot file is made with what a contract has no word for left open (limits,
    speeds, poses, gripper scales, image sizes): it is listed, and nothing reads the file before
    it is filled in. A contract is made of robots whose drivers rosetta has. What comes along
    otherwise or not at all is a line each.

    Recordings of rosetta are read by `convert`, `train` and others as they are.

    Example: cosmos-policy contract so_101.yaml my_robot.yaml
    Example: cosmos-policy contract aloha_sim contract.yaml
    """

    src: tyro.conf.Positional[Path]
    """Contract, or robot YAML."""
    dst: tyro.conf.Positional[Path]
    """YAML file to make, which must not exist."""
    arms: tuple[str, ...] = ()
    """Names of the arms in action order, one in the topic or the name of every joint. Default:
    left and right where that tells all joints apart, else one arm."""
    grippers: tuple[str, ...] = ()
    """Joints that are grippers. Default: those with gripper, finger, jaw or claw in their name."""
    namespace: str = ''
    """Namespace of the robot's stack, such as robot1, in a contract to make; by default none."""


def run(options: Contract) -> int:
    """Write the file and print what is in it otherwise, and what is left open."""
    # late: message types load slowly
    from cosmos_policy_ros.data.rosetta.contract import parse_contract
    from cosmos_policy_ros.data.rosetta.contract_writer import write_contract
    from cosmos_policy_ros.data.rosetta.robot_draft import draft_robot

    if options.dst.exists():
        msg = f'{options.dst} exists and is not overwritten; choose another name'
        raise ConfigError(msg)
    src = robot_file(options.src)
    data = read_mapping(src, 'file', 'give a contract of rosetta or a robot file')
    left_open: tuple[str, ...] = ()
    if 'arms' in data:
        robot = read_robot(src, f'/{options.namespace.strip("/")}')
        text, remarks = write_contract(robot)
    elif {'robot_type', 'observations'} & data.keys():
        contract = parse_contract(data, str(src))
        text, remarks, left_open = draft_robot(contract, options.arms, options.grippers)
    else:
        msg = f'{src} must be a contract, with robot_type, or a robot file, with arms; it has the '
        msg += f'keys {[*data]}'
        raise ConfigError(msg)
    with whole_file(options.dst) as partial:
        partial.write_text(text, encoding='utf-8')
    for remark in remarks:
        print(remark)
    if left_open:
        print(f'{options.dst}: fill in {len(left_open)} values, where it has {OPEN}:')
        print('\n'.join(left_open))
    else:
        print(f'{options.dst}: written')
    return 0

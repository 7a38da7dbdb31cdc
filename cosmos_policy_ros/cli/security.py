# SPDX-License-Identifier: Apache-2.0
"""``cosmos-policy security``: the policy for SROS2 of a robot's stack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.cli.robot_options import Namespace
from cosmos_policy_ros.outputs import check_output, whole_file
from cosmos_policy_ros.robot import read_robot
from cosmos_policy_ros.stack.node_list import full_namespace
from cosmos_policy_ros.stack.security import write_policy


@dataclass(frozen=True)
class Security:
    """Write what each node may publish, hear and call, as a policy for the tools of SROS2.

    `ros2 security generate_artifacts` makes keys and signed permissions of it. Nodes start in the
    enclaves /cosmos_policy/<node> anyway, and use them as soon as ROS_SECURITY_ENABLE is true.

    Example: cosmos-policy security --robot my_robot.yaml --out policy.xml
    """

    robot: Path
    """Robot YAML, whose cameras and arms give the names."""
    out: Path = Path('policy.xml')
    """File to write; replaced when it exists."""
    namespace: Namespace = ''


def run(options: Security) -> int:
    """Write the policy."""
    check_output('--out', options.out)
    namespace = full_namespace(options.namespace)
    text = write_policy(read_robot(options.robot, namespace), namespace)
    with whole_file(options.out) as partial:
        partial.write_text(text, encoding='utf-8')
    print(f'wrote {options.out}')
    return 0

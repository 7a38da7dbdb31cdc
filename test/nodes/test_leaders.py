# SPDX-License-Identifier: Apache-2.0
"""Leaders of which one is made light by a service and the other by its driver."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('interbotix_xs_msgs')

from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot, RobotSpec
from cosmos_policy_ros.ros.endpoints import create_service
from cosmos_policy_ros.ros.leaders import leader_topics, Leaders
from cosmos_policy_ros.ros.service_calls import Conversation
from cosmos_policy_ros.topics import FREE_LEADER
from node_bench import ros_node, SteppedBench
from std_srvs.srv import SetBool

FREE = '/leader_left/gravity_compensation_enable'


def mixed() -> RobotSpec:
    """Return an ALOHA whose left leader alone has a service that makes it light."""
    robot = read_robot(share_path('config', 'robots', 'aloha.yaml'))
    left, right = robot.arms
    assert left.leader is not None
    assert right.leader is not None
    assert left.leader.free_service == FREE
    leader = replace(right.leader, free_service='')
    return replace(robot, arms=(left, replace(right, leader=leader)))


def test_what_makes_a_leader_light_may_command_it() -> None:
    """Gravity compensation sends currents on the topic of the driver, which is no second stack."""
    assert leader_topics(mixed()) == ['/leader_right/commands/joint_group']


def test_every_leader_is_let_go_its_own_way() -> None:
    """Nobody leads with a leader that stays stiff: here its driver is not there."""
    told: list[bool] = []

    def on_free(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        told.append(request.data)
        response.success = True
        return response

    with ros_node('leaders') as node:
        create_service(node, replace(FREE_LEADER, name=FREE, namespaced=False), on_free)
        leaders = Leaders(node, mixed(), lambda *_: None, max_speed=1.0)
        bench, ends = SteppedBench(node), []
        bench.wait(leaders._frees[0].service_is_ready)
        Conversation().start(leaders.let_go(), ends.append)
        bench.wait(lambda: ends)
    assert told == [True]
    assert ends == ['nobody offers /leader_right/get_motor_registers; start the driver of the arm']

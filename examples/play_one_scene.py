# SPDX-License-Identifier: Apache-2.0
"""Play one seeded scene with the committed checkpoint, faster than real time."""

from cosmos_policy_ros.backends import load_policy
from cosmos_policy_ros.evaluation import play_scene, Scenario
from cosmos_policy_ros.resources import share_path
from cosmos_policy_ros.robot import read_robot

if __name__ == '__main__':
    robot = read_robot(share_path('config', 'robots', 'aloha_sim.yaml'))
    policy = load_policy(share_path('models', 'aloha_sim'), threads=1)
    result = play_scene(policy, Scenario(task='transfer_cube'), robot, seed=200000)
    print(f'success: {result.success}, value at mid-episode: {result.middle_value:.2f}')

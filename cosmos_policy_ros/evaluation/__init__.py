# SPDX-License-Identifier: Apache-2.0
"""A policy in the simulator, faster than real time, as a library.

``play_scene`` plays one seeded scene with a policy, ``evaluate_scenes`` many in worker processes,
``play_branches`` every candidate of a query, and ``record_demonstrations`` the scripted experts.
"""

from cosmos_policy_ros.core.query import PlanQuery
from cosmos_policy_ros.evaluation.agent import Agent
from cosmos_policy_ros.evaluation.comparison import compare_evaluations, read_evaluation
from cosmos_policy_ros.evaluation.demonstration import record_demonstration, record_demonstrations
from cosmos_policy_ros.evaluation.displacement import Displacement
from cosmos_policy_ros.evaluation.episode import EpisodeResult, play_episode, play_scene
from cosmos_policy_ros.evaluation.live_pace import LivePace, read_live_pace
from cosmos_policy_ros.evaluation.oracle import (
    check_branches,
    describe_branches,
    play_branches,
    read_scenes,
)
from cosmos_policy_ros.evaluation.oracle_summary import OracleScene, summarize_oracle
from cosmos_policy_ros.evaluation.scenario import Scenario
from cosmos_policy_ros.evaluation.scenes import (
    check_evaluation,
    describe_measured,
    evaluate_scenes,
    read_results,
)
from cosmos_policy_ros.evaluation.summary import summarize_episodes

__all__ = [
    'Agent',
    'Displacement',
    'EpisodeResult',
    'LivePace',
    'OracleScene',
    'PlanQuery',
    'Scenario',
    'check_branches',
    'check_evaluation',
    'compare_evaluations',
    'describe_branches',
    'describe_measured',
    'evaluate_scenes',
    'play_branches',
    'play_episode',
    'play_scene',
    'read_evaluation',
    'read_live_pace',
    'read_results',
    'read_scenes',
    'record_demonstration',
    'record_demonstrations',
    'summarize_episodes',
    'summarize_oracle',
]

# SPDX-License-Identifier: Apache-2.0
"""Injects faults into a stack of its own, on the simulator, and reports what came of each.

It starts the other nodes itself, since it also stops and kills them. Every case is an event of
``<out>/events.jsonl`` as soon as it is judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosmos_policy_ros.control.realtime import request_realtime
from cosmos_policy_ros.event_log import EventLog, FILE_NAME
from cosmos_policy_ros.faults.bench import FaultBench
from cosmos_policy_ros.faults.campaign import Campaign, draw_cases, plan_cases
from cosmos_policy_ros.ros.discovery import refuse_second_stack
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.stack_client import run_to_end
from cosmos_policy_ros.topics import JOINT_COMMAND, QUERY
from rclpy.node import Node


@dataclass(frozen=True)
class FaultsParams:
    """Parameters of the fault node."""

    robot: str = param('', 'Robot YAML file that the simulator can stand in for.')
    checkpoint: str = param('', 'Checkpoint folder of the policy that moves the arms.')
    out: str = param('', 'Folder for events and logs; the command sets it.')
    kinds: str = param('', 'Names of faults, separated by commas; empty tries all.')
    quick: bool = param(False, 'true tries every fault at one moment alone.')
    minutes: float = param(
        0.0, 'Length of a campaign in random order [min]; 0 tries each case once.', 0.0, 10000.0
    )
    episodes: int = param(1, 'Scenes in which each fault is tried.', 1, 1000)
    seed: int = param(100000, 'Seed of the first scene.', 0, 2**31)
    realtime_priority: int = param(
        45, 'SCHED_FIFO priority, since it passes on what sensors measure; 0: normal.', 0, 99
    )
    discovery_s: float = param(
        3.5,
        'How long to search for another stack [s]; a shorter time may overlook one.',
        0.0,
        30.0,
    )


class FaultsNode(Node):
    """Play a campaign."""

    def __init__(self) -> None:
        """Make sure that the domain is free.

        Raises:
            ConfigError: The robot file is wrong, there is no such fault, or another stack runs.
        """
        super().__init__('faults')
        self.params = p = declare(self, FaultsParams)
        request_realtime(p.realtime_priority)
        self._events = EventLog(Path(p.out) / FILE_NAME)
        refuse_second_stack(self, [QUERY.ros_name, JOINT_COMMAND.ros_name], p.discovery_s)
        names = [name.strip() for name in p.kinds.split(',') if name.strip()]
        seeds = range(p.seed, p.seed + p.episodes)
        self.cases = plan_cases(names, seeds, p.quick)
        values = {'checkpoint': p.checkpoint}
        self.bench = FaultBench(self, Path(p.robot), values, Path(p.out))

    def run(self) -> None:
        """Play all cases; raises as ``run_to_end``."""
        run_to_end(self, self._run, lambda reason: self._events.write('failed', reason=reason))

    def _run(self) -> None:
        self._events.write('ready', cases=None if self.params.minutes else len(self.cases))
        driver, cases = self.bench.robot.arms[0].driver, iter(self.cases)
        if self.params.minutes:
            cases = draw_cases(self.cases, self.params.minutes, self.params.seed)
        try:
            for row in Campaign(self.bench).play(cases, driver):
                self._events.write('case', **row)
        finally:
            self.bench.close()
        self._events.write('done')


def main() -> None:
    """Run the node until all faults are tried or Ctrl-C."""
    run_node(FaultsNode, FaultsNode.run)


if __name__ == '__main__':
    main()

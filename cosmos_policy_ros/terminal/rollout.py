# SPDX-License-Identifier: Apache-2.0
"""One rollout of a policy whose beginning, end and judgement somebody else decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cosmos_policy_ros.event_log import Event, EventLog, REQUESTS
from cosmos_policy_ros.robot import RobotSpec
from cosmos_policy_ros.stack.node_list import NodeSpec, TRIAL, Value
from cosmos_policy_ros.stack.running import run_stack

Answer = Callable[[Event], str]  # what is wanted after an event: go, stop, quit, or nothing


class Rollout(NamedTuple):
    """What was seen of a rollout.

    Attributes:
        episode: Its figures: ``seconds``, ``ended`` (why), ``bag``, ``fault`` and those of
            ``EpisodeMonitor.figures``; in the simulator ``success`` and ``progress`` too.
        start_ns: When the policy began [ns, ROS clock].
        answers: Answers of the policy, as ``EpisodeMonitor`` tells them.
    """

    episode: dict[str, Any]
    start_ns: int
    answers: list[Event]


def play_rollout(
    values: Mapping[str, Value], out: Path, others: Iterable[NodeSpec], answer: Answer
) -> Rollout | None:
    """Start a stack, play one rollout in it, and end it.

    Args:
        values: Arguments of the nodes, see ``node_list.ARGUMENTS``.
        out: Folder with a folder ``logs/``, for events, requests and the bag.
        others: Nodes of the stack.
        answer: Called with every event; what it returns is requested of the trial node.

    Returns:
        The rollout, None where it was given up before it began.

    Raises:
        ConfigError: A node ended because of something a user can change, or the stack did not
            become ready.
        ChildProcessError: A node crashed; the message has its last lines.
    """
    requests = EventLog(out / REQUESTS)
    with run_stack(values, out, TRIAL, others) as stack:
        for event in stack.follow():
            if wanted := answer(event):
                requests.write(wanted)
        events = stack.events
    start_ns = next((e['start_ns'] for e in events if e['event'] == 'started'), 0)
    answers = [e for e in events if e['event'] == 'answer']
    episodes = [e for e in events if e['event'] == 'episode']
    return Rollout(episodes[0], start_ns, answers) if episodes else None


def write_rollout_film(path: Path, rollout: Rollout, success: bool, robot: RobotSpec) -> None:
    """Write the rollout as a film: the cameras above what was expected of them.

    Args:
        path: MP4 file.
        rollout: The rollout, whose bag is there.
        success: How it was judged.
        robot: The cameras.
    """
    from cosmos_policy_ros.report.demo_film import write_film  # loads slowly

    episode = {
        'bag': rollout.episode['bag'],
        'start_ns': rollout.start_ns,
        'seconds': rollout.episode['seconds'],
        'candidates': rollout.answers,
        'success': success,
    }
    write_film(path, {'episodes': [episode]}, robot)

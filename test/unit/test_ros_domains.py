# SPDX-License-Identifier: Apache-2.0
"""Tests that run at the same time never share a ROS domain."""

from __future__ import annotations

import os
from pathlib import Path
import re
import socket

from cosmos_policy_ros.stack.domain import discovery_port, is_silent
import pytest
from ros_domains import claim, free_domains, LOCKS, ros_domain

TESTS = Path(__file__).parents[1]
# A number where a domain is given; 300 is no domain, and 0 says where it was in a report.
WRITTEN = re.compile(r"(?:ros_domain\(|ROS_DOMAIN_ID', '|domain(?:_id)?=|--domain', ')([1-9]\d*)")


def test_a_held_domain_is_refused_to_everybody_else() -> None:
    """Until it is released."""
    with free_domains() as domain, claim(domain) as held:
        assert not held
    with claim(domain) as held:
        assert held


def test_two_at_once_differ() -> None:
    """Each takes what the other has not."""
    with free_domains() as one, free_domains() as other:
        assert one != other


def test_neighbours_are_held_together() -> None:
    """Some measurements put their load on the domain behind that of the stack."""
    with free_domains(count=2) as first, claim(first) as held, claim(first + 1) as next_held:
        assert (held, next_held) == (False, False)


def test_the_domain_of_a_running_stack_is_passed_over() -> None:
    """It has no lock, but its fourth participant listens on the port that DDS gives it."""
    with free_domains() as domain, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stack:
        assert is_silent(domain)
        stack.bind(('', discovery_port(domain, 3)))
        assert not is_silent(domain)


def test_ports_are_those_of_the_specification() -> None:
    """DDSI-RTPS 9.6.1.1: 7400 + 250 per domain + 10 + 2 per participant."""
    assert discovery_port(0, 0) == 7410
    assert discovery_port(101, 2) == 32664


def test_a_released_domain_is_the_last_to_be_taken_again() -> None:
    """Participants that were killed there are still seen for 20 s."""
    with free_domains() as first:
        pass
    with free_domains() as second:
        assert second != first
    assert (LOCKS / str(first)).stat().st_mtime_ns <= (LOCKS / str(second)).stat().st_mtime_ns


def test_processes_find_the_domain_in_their_environment() -> None:
    """And lose it with the block."""
    before = os.environ['ROS_DOMAIN_ID']
    with ros_domain() as domain:
        assert os.environ['ROS_DOMAIN_ID'] == str(domain) != before
        assert os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    assert os.environ['ROS_DOMAIN_ID'] == before


@pytest.mark.parametrize('file', sorted(TESTS.rglob('*.py')), ids=lambda f: f.name)
def test_no_test_names_a_domain(file: Path) -> None:
    """A number that is written down would be taken twice at once."""
    assert set(WRITTEN.findall(file.read_text(encoding='utf-8'))) <= {'300'}

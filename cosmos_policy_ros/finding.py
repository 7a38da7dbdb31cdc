# SPDX-License-Identifier: Apache-2.0
"""One line of ``cosmos-policy check`` or ``doctor``: what is, what was expected, what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What was found out about one thing.

    Attributes:
        subject: The topic, controller, file or part of the machine.
        check: What was looked at, such as ``rate``.
        found: What there is.
        expected: What there should be, empty where ``found`` says it all.
        advice: What to do, empty when all is well.
        level: ``ok``; ``warning``, which may be meant so; ``error``, with which nothing moves or
            something moves wrongly.
    """

    subject: str
    check: str
    found: str
    expected: str = ''
    advice: str = ''
    level: str = 'ok'


def judge(
    subject: str, check: str, well: bool, found: str, expected: str, advice: str, level: str = ''
) -> Finding:
    """Return a finding, without advice where all is well.

    Args:
        subject: As of ``Finding``.
        check: As of ``Finding``.
        well: Whether all is well.
        found: As of ``Finding``.
        expected: As of ``Finding``.
        advice: What to do where it is not.
        level: Level where it is not; ``error`` if empty.
    """
    if well:
        return Finding(subject, check, found, expected)
    return Finding(subject, check, found, expected, advice, level or 'error')


def refuse(subject: str, check: str, reason: str, well: str) -> Finding:
    """Return a finding of a check that gives a reason against, or an empty text.

    Args:
        subject: As of ``Finding``.
        check: As of ``Finding``.
        reason: Why not, with what to do; empty when all is well.
        well: What is found then.
    """
    if reason:
        return Finding(subject, check, reason, level='error')
    return Finding(subject, check, well)

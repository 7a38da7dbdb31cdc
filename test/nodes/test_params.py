# SPDX-License-Identifier: Apache-2.0
"""A dataclass becomes ROS parameters, and mistakes end a node with one line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, FrozenInstanceError
import signal

import pytest

pytest.importorskip('rclpy')

from cosmos_policy_ros.ros.params import declare, param, refuse_unknown, run_node
from cosmos_policy_ros.types import ConfigError
from rcl_interfaces.msg import ParameterType
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

pytestmark = pytest.mark.patient


@dataclass(frozen=True)
class WatchParams:
    """Parameters of a node that watches."""

    robot: str = param('', 'Robot YAML.')
    n_cameras: int = param(3, 'Number of cameras.', 1, 16)
    rate_hz: float = param(1.0, 'Rate of the report [Hz].', 0.1, 50.0)
    verbose: bool = param(False, 'Say more.')
    workers: int | str = param('auto', 'Workers.', 1, 8)


@pytest.fixture
def context() -> Iterator[Context]:
    """Return a ROS context."""
    context = Context()
    rclpy.init(context=context)
    yield context
    context.try_shutdown()


def make_node(context: Context, **overrides: object) -> Node:
    """Return a node that was given some parameters."""
    given = [Parameter(name, value=value) for name, value in overrides.items()]
    return Node('watch', context=context, parameter_overrides=given)


def test_defaults_are_returned_with_their_types(context: Context) -> None:
    """Nothing given means the dataclass as written, and it cannot be changed."""
    values = declare(make_node(context), WatchParams)
    assert values == WatchParams()
    with pytest.raises(FrozenInstanceError):
        values.rate_hz = 2.0  # type: ignore[misc]


def test_given_values_of_every_type_arrive(context: Context) -> None:
    """Str, int, float and bool."""
    node = make_node(context, robot='r.yaml', n_cameras=2, rate_hz=5.0, verbose=True)
    assert declare(node, WatchParams) == WatchParams('r.yaml', 2, 5.0, True)


@pytest.mark.parametrize(('given', 'meant'), [(4, 4), ('8', 8), ('auto', 'auto')])
def test_a_word_may_be_a_number(context: Context, given: object, meant: object) -> None:
    """As a number from a command line, as text from a launch file."""
    assert declare(make_node(context, workers=given), WatchParams).workers == meant


def test_parameters_describe_themselves(context: Context) -> None:
    """``ros2 param describe`` shows text, type, range and that they are read-only."""
    node = make_node(context)
    declare(node, WatchParams)
    rate, cameras = node.describe_parameters(['rate_hz', 'n_cameras'])
    assert rate.description == 'Rate of the report [Hz].'
    assert rate.read_only
    assert rate.type == ParameterType.PARAMETER_DOUBLE
    assert rate.floating_point_range[0].to_value == 50.0
    assert cameras.integer_range[0].from_value == 1
    result = node.set_parameters([Parameter('rate_hz', value=2.0)])[0]
    assert not result.successful


@pytest.mark.parametrize(
    ('name', 'value', 'wanted'),
    [
        ('rate_hz', 99.0, 'give a float from 0.1 to 50.0: Rate of the report [Hz].'),
        ('rate_hz', 5, 'give a float'),
        ('n_cameras', 0, 'give a int from 1 to 16'),
        ('verbose', 'yes', 'give a bool: Say more.'),
        ('robot', 7, 'give a str: Robot YAML.'),
        ('rate_hz', float('nan'), 'give a float'),
        ('workers', 9, 'give auto or an int from 1 to 8: Workers.'),
        ('workers', 'many', 'give auto or an int from 1 to 8'),
        ('workers', 2.5, 'give auto or an int from 1 to 8'),
        ('workers', True, 'give auto or an int from 1 to 8'),
    ],
)
def test_wrong_value_is_a_config_error_that_says_what_is_right(
    context: Context, name: str, value: object, wanted: str
) -> None:
    """The parameter, the node, the type and the range are named."""
    with pytest.raises(ConfigError) as error:
        declare(make_node(context, **{name: value}), WatchParams)
    assert f'parameter {name} of watch' in str(error.value)
    assert wanted in str(error.value)


def test_unknown_parameter_is_refused_with_the_known_ones(context: Context) -> None:
    """A typing mistake in a parameter file does not pass silently."""
    node = make_node(context, rate=5.0, use_sim_time=False)
    declare(node, WatchParams)
    with pytest.raises(ConfigError, match=r"watch has no parameters \['rate'\].*'rate_hz'"):
        refuse_unknown(node)


@pytest.fixture
def kept_signals() -> Iterator[None]:
    """Give pytest its Ctrl-C back, which nodes take for the rest of their process."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures('kept_signals')
def test_config_error_ends_a_node_with_a_status_of_its_own() -> None:
    """No traceback, and the context is closed."""

    def build() -> Node:
        raise ConfigError('no robot file')

    with pytest.raises(SystemExit) as end:
        run_node(build)
    assert end.value.code == 78
    assert not rclpy.ok()


@pytest.mark.usefixtures('kept_signals')
def test_a_refusal_of_the_system_ends_as_a_mistake_only_a_node_that_starts() -> None:
    """By that status a launch ends all nodes; where one of many dies, arms are to be held on."""

    def refuse(*_: Node) -> Node:
        raise MemoryError

    with pytest.raises(SystemExit) as end:
        run_node(refuse)
    assert end.value.code == 78
    with pytest.raises(MemoryError):
        run_node(lambda: Node('watch'), refuse)
    assert not rclpy.ok()


@pytest.mark.usefixtures('kept_signals')
def test_ctrl_c_is_a_quiet_end() -> None:
    """Status 0, and the context is closed."""

    def spin(_node: Node) -> None:
        raise KeyboardInterrupt

    run_node(lambda: Node('watch'), spin)
    assert not rclpy.ok()

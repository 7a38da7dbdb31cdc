# SPDX-License-Identifier: Apache-2.0
"""ROS parameters from a frozen dataclass, and a node's life from start to exit status."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import dataclasses
import logging
import math
from typing import Any, TypeVar

from cosmos_policy_ros.control.realtime import prioritise_dds_threads
from cosmos_policy_ros.resources import PACKAGE
from cosmos_policy_ros.ros.control_loop import spin_events
from cosmos_policy_ros.ros.ending import ignore_signals, interrupt_building, spare_ending
from cosmos_policy_ros.stack.node_list import MISTAKE
from cosmos_policy_ros.system_errors import explain
from cosmos_policy_ros.types import ConfigError
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException
from rclpy.logging import get_logger
from rclpy.node import Node

T = TypeVar('T')
N = TypeVar('N', bound=Node)
BUILT_IN = ('use_sim_time', 'start_type_description_service', 'qos_overrides.')


def param(
    default: Any,
    doc: str,
    low: float | None = None,
    high: float | None = None,
    live: bool = False,
) -> Any:
    """Return a dataclass field that is also a ROS parameter.

    Args:
        default: Default value; its type (bool, int, float, str) is the parameter's type.
        doc: Description shown by ``ros2 param describe``, with the unit in brackets; the comment
            behind the parameter in ``config/nodes.yaml`` is the same.
        low: Smallest allowed number, or None for no range.
        high: Largest allowed number; given together with ``low``. A text with a range is a word
            that may be replaced by a whole number of the range, as a number or as text; its value
            is then an int.
        live: Whether it may be set while the node runs, which then asks for it with
            ``get_parameter``.
    """
    metadata = {'doc': doc, 'low': low, 'high': high, 'live': live}
    return dataclasses.field(default=default, metadata=metadata)


def declare(node: Node, cls: type[T]) -> T:
    """Declare every field of ``cls`` as a parameter, read-only or live, and return the values.

    Raises:
        ConfigError: A value has another type, is outside its range or is not finite.
    """
    values = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        try:
            value = node.declare_parameter(field.name, field.default, _describe(field)).value
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            msg = f'parameter {field.name} of {node.get_name()}: {error}; {_explain(field)}'
            raise ConfigError(msg) from error
        if isinstance(value, float) and not math.isfinite(value):
            msg = f'parameter {field.name} of {node.get_name()} is {value}; {_explain(field)}'
            raise ConfigError(msg)
        values[field.name] = _read_number(node, field, value) if _may_be_number(field) else value
    return cls(**values)


def refuse_unknown(node: Node) -> None:
    """Refuse parameters that were given to a node which has declared all of its own.

    Raises:
        ConfigError: One is unknown, most often a typing mistake in a parameter file.
    """
    given = set(node._parameter_overrides)  # rclpy offers no public list of them
    unknown = sorted(n for n in given if not node.has_parameter(n) and not n.startswith(BUILT_IN))
    if unknown:
        known = sorted(n for n in node._parameters if not n.startswith(BUILT_IN))
        msg = f'{node.get_name()} has no parameters {unknown}; it knows {known}'
        raise ConfigError(msg)


def run_node(cls: Callable[[], N], spin: Callable[[N], None] = spin_events) -> None:
    """Build a node and run it until Ctrl-C or SIGTERM; more of them do not disturb its end.

    Args:
        cls: Builds the node.
        spin: Runs it until the context is shut down.

    Raises:
        SystemExit: A ``ConfigError``, or what the system refused while it was built, ended it;
            it was logged as one line and the status is ``MISTAKE``.
    """
    node = None
    interrupt_building()
    try:
        _init()
        _log_to_ros()
        node = cls()
        refuse_unknown(node)
        prioritise_dds_threads()
        spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception as error:
        if isinstance(error, ConfigError):
            trouble = str(error)
        else:  # one that runs dies with its trace: ``MISTAKE`` would end the executor beside it
            trouble = explain(error) if node is None else ''
        if trouble:
            get_logger(PACKAGE).error(' '.join(trouble.split()))
            raise SystemExit(MISTAKE) from None
        # otherwise Ctrl-C came while the node was being built
        if rclpy.ok() or not isinstance(error, RuntimeError):
            raise
    finally:
        spare_ending()
        if node is not None:
            node.destroy_node()
        with contextlib.suppress(RuntimeError):  # a signal shut it down in this moment
            rclpy.try_shutdown()
        ignore_signals()


class _ToRos(logging.Handler):
    """What parts without ROS log, such as networks that are exported once, in the log of ROS."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a line; of rclpy each place in the code has one severity."""
        text, logger = ' '.join(record.getMessage().split()), get_logger(PACKAGE)
        if record.levelno >= logging.ERROR:
            logger.error(text)
        elif record.levelno >= logging.WARNING:
            logger.warning(text)
        else:
            logger.info(text)


def _log_to_ros() -> None:
    """Let what parts without ROS log go there too, once in a process."""
    logger = logging.getLogger(PACKAGE)
    if not any(isinstance(handler, _ToRos) for handler in logger.handlers):
        logger.addHandler(_ToRos())
        logger.setLevel(logging.INFO)


def _init() -> None:
    """Begin with ROS.

    Raises:
        ConfigError: It cannot, as where its logs cannot be written.
    """
    try:
        rclpy.init()
    except RuntimeError as error:  # RCLError has no public name
        msg = f'ROS 2 does not start: {error}; cosmos-policy doctor names what is wrong here'
        raise ConfigError(msg) from error


def _may_be_number(field: dataclasses.Field[Any]) -> bool:
    """Whether a word is the default of a parameter that takes whole numbers too."""
    return isinstance(field.default, str) and field.metadata['low'] is not None


def _read_number(node: Node, field: dataclasses.Field[Any], value: Any) -> int | str:
    """Return the whole number in a value, or the word that is the default.

    Raises:
        ConfigError: It is neither, or out of range.
    """
    if value == field.default:
        return str(value)
    text = str(value)  # a launch file gives text, a command line a number
    if text.isdecimal() and field.metadata['low'] <= int(text) <= field.metadata['high']:
        return int(text)
    msg = f'parameter {field.name} of {node.get_name()} is {value!r}; {_explain(field)}'
    raise ConfigError(msg)


def _describe(field: dataclasses.Field[Any]) -> ParameterDescriptor:
    low, high = field.metadata['low'], field.metadata['high']
    descriptor = ParameterDescriptor(
        description=field.metadata['doc'], read_only=not field.metadata['live']
    )
    if _may_be_number(field):
        descriptor.dynamic_typing = True
    elif low is not None and isinstance(field.default, float):
        limits = FloatingPointRange(from_value=float(low), to_value=float(high))
        descriptor.floating_point_range = [limits]
    elif low is not None:
        limits = IntegerRange(from_value=int(low), to_value=int(high), step=1)
        descriptor.integer_range = [limits]
    return descriptor


def _explain(field: dataclasses.Field[Any]) -> str:
    low, high = field.metadata['low'], field.metadata['high']
    reach = '' if low is None else f' from {low} to {high}'
    kind = f'{field.default} or an int' if _may_be_number(field) else type(field.default).__name__
    return f'give {"" if _may_be_number(field) else "a "}{kind}{reach}: {field.metadata["doc"]}'

# SPDX-License-Identifier: Apache-2.0
"""The one command, ``cosmos-policy``; a subcommand is a module with its options and ``run``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from io import TextIOWrapper
import logging
import os
import sys
from typing import Annotated, Any, Union

from cosmos_policy_ros.resources import robot_file
from cosmos_policy_ros.system_errors import explain
from cosmos_policy_ros.types import ConfigError

Command = tuple[type, Callable[[Any], int]]


def commands() -> dict[str, Command]:
    """Return the subcommands by name: the frozen dataclass of their options, and what runs them.

    The modules are imported here, since they load torch and MuJoCo.
    """
    from cosmos_policy_ros.cli import (
        arms,
        bench,
        bridge,
        cameras,
        check,
        compare,
        console,
        contract,
        convert,
        demo,
        demonstrate,
        doctor,
        embed,
        episodes,
        estop,
        evaluate,
        evaluate_robot,
        export,
        faults,
        import_weights,
        operate,
        oracle,
        replay,
        report,
        residuals,
        security,
        status,
        train,
    )

    return {
        'demo': (demo.Demo, demo.run),
        'demonstrate': (demonstrate.Demonstrate, demonstrate.run),
        'convert': (convert.Convert, convert.run),
        'contract': (contract.Contract, contract.run),
        'train': (train.Train, train.run),
        'evaluate': (evaluate.Evaluate, evaluate.run),
        'evaluate-robot': (evaluate_robot.EvaluateRobot, evaluate_robot.run),
        'compare': (compare.Compare, compare.run),
        'oracle': (oracle.Oracle, oracle.run),
        'episodes': (episodes.Episodes, episodes.run),
        'report': (report.Report, report.run),
        'replay': (replay.Replay, replay.run),
        'status': (status.Status, status.run),
        'console': (console.Console, console.run),
        'operate': (operate.Operate, operate.run),
        'bridge': (bridge.Bridge, bridge.run),
        'arms': (arms.Arms, arms.run),
        'estop': (estop.Estop, estop.run),
        'cameras': (cameras.Cameras, cameras.run),
        'check': (check.Check, check.run),
        'doctor': (doctor.Doctor, doctor.run),
        'bench': (bench.Bench, bench.run),
        'faults': (faults.Faults, faults.run),
        'export': (export.Export, export.run),
        'import-weights': (import_weights.ImportWeights, import_weights.run),
        'embed': (embed.Embed, embed.run),
        'security': (security.Security, security.run),
        'residuals': (residuals.Residuals, residuals.run),
    }


def parse(arguments: Sequence[str] | None = None) -> Any:
    """Return the options of a command line, an instance of one of the classes of ``commands``.

    Args:
        arguments: Words after ``cosmos-policy``, by default those of this process.

    Raises:
        SystemExit: Status 2, a word is unknown or has a wrong value, which is printed; status 0,
            help was asked for and printed.
    """
    import tyro

    classes = [
        Annotated[options, tyro.conf.subcommand(name)] for name, (options, _) in commands().items()
    ]
    union: Any = Union[tuple(classes)]  # noqa: UP007  (a list has no |)
    options = tyro.cli(
        union,
        args=arguments,
        prog='cosmos-policy',
        description='Run, measure and train Cosmos Policy on bimanual robots.',
    )
    if (robot := getattr(options, 'robot', None)) is None:
        return options
    return replace(options, robot=robot_file(robot))  # by name too, as in the launch files


def main() -> None:
    """Run a subcommand; a mistake or a lack that a user can mend is one line, exit status 1."""
    # Before torch is loaded: let waiting threads sleep instead of spinning, which slows everything
    # down as soon as another process is busy.
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    _open_streams()
    try:
        try:
            options = parse()
        finally:
            sys.stdout.flush()  # help, which ends the process
        logging.basicConfig(level=logging.INFO, format='%(message)s')
        runs = dict(commands().values())
        status = runs[type(options)](options)
        sys.stdout.flush()
    except BrokenPipeError:  # who read, as head does, has seen enough
        _drop_output()
        status = 0
    except ConfigError as error:
        print(f'cosmos-policy: {error}', file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print('cosmos-policy: interrupted', file=sys.stderr)
        status = 130
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None and _is_output_lost():
            _drop_output()
            msg = f'the output cannot be written: {error.strerror}; send it to another place'
        elif not (msg := explain(error)):
            raise
        print(f'cosmos-policy: {msg}', file=sys.stderr)
        status = 1
    sys.exit(status)


def _open_streams() -> None:
    """Open standard streams that are closed, whose numbers files would get."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or open(0, encoding='utf-8')  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, 'w', encoding='utf-8')  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, 'w', encoding='utf-8')  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal may have no lines of a table
        sys.stdout.reconfigure(errors='replace')  # the errors take any sign by themselves


def _is_output_lost() -> bool:
    """Whether the standard output takes no more, as of a full disk."""
    try:
        print(flush=True)
    except OSError:
        return True
    return False


def _drop_output() -> None:
    """Send what was printed nowhere, or it would be a trace at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

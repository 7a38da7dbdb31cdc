# SPDX-License-Identifier: Apache-2.0
"""The one command, ``cosmos-policy``; a subcommand is a module with its options and ``run``."""

from __future__ import annotations

from collections.abc import Callable
import logging
import os
import sys
from typing import Annotated, Any

from cosmos_policy_ros.types import ConfigError


def main() -> None:
    """Run a subcommand; a mistake a user can fix is one line and exit status 1."""
    # Before mujoco and torch are loaded: draw without a display, and let waiting threads sleep
    # instead of spinning, which slows everything down as soon as another process is busy.
    os.environ.setdefault('MUJOCO_GL', 'egl')
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
    from cosmos_policy_ros.cli import (
        bench,
        compare,
        convert,
        demo,
        demonstrate,
        evaluate,
        export,
        import_weights,
        oracle,
        replay,
        report,
        train,
    )
    import tyro

    commands: dict[type, Callable[[Any], int]] = {
        demo.Demo: demo.run,
        demonstrate.Demonstrate: demonstrate.run,
        convert.Convert: convert.run,
        train.Train: train.run,
        evaluate.Evaluate: evaluate.run,
        compare.Compare: compare.run,
        oracle.Headroom: oracle.run,
        report.Report: report.run,
        replay.Replay: replay.run,
        bench.Bench: bench.run,
        export.Export: export.run,
        import_weights.ImportWeights: import_weights.run,
    }
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    options = tyro.cli(
        Annotated[demo.Demo, tyro.conf.subcommand('demo')]
        | Annotated[demonstrate.Demonstrate, tyro.conf.subcommand('demonstrate')]
        | Annotated[convert.Convert, tyro.conf.subcommand('convert')]
        | Annotated[train.Train, tyro.conf.subcommand('train')]
        | Annotated[evaluate.Evaluate, tyro.conf.subcommand('evaluate')]
        | Annotated[compare.Compare, tyro.conf.subcommand('compare')]
        | Annotated[oracle.Headroom, tyro.conf.subcommand('headroom')]
        | Annotated[report.Report, tyro.conf.subcommand('report')]
        | Annotated[replay.Replay, tyro.conf.subcommand('replay')]
        | Annotated[bench.Bench, tyro.conf.subcommand('bench')]
        | Annotated[export.Export, tyro.conf.subcommand('export')]
        | Annotated[import_weights.ImportWeights, tyro.conf.subcommand('import-weights')],
        prog='cosmos-policy',
        description='Run, measure and train Cosmos Policy on bimanual robots.',
    )
    try:
        status = commands[type(options)](options)
    except ConfigError as error:
        print(f'cosmos-policy: {error}', file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print('cosmos-policy: stopped', file=sys.stderr)
        status = 130
    sys.exit(status)

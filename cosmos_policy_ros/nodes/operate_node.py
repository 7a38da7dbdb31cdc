# SPDX-License-Identifier: Apache-2.0
"""The operator's desk for a terminal: keys come in, what the stack does goes out.

Names of keys come on its standard input, one a line, and words on the ended episode as a JSON
object with ``failure`` and ``note``; on its standard output leave JSON objects, one a line, as
``OperatorDesk.view`` returns them. It ends with its standard input.
"""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path
import time

from cosmos_policy_ros.drivers.pedal import open_pedal, read_keys
from cosmos_policy_ros.ros.operator_desk import OperatorDesk
from cosmos_policy_ros.ros.params import declare, param, run_node
from cosmos_policy_ros.ros.standard_streams import spin_lines, write_object
from cosmos_policy_ros.types import ConfigError
from rclpy.node import Node


@dataclass(frozen=True)
class OperateParams:
    """Parameters of the operator's desk."""

    pedal: str = param(
        '', 'Input device whose keys are taken too, such as /dev/input/by-id/…; empty for none.'
    )
    instruction: str = param(
        '', 'Instruction that is published on task at the start; empty leaves it as it is.'
    )
    report_hz: float = param(5.0, 'Lines per second [Hz]; a note is a line at once.', 0.1, 50.0)


class OperateNode(Node):
    """Keys in, views out."""

    def __init__(self) -> None:
        """Open the services, and the pedal.

        Raises:
            ConfigError: The instruction is too long, or the pedal cannot be read.
        """
        super().__init__('operate')
        self.params = p = declare(self, OperateParams)
        self.desk = OperatorDesk(self)
        if p.instruction:
            try:
                self.desk.set_task(p.instruction)
            except ValueError as error:
                raise ConfigError(str(error)) from error
        if p.pedal:
            self.desk.follow_keys(read_keys(open_pedal(Path(p.pedal))), p.pedal)

    def run(self) -> None:
        """Take keys until the standard input ends."""
        next_s, note = 0.0, self.desk.note
        for keys in spin_lines(self):
            for key in keys:
                if key.startswith('{'):
                    self.desk.add_words('', **json.loads(key))
                else:
                    self.desk.press_key(key)
            if time.monotonic() >= next_s or note != self.desk.note:
                next_s, note = time.monotonic() + 1.0 / self.params.report_hz, self.desk.note
                write_object(self.desk.view())


def main() -> None:
    """Run the node until its standard input ends or Ctrl-C."""
    run_node(OperateNode, OperateNode.run)


if __name__ == '__main__':
    main()

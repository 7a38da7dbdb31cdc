# SPDX-License-Identifier: Apache-2.0
"""What is slow, late or lost on this machine, beside what it is compared with.

- ``recorder``: messages that are not in the bag. ``control``: commands that leave late.
- ``latency``: queries with every backend, as a ``latency_table``, of all ``variants`` and,
  through the running stack, ``stack_latency``. ``model_2b``: the network at the size of the paper.
- ``planning``: best-of-N beside the ``reference_order`` of work, and cheaper ways to ``search``.
- ``load``: what keeps the computer busy meanwhile.

Every function prints tables and returns the figures:

    from cosmos_policy_ros.bench.control import measure_control

    figures = measure_control(seconds=60.0)
"""

# SPDX-License-Identifier: Apache-2.0
"""A running stack in the terminal: started, shown and ended there, or found, shown and operated.

- A stack that a command starts, shows while it runs and ends (``live``): a ``demo`` with its view
  ``demo_terminal``, a ``replay`` of a bag, a live ``demonstration``, the ``arms`` moved by name
  with the ``gripper_scale`` that is measured so, ``faults``, and one ``rollout`` of a comparison.
- A stack that runs already, reached by a node that stays: the ``estop`` under a key, ``operate``
  with all other keys, and its ``status``. What was ``typed`` before somebody was asked is no
  answer.
"""

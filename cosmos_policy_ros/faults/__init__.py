# SPDX-License-Identifier: Apache-2.0
"""Faults injected into the running stack, and whether it did what is right.

``verdict.py`` judges what was seen and needs no ROS. ``bench.py`` runs the stack behind a proxy of
its sensors, and the other files are the kinds of faults, by what they disturb; ``table.py`` has
them all.
"""

# SPDX-License-Identifier: Apache-2.0
"""Contracts and recordings of rosetta, which records and runs policies on ROS 2 robots too."""

# SPDX-License-Identifier: Apache-2.0
"""Run, plan with and train Cosmos Policy on bimanual robots through ROS 2."""

__version__ = '0.1.0'

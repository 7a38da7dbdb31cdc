# SPDX-License-Identifier: Apache-2.0
"""The ROS side of the nodes: parameters, messages, sensing, arms, diagnostics."""

# SPDX-License-Identifier: Apache-2.0
"""What speaks ROS for the nodes: parameters, messages, sensing, arms, diagnostics."""

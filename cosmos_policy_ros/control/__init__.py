# SPDX-License-Identifier: Apache-2.0
"""From action chunks to safe joint commands, and the pace of planning queries; numpy, no ROS."""

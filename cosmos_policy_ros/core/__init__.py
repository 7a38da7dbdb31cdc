# SPDX-License-Identifier: Apache-2.0
"""The policy itself: layout, codec, diffusion, checkpoint and planner; torch, no ROS."""

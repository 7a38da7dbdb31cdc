# SPDX-License-Identifier: Apache-2.0
"""Whether the robot on the ROS graph is the one in the robot file, finding by finding."""

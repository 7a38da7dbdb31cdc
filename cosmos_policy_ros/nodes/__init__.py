# SPDX-License-Identifier: Apache-2.0
"""One executable per file; each converts messages, calls one ROS-free object and publishes."""

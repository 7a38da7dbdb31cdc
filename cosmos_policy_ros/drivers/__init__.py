# SPDX-License-Identifier: Apache-2.0
"""Cameras as generators of images with their capture times; a driver is one file, without ROS."""

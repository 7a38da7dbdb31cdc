# SPDX-License-Identifier: Apache-2.0
"""Episodes as LeRobot data sets."""

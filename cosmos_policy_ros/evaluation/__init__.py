# SPDX-License-Identifier: Apache-2.0
"""A policy in the simulator, faster than real time, as a library."""

# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's published files and what they become: a checkpoint folder."""

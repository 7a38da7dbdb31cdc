# SPDX-License-Identifier: Apache-2.0
"""Scripted experts, who see the true poses: one file per simulated task."""

# SPDX-License-Identifier: Apache-2.0
"""The simulated tasks, one file each, with a scripted expert that gets the true poses."""

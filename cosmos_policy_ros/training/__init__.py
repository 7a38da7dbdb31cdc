# SPDX-License-Identifier: Apache-2.0
"""From a folder of episodes to a checkpoint."""

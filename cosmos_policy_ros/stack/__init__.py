# SPDX-License-Identifier: Apache-2.0
"""Which processes make up the running stack, how they start and how they end."""

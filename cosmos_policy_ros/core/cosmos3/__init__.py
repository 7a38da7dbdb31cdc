# SPDX-License-Identifier: Apache-2.0
"""Cosmos 3 policies: what their files do not say, how they are asked, and the policy itself."""

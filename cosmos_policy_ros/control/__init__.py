# SPDX-License-Identifier: Apache-2.0
"""What turns action chunks into joint commands, and when to ask for chunks; numpy only."""

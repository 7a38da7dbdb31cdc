# SPDX-License-Identifier: Apache-2.0
"""What turns action chunks into joint commands: the chunk player, the safety and a state gate."""

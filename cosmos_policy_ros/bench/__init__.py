# SPDX-License-Identifier: Apache-2.0
"""What is slow, late or lost."""

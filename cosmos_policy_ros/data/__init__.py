# SPDX-License-Identifier: Apache-2.0
"""Episodes on disk; torch only in ``dataset.py``."""

# SPDX-License-Identifier: Apache-2.0
"""Episodes on disk: every format is read to an ``Episode`` and written from one."""

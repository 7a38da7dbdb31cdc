# SPDX-License-Identifier: Apache-2.0
"""Episodes as rosbags: reading, writing, recording and recovery."""

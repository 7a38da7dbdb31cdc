# SPDX-License-Identifier: Apache-2.0
"""The page in a browser that shows and operates a running stack: its server, and its 3D view."""

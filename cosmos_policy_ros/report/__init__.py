# SPDX-License-Identifier: Apache-2.0
"""What a person looks at afterwards: page, plots, film, terminal."""

# SPDX-License-Identifier: Apache-2.0
"""The hardware design: its description, what is sent to it, what it costs, and its simulation."""

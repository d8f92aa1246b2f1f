# SPDX-License-Identifier: Apache-2.0
"""Text-line recognition in integers: the same bits on a CPU and on an FPGA."""

__version__ = "0.1.0"

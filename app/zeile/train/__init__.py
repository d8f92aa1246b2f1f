# SPDX-License-Identifier: Apache-2.0
"""Training: data, the trainable twin of a network, the loop, export. The only part that imports torch."""

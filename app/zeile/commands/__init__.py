# SPDX-License-Identifier: Apache-2.0
"""What the commands of ``zeile`` do, a file each, imported only when the command is given."""

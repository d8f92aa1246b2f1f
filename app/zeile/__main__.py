# SPDX-License-Identifier: Apache-2.0
"""``python -m zeile`` is the command ``zeile``."""

import sys

from zeile.cli import main

sys.exit(main())

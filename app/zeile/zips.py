# SPDX-License-Identifier: Apache-2.0
"""What zipfile raises when a file is not a zip, or damaged, or packed in a way that it does not read."""

import zipfile
import zlib

DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError)

# SPDX-License-Identifier: Apache-2.0
"""For servers: ``uvicorn zeile.asgi:app``. A setting that cannot be used ends the process with a sentence and 2."""

import sys

from zeile.errors import BadSettings
from zeile.service import logs
from zeile.service.app import create_app
from zeile.settings import Settings

try:
    settings = Settings()
    logs.install(settings.log)
    app = create_app(settings)
except BadSettings as error:  # whoever starts a server reads a sentence, not the traceback of an import
    print(f"zeile: {error}", file=sys.stderr)
    sys.exit(2)

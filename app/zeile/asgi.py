# SPDX-License-Identifier: Apache-2.0
"""For servers: ``uvicorn zeile.asgi:app``."""

from zeile.service.app import create_app
from zeile.settings import Settings

app = create_app(Settings())

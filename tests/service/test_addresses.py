# SPDX-License-Identifier: Apache-2.0
"""Without keys a client is its address."""

from __future__ import annotations

from pathlib import Path

import httpx
from tests.models import line_png
from tests.service.serving import refused, serving

from zeile.settings import Settings

FORM = [("files", (f"{number}.png", line_png(1))) for number in range(200)]


def test_an_address_is_held_to_its_rate_and_others_are_not(models: Path) -> None:
    with serving(Settings(models=models, model="tiny/1", rate=1)) as service:

        def post(address: str) -> httpx.Response:
            with httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=60) as client:
                return client.post(f"{service.base_url}/v1/recognize", files=FORM)

        assert post("127.0.0.2").status_code == 200
        late = post("127.0.0.2")
        assert "'127.0.0.2'" in refused(late, 429, "too-fast")
        assert int(late.headers["retry-after"]) > 100
        assert post("127.0.0.3").status_code == 200
        assert service.get("/livez").status_code == 200, "who asks for no lines is not held up"

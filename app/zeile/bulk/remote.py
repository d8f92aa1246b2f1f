# SPDX-License-Identifier: Apache-2.0
"""Reads through services: forms of some lines each, as many on their way as the services are given at a time."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

from PIL import Image

from zeile.bulk.images import Images
from zeile.bulk.readers import BATCH_LINES, Reading
from zeile.bulk.rows import Answer, Facts, answer, unread
from zeile.errors import BadImage, BadJob, BadSettings, FleetError, bare
from zeile.fleet import Fleet, FleetAnswer
from zeile.image import decode
from zeile.settings import Settings

MOST_BYTES = 4 << 20
"""Of the images of a request, unless a single one has more."""

_BOUNDARY = "zeile-bulk-5f0be1c27a"
_FORM = {"content-type": f"multipart/form-data; boundary={_BOUNDARY}", "accept": "application/json"}
_ABOUT_IMAGES = ("image-too-large", "bad-image", "body-too-large")  # problems of a request that is a single image
_NO_IMAGE = (b"PK\3\4", b"PK\5\6")  # beginnings of zip files, which a service unpacks

T = TypeVar("T")


class _Sent(NamedTuple):
    """An image on its way: its place among those asked for, its SHA-256, and itself."""

    place: int
    sha256: str | None
    data: bytes


class Remote:
    """Reads through a fleet of services.

    Args:
        urls: of the services.
        model: as they are asked for it; None for their default.
        settings: limits on images.
        reading: of the model; None takes its default.
        beam: width of the beam search; 0 takes the best path.
        key: API key.
        in_flight: requests to one service at a time.
        deadline_s: seconds that a request may take with all its tries.

    Raises:
        FleetError: none of the services answers.
        BadSettings: they do not know the model or reading.
    """

    def __init__(
        self,
        urls: Sequence[str],
        model: str | None,
        settings: Settings,
        *,
        reading: str | None = None,
        beam: int = 0,
        key: str | None = None,
        in_flight: int = 4,
        deadline_s: float = 300.0,
    ) -> None:
        asked = {"model": model, "reading": reading, "beam": beam or None, "priority": "bulk"}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        self._path = f"/v1/recognize?{query}"
        self._limits = settings.image_limits()
        self._most = in_flight * len(urls) + 1  # one waits, so that no service does
        self._fleet = Fleet(urls, key=key, in_flight=in_flight, deadline_s=deadline_s)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="zeile-fleet", daemon=True)
        self._thread.start()
        self._seen: dict[str, Any] = {}
        self._facts: Facts | None = None
        try:
            self._begin(self._fleet.__aenter__()).result()
            self._begin(self._read([_blank()])).result()
        except BaseException:
            self.close()
            raise

    @property
    def facts(self) -> Facts:
        assert self._facts is not None, "the constructor has asked"
        return self._facts

    def origin(self) -> Mapping[str, Any]:
        seen, self._seen = self._seen, {}
        return {name: sorted(values) for name, values in seen.items()}

    def read(self, images: Images, names: Sequence[str], progress: Callable[[int], None]) -> list[Reading]:
        readings: list[Reading | None] = [None] * len(names)
        on_way: dict[Future[list[Answer]], list[_Sent]] = {}
        unsent = len(names)

        def land(most: int) -> None:
            while len(on_way) > most:
                for done in wait(on_way, return_when=FIRST_COMPLETED).done:
                    batch = on_way.pop(done)
                    for sent, said in zip(batch, done.result(), strict=True):
                        readings[sent.place] = Reading(sent.sha256, said)
                    progress(len(batch))

        try:
            for batch in self._batches(images, names, readings):
                land(self._most - 1)
                on_way[self._begin(self._read([sent.data for sent in batch]))] = batch
                unsent -= len(batch)
            land(0)
            progress(unsent)
        finally:
            for future in on_way:
                future.cancel()
        read = [reading for reading in readings if reading is not None]
        assert len(read) == len(names)
        return read

    def close(self) -> None:
        if self._thread.is_alive():
            self._begin(self._fleet.__aexit__(None, None, None)).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    def _batches(self, images: Images, names: Sequence[str], readings: list[Reading | None]) -> Iterator[list[_Sent]]:
        """The images that are to be sent, some at a time; those that need not be are answered here."""
        batch: list[_Sent] = []
        size = 0
        for place, name in enumerate(names):
            fetched = images.fetch(name)
            data = self._sendable(fetched.data)
            if isinstance(data, BadImage):
                readings[place] = Reading(fetched.sha256, answer(data))
                continue
            if batch and (len(batch) == BATCH_LINES or size + len(data) > MOST_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(_Sent(place, fetched.sha256, data))
            size += len(data)
        if batch:
            yield batch

    def _sendable(self, data: bytes | BadImage) -> bytes | BadImage:
        """A file, or why it is not sent: a service would take it for something else than an image."""
        if isinstance(data, BadImage) or (data and not data.startswith(_NO_IMAGE)):
            return data
        try:
            decode(data, self._limits)
        except BadImage as error:
            return bare(error)
        raise AssertionError("neither nothing nor a zip file is an image")

    async def _read(self, data: Sequence[bytes]) -> list[Answer]:
        """Have images read together, or in halves if that is refused."""
        answered = await self._fleet.post(self._path, _form(data), _FORM)
        if answered.status == 200:
            facts, lines = self._understood(answered)
            if len(lines) != len(data):
                raise FleetError(f"{answered.url}: {len(lines)} lines for {len(data)} images; is it a zeile service?")
            # A service may have another model under the same name, and get one at any time.
            self._facts = self._facts or facts
            if difference := facts.differences(self._facts):
                raise BadJob(f"{answered.url}: reads with {difference} as the others; load the same model there")
            return lines
        kind, detail = _problem(answered)
        if not kind.endswith(_ABOUT_IMAGES):
            raise BadSettings(
                f"{answered.url}: {answered.status} {detail or kind or 'without a problem that it names'}"
            )
        if len(data) == 1:
            return [unread("image-too-large" if answered.status == 413 else "bad-image", detail)]
        half = len(data) // 2
        return await self._read(data[:half]) + await self._read(data[half:])

    def _understood(self, answered: FleetAnswer) -> tuple[Facts, list[Answer]]:
        """What an answer was read with, and its lines."""
        try:
            body = json.loads(answered.body)
            model, origin = body["model"], body["provenance"]
            name, options = f"{model['name']}/{model['version']}", origin["options"]
            facts = Facts(name, str(model["sha256"]), options["reading"], int(options["beam"] or 0))
            self._note("services", answered.url)
            self._note("engine", str(body["engine"]["engine"]))
            self._note("software", str(origin["software"]["version"]))
            return facts, [_line(line) for line in body["lines"]]
        except (ValueError, KeyError, TypeError):
            raise FleetError(
                f"{answered.url}: 200, but not the JSON of /v1/recognize; is it a zeile service?"
            ) from None

    def _note(self, name: str, value: str) -> None:
        self._seen.setdefault(name, set()).add(value)

    def _begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)


def _line(line: Mapping[str, Any]) -> Answer:
    problem = line.get("error")
    return unread(problem["type"], problem["detail"]) if problem else line


def _problem(answered: FleetAnswer) -> tuple[str, str]:
    """Type and detail of a problem."""
    try:
        problem = json.loads(answered.body)
        return str(problem["type"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return "", ""


def _blank() -> bytes:
    """An image of nothing, to hear what a service reads with."""
    buffer = io.BytesIO()
    Image.new("L", (80, 30), 240).save(buffer, "PNG")
    return buffer.getvalue()


def _form(data: Sequence[bytes]) -> bytes:
    """Images as a form; names are left here."""
    parts = []
    for number, image in enumerate(data):
        disposition = f'form-data; name="files"; filename="{number}"'
        head = f"--{_BOUNDARY}\r\nContent-Disposition: {disposition}\r\nContent-Type: application/octet-stream\r\n\r\n"
        parts += [head.encode(), image, b"\r\n"]
    return b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()

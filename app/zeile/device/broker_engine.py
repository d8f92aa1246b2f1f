# SPDX-License-Identifier: Apache-2.0
"""The broker's devices and the thread that owns them, and the models that it may run: those of its own folder."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from zeile.device import Device, Frames, Scores, open_device
from zeile.device.broker_frames import digest_of
from zeile.errors import BadManifest, BadSettings, DeviceFault, DeviceTimeout, ZeileError
from zeile.manifest import find_model, list_models, load_model
from zeile.network import Network
from zeile.schema import MANIFEST
from zeile.settings import Settings

log = logging.getLogger(__name__)

Result = tuple[dict[str, Any], list[Scores]]
"""Facts of a device, and scores of lines."""

MAX_OPEN = 4
"""Networks that a device is kept for; the one unused for longest is closed first."""

LONGEST_S = 120.0
"""A piece of work that takes longer will not end: the engine counts as hanging."""


class Engine:
    """Devices of a broker.

    Args:
        settings: engine, its threads, and the folder of models.
        clock: monotonic seconds.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._devices: OrderedDict[bytes, Device] = OrderedDict()
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="zeile-engine", daemon=True)
        self._reader = ThreadPoolExecutor(1, "zeile-models")
        self._shelf = _Shelf(settings)
        self._began: float | None = None

    def start(self) -> None:
        """Start the thread, and open the device for the default model; if that fails, the log says why."""
        self._thread.start()

        def opened(network: Future[Network]) -> None:
            if network.exception() is None:
                self.run(digest_of(network.result()), network.result(), []).add_done_callback(_logged)

        default = self._reader.submit(self._shelf.default)
        default.add_done_callback(_logged)
        default.add_done_callback(opened)

    def close(self) -> None:
        """Finish what was asked for and close the devices."""
        self._reader.shutdown()
        self._work.put(None)
        if self._thread.is_alive():
            self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread works, or waits for work."""
        began = self._began
        return self._thread.is_alive() and (began is None or self._clock() - began < LONGEST_S)

    def network(self, digest: bytes) -> Future[Network]:
        """The network of a digest; fails with BadManifest if the folder of models has none like it."""
        if (known := self._shelf.known.get(digest)) is None:
            return self._reader.submit(self._shelf.find, digest)
        done: Future[Network] = Future()
        done.set_result(known)
        return done

    def run(self, digest: bytes, network: Network, lines: Sequence[Frames]) -> Future[Result]:
        """Facts of the device and the scores of the lines; without lines, the device is opened."""

        def work() -> Result:
            device = self._device(digest, network)
            try:
                scores = device.run_batch(lines) if lines else []
            except (DeviceFault, DeviceTimeout):
                self._devices.pop(digest).close()  # the next try opens it anew
                raise
            return device.info, scores

        return self._put(work)

    def rails(self) -> Future[dict[str, float]]:
        """Watts by rail of the board; empty where it has none."""

        def work() -> dict[str, float]:
            read = next((found for d in self._devices.values() if (found := getattr(d, "rails", None))), None)
            return dict(read()) if read else {}

        return self._put(work)

    def _put(self, work: Callable[[], Any]) -> Future[Any]:
        result: Future[Any] = Future()

        def step() -> None:
            self._began = self._clock()
            try:
                result.set_result(work())
            except ZeileError as error:
                result.set_exception(error)
            except Exception as error:
                log.exception("the engine failed")
                result.set_exception(DeviceFault(f"the broker's engine failed: {type(error).__name__}: {error}"))
            finally:
                self._began = None

        self._work.put(step)
        return result

    def _run(self) -> None:
        while step := self._work.get():
            step()
        while self._devices:
            self._devices.popitem()[1].close()

    def _device(self, digest: bytes, network: Network) -> Device:
        if digest not in self._devices:
            if len(self._devices) == MAX_OPEN:
                self._devices.popitem(last=False)[1].close()
            settings = self._settings
            self._devices[digest] = open_device(settings.engine, network, settings.threads, settings)
        self._devices.move_to_end(digest)
        return self._devices[digest]


class _Shelf:
    """Networks of a folder of models by digest; read by one thread.

    Attributes:
        known: those that were found, most recent last.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.known: dict[bytes, Network] = {}
        self._digests: dict[tuple[Path, int, int], bytes] = {}  # folder, and what changes with its manifest

    def default(self) -> Network:
        """The network of the settings' model."""
        return load_model(find_model(self._settings.model, self._settings.models)).network

    def find(self, digest: bytes) -> Network:
        """The network of a digest.

        Raises:
            BadManifest: no model here has it.
        """
        for folder in self._folders():
            try:
                status = (folder / MANIFEST).stat()
                place = (folder, status.st_mtime_ns, status.st_ino)
                if self._digests.get(place, digest) != digest:
                    continue
                network = load_model(folder).network
            except (BadManifest, OSError) as error:
                log.warning("model %s is passed over: %s", folder, error)
                continue
            self._digests[place] = digest_of(network)
            if self._digests[place] == digest:
                while len(self.known) >= MAX_OPEN:
                    del self.known[next(iter(self.known))]
                self.known[digest] = network
                return network
        raise BadManifest(
            f"the broker has no model with the network {digest.hex()[:12]}...; "
            f"give it the same folder of models as the service (it reads {self._settings.models})"
        )

    def _folders(self) -> list[Path]:
        folders = list_models(self._settings.models)
        try:
            return [find_model(self._settings.model, self._settings.models), *folders]
        except BadSettings:
            return folders


def _logged(result: Future[Any]) -> None:
    if error := result.exception():
        log.error("the default model cannot be run: %s", error)

# SPDX-License-Identifier: Apache-2.0
"""One service of a fleet: whether requests may go there, how many are there, and how fast it answers.

A member is *down* from when it refuses or breaks a connection, or no longer answers ``/readyz``, until ``/readyz`` says
200. It *rests* as long as its Retry-After says, and takes no more requests at a time afterwards than those that it had
not refused, until some time has shown that it can take one more. It also rests after an answer that shows a fault, for
a quarter of a second that doubles each time: a broken service answers fast, and would otherwise draw all requests.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable

from zeile.http import Host, NoAnswer, Refused, Reply

READY = "/readyz"
FALL = 3
"""Probes in a row without an answer until a member is given up, and what it was asked is asked elsewhere."""

REST_S, LONGEST_S = 0.25, 60.0
"""First rest after a fault; longest rest of any reason."""

RISE_S = 3.0
"""After a refusal one more request is sent at a time when this is over, and again."""

BACK_S = 10.0
"""Longest rest after faults."""

PROBE_BACK_S = 5.0
"""Longest pause between two probes of a member that is down."""

FULL = (408, 429, 503)
"""The service has no time for the request."""

_SMOOTH = 0.2
"""Weight of an answer in the mean time of answers."""


class Member:
    """See above.

    Args:
        url: of the service.
        in_flight: most requests there at a time.
        probe_s: seconds between two probes; a probe may take twice as long.
        freed: called when requests may go there that might not before.

    Attributes:
        url: as given.
        host: to ask it.
        on_way: requests there.
        answered: how many it has answered.
        said: what its last answer was that was no answer to a request; empty if there was none yet.

    Raises:
        BadSettings: the URL is none of HTTP.
    """

    def __init__(self, url: str, in_flight: int, probe_s: float, freed: Callable[[], None]) -> None:
        self.url = url
        self.host = Host(url, connect_s=2 * probe_s)
        self.on_way, self.answered, self.said = 0, 0, ""
        self._in_flight, self._probe_s, self._freed = in_flight, probe_s, freed
        self._takes, self._rises_at = in_flight, 0.0
        self._down, self._silent, self._faults = False, 0, 0
        self._rests_until, self._mean_s = 0.0, 0.0
        self._doubted: asyncio.Future[None] | None = None

    @property
    def down(self) -> bool:
        """Whether it is not there, or not ready."""
        return self._down

    @property
    def load(self) -> tuple[float, int]:
        """Seconds of work that is ahead of one more request, as far as can be told from here; smaller is better."""
        return self.on_way * self._mean_s, self.on_way

    def open_at(self, now: float) -> float | None:
        """When the next request may go there: ``now``, later if it rests; None while nobody can tell."""
        if self._down or self.on_way >= self._takes:
            return None
        return max(now, self._rests_until)

    def answer(self, seconds: float, now: float) -> None:
        """Note an answer that is one, and how long it took."""
        self.answered += 1
        self._faults = 0
        self._mean_s += (seconds - self._mean_s) * (_SMOOTH if self._mean_s else 1)
        if self._takes < self._in_flight and now >= self._rises_at:
            self._takes, self._rises_at = self._takes + 1, now + RISE_S

    def full(self, reply: Reply, now: float) -> None:
        """Note an answer that says that it has no time now; the request still counts as on its way."""
        self.said = summary(reply)
        asked = reply.header("retry-after")[:9]
        self._rest(now, min(LONGEST_S, float(asked) if asked.isdecimal() else 1.0))
        self._takes = max(1, min(self._takes, self.on_way - 1))
        self._rises_at = self._rests_until + RISE_S

    def fault(self, reply: Reply, now: float) -> None:
        """Note an answer that shows a fault of the service."""
        self.said = summary(reply)
        self._fault(now)

    def broken(self, error: NoAnswer, now: float) -> None:
        """Note that it could not be reached, or ended before it answered; it is asked at once whether it lives."""
        self.said = str(error)
        self._fault(now)
        self._down = True
        if self._doubted is not None and not self._doubted.done():
            self._doubted.set_result(None)

    def _fault(self, now: float) -> None:
        if self._down or self._rests_until > now:
            return  # several requests of the same moment are one fault
        self._faults += 1
        self._rest(now, min(BACK_S, REST_S * 2.0 ** (self._faults - 1)))

    def _rest(self, now: float, seconds: float) -> None:
        # Clients that were refused together do not come back together.
        self._rests_until = max(self._rests_until, now + seconds * random.uniform(1, 1.1))

    async def watch(self, alone: Callable[[], bool]) -> None:
        """Probe it for as long as this runs.

        Args:
            alone: whether no other member would take its requests.
        """
        pause = self._probe_s
        while True:
            doubted = self._doubted = asyncio.get_running_loop().create_future()
            await self._probe(alone)
            pause = min(PROBE_BACK_S, 2 * pause) if self._down else self._probe_s
            if not 0 < self._silent < FALL:  # one that is silent has been waited for already
                await asyncio.wait((doubted,), timeout=pause * random.uniform(0.9, 1.1))

    async def _probe(self, alone: Callable[[], bool]) -> None:
        request = f"GET {self.host.path.rstrip('/')}{READY} HTTP/1.1\r\nHost: {self.host.name}\r\n\r\n".encode()
        try:
            reply = await self.host.ask(request, 2 * self._probe_s)
        except Refused as error:  # what it still works on it may yet answer, or its connections end by themselves
            self.said, self._down, self._silent = str(error), True, 0
            return
        except NoAnswer as error:
            self._silent += 1
            self.said = f"{READY}: {error}"
            # If all are silent it may be this machine that is slow, and asking anew would only add to that.
            if self._silent >= FALL and not alone():
                self._down = True
                self.host.give_up(f"{READY} was not answered {self._silent} times")
            return
        self._silent = 0
        ready = reply.status < 500  # others than 200 come from what stands before the service
        if not ready:
            self.said = summary(reply)
        came_back, self._down = self._down and ready, not ready
        if came_back:
            self._takes = self._in_flight
            self._freed()


def summary(reply: Reply) -> str:
    """An answer in a few words: its status, and of a problem (RFC 9457) what is wrong."""
    detail = ""
    if reply.header("content-type").startswith("application/problem+json"):
        try:
            detail = str(json.loads(reply.body)["detail"])
        except (ValueError, KeyError, TypeError):
            detail = ""
    return f"{reply.status} {detail[:300]}".strip()

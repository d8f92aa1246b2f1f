# SPDX-License-Identifier: Apache-2.0
"""Which service gets a request, and what becomes of one that got no answer.

Of two members chosen at random the one with less work ahead gets it: the power of two choices. Work ahead is requests
on their way there times the mean time of an answer, both measured here, which counts other clients' load and slower
machines too, and needs nobody else's word for it.

Source: M. Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, IEEE TPDS 12(10), 2001.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from zeile.errors import BadSettings, FleetError
from zeile.fleet.member import FULL, Member
from zeile.http import NoAnswer, NotConnected, Reply

TRIES = 2
"""Times that a request may break each member, or be answered with a fault by it; then it is the request's own fault."""

DEADLINE = "x-zeile-deadline-ms"


@dataclass(frozen=True, slots=True)
class FleetAnswer:
    """What a service answered.

    Attributes:
        status: of HTTP; below 500, and neither 408 nor 429.
        headers: by lower-case name.
        body: without its transfer coding.
        url: of the service, as it was given.
        tries: times that the request was sent, or a connection for it was sought.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    tries: int


class Fleet:
    """Several services that read with the same model; use it as an asynchronous context manager.

    Args:
        urls: of the services, as http://board1:8000.
        key: API key for all of them.
        in_flight: most requests to one service at a time; others wait here, where a service that comes back or is
            faster than thought can still take them.
        deadline_s: seconds that a request may take, all tries together.
        probe_s: seconds between two questions to each service whether it is ready. One that is silent is given up
            after seven times as long.

    Raises:
        BadSettings: there is no URL, one of them twice, or a number that makes no sense.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        key: str | None = None,
        in_flight: int = 8,
        deadline_s: float = 60.0,
        probe_s: float = 0.5,
    ) -> None:
        if not urls or len(set(urls)) < len(urls):
            raise BadSettings(f"{list(urls)} must name at least one service, and none twice")
        if in_flight < 1 or deadline_s <= 0 or probe_s <= 0:
            raise BadSettings(
                f"requests in flight are {in_flight}, the deadline {deadline_s:g} s, probes every {probe_s:g} s; "
                "all must be above 0"
            )
        self._authorization = {} if key is None else {"authorization": f"Bearer {key}"}
        self._deadline_s = deadline_s
        self._members = [Member(url, in_flight, probe_s, self._share_out) for url in urls]
        self._waiting: deque[asyncio.Future[Member]] = deque()
        self._timer: asyncio.TimerHandle | None = None  # for when the next rest is over
        self._watches: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Fleet:
        self._watches = [asyncio.ensure_future(each.watch(self._alone(each))) for each in self._members]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        for each in self._members:
            each.host.give_up("the fleet was closed")
        await asyncio.sleep(0)  # for the transports to end before the loop does

    @property
    def shares(self) -> Mapping[str, int]:
        """Requests that each service has answered."""
        return {each.url: each.answered for each in self._members}

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> FleetAnswer:
        """As ``post``, for what is only asked for."""
        return await self.request("GET", path, b"", headers or {})

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> FleetAnswer:
        """Have one of the services answer; only for what may be done twice, as reading may.

        Args:
            path: and query, below the path of each URL.
            body: of the request.
            headers: beside Host, Content-Length and Authorization. Unless there is one, the time left is sent as
                X-Zeile-Deadline-Ms, so that a service does nothing that nobody waits for any more.

        Raises:
            FleetError: no service has answered before the deadline, or it is this request that breaks them.
            BadSettings: the path or a header cannot be sent.
        """
        return await self.request("POST", path, body, headers)

    async def request(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> FleetAnswer:
        """As ``post``, with any method that may be repeated."""
        clock = asyncio.get_running_loop().time
        end, tries, faults = clock() + self._deadline_s, 0, 0
        asked = {name.lower(): value for name, value in headers.items()}
        while clock() < end and (member := await self._place(end)) is not None:
            began, tries = clock(), tries + 1
            try:
                timed = {DEADLINE: str(max(1, int(1000 * (end - began))))} | self._authorization | asked
                reply = await member.host.ask(_written(member, method, path, body, timed), end - began)
                faults += self._seen(member, reply, clock() - began)
                if reply.status < 500 and reply.status not in FULL:
                    return FleetAnswer(reply.status, reply.headers, reply.body, member.url, tries)
            except NoAnswer as error:
                if clock() < end:  # else this request's time is over, which says nothing about the service
                    member.broken(error, clock())
                    faults += not isinstance(error, NotConnected)
            finally:
                self._leave(member)
            if faults >= TRIES * max(2, len(self._members)):
                raise self._error(f"{method} {path} has broken its services {faults} times, so it may be the request")
        raise self._error(f"no service has answered {method} {path} within {self._deadline_s:g} s, {tries} tries")

    def _seen(self, member: Member, reply: Reply, seconds: float) -> bool:
        """Tell the member what it has answered; whether that shows a fault of it."""
        now = asyncio.get_running_loop().time()
        if reply.status in FULL:
            member.full(reply, now)
        elif reply.status >= 500:
            member.fault(reply, now)
            return True
        elif not (reply.header("content-length") or reply.header("transfer-encoding")) and reply.body:
            raise NoAnswer("the answer has no length, so nobody can tell whether it is whole")
        else:
            member.answer(seconds, now)
        return False

    async def _place(self, end: float) -> Member | None:
        """A place for a request, taken; None once the time is over."""
        place: asyncio.Future[Member] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._share_out()
        try:
            if not place.done():
                await asyncio.wait((place,), timeout=end - asyncio.get_running_loop().time())
        except asyncio.CancelledError:
            if place.done():
                self._leave(place.result())
            raise
        finally:
            place.cancel()
        return None if place.cancelled() else place.result()

    def _leave(self, member: Member) -> None:
        member.on_way -= 1
        self._share_out()

    def _share_out(self) -> None:
        """Give the places that are free to those who have waited longest."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting:
            if self._waiting[0].done():  # given up
                self._waiting.popleft()
                continue
            times = [(when, each) for each in self._members if (when := each.open_at(loop.time())) is not None]
            free = [each for when, each in times if when <= loop.time()]
            if not free:
                if times:
                    self._timer = loop.call_at(min(when for when, _ in times), self._share_out)
                return
            member = min(random.sample(free, min(2, len(free))), key=lambda each: each.load)
            member.on_way += 1
            self._waiting.popleft().set_result(member)

    def _alone(self, member: Member) -> _Alone:
        return _Alone(self._members, member)

    def _error(self, what: str) -> FleetError:
        said = "; ".join(f"{each.url}: {each.said or 'nothing'}" for each in self._members)
        return FleetError(f"{what}. They said last: {said}. See that the services run and are ready (/readyz)")


@dataclass(frozen=True, slots=True)
class _Alone:
    """Whether no member but one would take requests."""

    members: Sequence[Member]
    but: Member

    def __call__(self) -> bool:
        return all(each.down for each in self.members if each is not self.but)


def _written(member: Member, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {member.host.path.rstrip('/')}{path} HTTP/1.1", f"Host: {member.host.name}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
    if not path.startswith("/") or len(path.split()) != 1 or head.count("\n") != len(lines) + 2:
        raise BadSettings(
            f"{path!r} with the headers {', '.join(headers)!r} cannot be sent; a path begins with / and has no blanks, "
            "and a header is one line"
        )
    return head.encode("latin-1", "replace") + body

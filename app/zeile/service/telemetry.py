# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry, where it is installed and whoever starts the service has set it up: a span a request.

The request's span goes on from the client's traceparent. Below it is one for each stage that its lines went through,
laid one behind the other in the order of the stages; of several lines they are sums, and may be longer than the
request. Nothing here sends anything anywhere: that is the exporter's part, which is not ours.
"""

from __future__ import annotations

import time

from starlette.datastructures import Headers
from starlette.types import Scope

try:
    from opentelemetry import trace as api
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:  # the extra "telemetry"
    TRACES = False
else:
    TRACES = True


def wanted() -> bool:
    """Whether somebody has set it up."""
    return TRACES and not isinstance(api.get_tracer_provider(), api.ProxyTracerProvider)


def trace(scope: Scope, route: str, status: int, seconds: float) -> None:
    """Tell of a request that has just ended.

    Args:
        scope: of the request.
        route: its path without what varies.
        status: of its answer.
        seconds: that it took.
    """
    if not wanted():
        return
    tracer = api.get_tracer("zeile")
    ended = time.time_ns()
    began = ended - int(seconds * 1e9)
    carrier = {"traceparent": Headers(scope=scope).get("traceparent", "")}
    client = TraceContextTextMapPropagator().extract(carrier)
    name = f"{scope['method']} {route}"
    span = tracer.start_span(name, client, api.SpanKind.SERVER, start_time=began)
    if span.is_recording():
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("zeile.request_id", scope["state"]["request_id"])
        ticket, at = scope["state"].get("ticket"), began
        inside = api.set_span_in_context(span)
        for stage, took in ticket.stages.items() if ticket is not None else ():
            child = tracer.start_span(stage, inside, start_time=at)
            at += int(took * 1e9)
            child.end(end_time=at)
        if status >= 500:
            span.set_status(api.StatusCode.ERROR)
    span.end(end_time=ended)

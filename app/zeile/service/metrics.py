# SPDX-License-Identifier: Apache-2.0
"""What the service counts, for Prometheus: base units, one registry an app, names as operators expect them.

Counters count what was acknowledged, so that they equal the tally that a client keeps of its answers.
"""

from __future__ import annotations

from collections import deque

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_LINES = (1, 2, 4, 8, 16, 24, 32, 48, 64)


class Metrics:
    """The metrics of one app; each attribute is the metric ``zeile_`` and its name.

    Attributes:
        registry: holds them all; whoever measures something of its own registers a collector here.
        latencies: when the last requests with lines were answered, and how long it took, ``time.monotonic`` seconds
            both; for the page, which shows exact quantiles of the last seconds.
    """

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.latencies: deque[tuple[float, float]] = deque(maxlen=8192)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"zeile_{name}", text, labels, registry=own)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"zeile_{name}", text, labels, registry=own)

        def histogram(name: str, text: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
            return Histogram(f"zeile_{name}", text, registry=own, buckets=buckets)

        self.requests = counter("requests", "Answers, by endpoint and outcome", "endpoint", "outcome")
        """outcome: ok, refused (4xx), overloaded (429, 503), failed (500, 504), canceled (nobody waited any more)."""
        self.lines = counter("lines", "Lines read, by engine and model", "engine", "model")
        self.bad_images = counter("bad_images", "Images that could not be read")
        self.batches = counter("batches", "Batches that the engine read")
        self.rejected = counter("rejected", "Requests turned away, by reason", "reason")
        self.dropped = counter("dropped_lines", "Lines taken from the queue unread, by reason", "reason")
        """reason: canceled, expired."""
        self.queue_lines = gauge("queue_lines", "Lines that wait")
        self.queue_bytes = gauge("queue_bytes", "Bytes of their images")
        self.in_flight = gauge("requests_in_flight", "Requests that are worked on")
        self.batch_lines = histogram("batch_lines", "Lines of a batch", _LINES)
        self.request_seconds = histogram("request_seconds", "A request, from its first byte to its last")
        self.queue_seconds = histogram("queue_seconds", "A line's wait")
        self.decode_seconds = histogram("decode_seconds", "A batch: image files to grey pixels")
        self.preprocess_seconds = histogram("preprocess_seconds", "A batch: grey pixels to lines of the model's height")
        self.infer_seconds = histogram("infer_seconds", "A batch: the engine")
        self.postprocess_seconds = histogram("postprocess_seconds", "A batch: scores to text")
        self.faults = counter("accelerator_faults", "Faults of the device, by kind", "kind")
        self.timeouts = counter("accelerator_timeouts", "Times that the device did not answer in time")
        self.retries = counter("accelerator_retries", "Batches given to the device again")
        self.fallbacks = counter("fallback_lines", "Lines that the CPU read in the device's place")
        self.circuit = gauge("circuit_open", "1 while the device is left alone")
        self.checked = counter("cross_checked_lines", "Lines of the device that the CPU read again")
        self.mismatches = counter("backend_mismatch", "Of these, lines that differed")
        self.self_test = gauge("selftest_ok", "1 if the last self-test gave the expected integers")
        self.swaps = counter("model_swaps", "Times that an alias or the default was pointed elsewhere")
        self.models_open = gauge("models_open", "Models on an engine")
        self.audit_records = counter("audit_records", "Records of the audit log")
        self.audit_failures = counter("audit_failures", "Records that could not be written")
        self.build = Info("zeile_build", "Versions", registry=own)

    def text(self) -> bytes:
        """All of them, as MEDIA_TYPE."""
        return generate_latest(self.registry)

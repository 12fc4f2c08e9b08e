"""OpenTelemetry: a span for each run that did something, and the runs' durations and changes. Needs the extra ``otel``.

Sent by OTLP over HTTP, in batches and from a thread of its own, so that a collector that is away slows nothing down. Further
settings are OpenTelemetry's own variables, such as OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES.
"""

from __future__ import annotations

import logging

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, Status, StatusCode, TracerProvider

from returnclock import __version__
from returnclock.telemetry import masked
from returnclock.witnesses.base import Seen

EXPORT_S = 3  # a command that ends sends what is left, and must not wait long for a collector that is away
_COUNTED = ("examined", "changed", "queued", "skipped", "problems", "backlog")


class OtelWitness:
    """Tells an OpenTelemetry collector of runs."""

    def __init__(self, tracers: TracerProvider, meters: MeterProvider) -> None:
        self._providers = (tracers, meters)
        self._tracer = tracers.get_tracer("returnclock", __version__)
        meter = meters.get_meter("returnclock", __version__)
        self._seconds = meter.create_histogram("returnclock.run.duration", "s", "How long a run took.")
        self._changed = meter.create_counter("returnclock.run.changed", "{deadline}", "What runs changed, by kind.")

    @classmethod
    def to(cls, url: str) -> OtelWitness:
        """Send to the collector at ``url``, such as http://collector:4318."""
        base = url.rstrip("/")
        resource = Resource.create({SERVICE_NAME: "returnclock", SERVICE_VERSION: __version__})
        # A collector that is away is said by the exporter at each try; once a try is enough, and as a warning.
        logging.getLogger("opentelemetry.sdk").setLevel(logging.WARNING)
        tracers = SdkTracerProvider(resource=resource)
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=EXPORT_S)))
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=EXPORT_S))
        return cls(tracers, SdkMeterProvider([reader], resource=resource))

    def flush(self) -> None:
        """Send now what waits to be sent; a process that ends does so by itself."""
        for provider in self._providers:
            provider.force_flush()  # type: ignore[union-attr]  # the SDK's own have it

    def begins(self, seen: Seen) -> None:
        """Begin the run's span."""
        about: dict[str, str | int] = {
            "returnclock.task": seen.task,
            "returnclock.trigger": seen.trigger,
            "returnclock.run": seen.run_id or 0,
        }
        seen.notes["span"] = self._tracer.start_span(f"returnclock {seen.task}", attributes=about)

    def ended(self, seen: Seen) -> None:
        """End the span with what was done, and add to the metrics."""
        state = "failed" if seen.fault else "succeeded"
        self._seconds.record(seen.seconds, {"returnclock.task": seen.task, "returnclock.state": state})
        for kind, counted in ((seen.result or {}).get("by_kind") or {}).items():
            if changed := counted.get("changed"):
                self._changed.add(changed, {"returnclock.task": seen.task, "returnclock.kind": kind})
        span: Span | None = seen.notes.get("span")
        if span is None:
            return
        for name in _COUNTED if seen.result else ():
            span.set_attribute(f"returnclock.{name}", seen.result[name])  # type: ignore[index]
        if seen.fault is not None:
            span.set_attribute("error.type", type(seen.fault).__name__)
            span.set_status(Status(StatusCode.ERROR, masked(str(seen.fault))))
        span.end()

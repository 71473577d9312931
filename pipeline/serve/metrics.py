"""What a server counts of itself, in Prometheus's form. Only this module imports its client."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Requests, images, batches and adapters, counted since the start."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("xmap_requests", "Requests by address and status.", ("address", "status"), registry=registry)
        self._seconds = Histogram(
            "xmap_request_seconds", "From the head of a request to its answer.", ("address",), buckets=SECONDS, registry=registry
        )
        self._images = Counter(
            "xmap_images", "Images answered, or by the kind of what is wrong with them.", ("outcome",), registry=registry
        )
        self._sizes = Histogram("xmap_batch_images", "Images in one forward pass.", buckets=IMAGES, registry=registry)
        self._forward = Histogram("xmap_forward_seconds", "Seconds of a forward pass of the encoder.", buckets=SECONDS, registry=registry)
        self._adapter = Gauge("xmap_adapter", "1 for the adapter that answers.", ("fingerprint", "name"), registry=registry)
        self._loads = Counter("xmap_adapter_loads", "New adapters asked for, by what became of it.", ("outcome",), registry=registry)

    def watch(self, waiting: Callable[[], int], connections: Callable[[], int]) -> None:
        """Whom to ask when the metrics are read."""
        for name, about, count in (
            ("xmap_waiting_images", "Images taken and not answered yet.", waiting),
            ("xmap_connections", "Connections held open.", connections),
        ):
            Gauge(name, about, registry=self._registry).set_function(count)

    def request(self, address: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(address, str(status)).inc()
        self._seconds.labels(address).observe(seconds)

    def image(self, outcome: str) -> None:
        """An image was answered, or is a bad one of a kind."""
        self._images.labels(outcome).inc()

    def batch(self, images: int, seconds: float) -> None:
        """So many images were answered together."""
        self._images.labels("answered").inc(images)
        self._sizes.observe(images)
        self._forward.observe(seconds)

    def adapter(self, fingerprint: str, name: str) -> None:
        """Another adapter answers from now on."""
        self._adapter.clear()
        self._adapter.labels(fingerprint, name).set(1)

    def load(self, outcome: str) -> None:
        """A new adapter was asked for: it was taken, the same, or failed."""
        self._loads.labels(outcome).inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)

"""What the webhook receiver counts, for Prometheus. Labels are platforms and outcomes, never what a sender wrote."""

from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one receiver, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "cg_webhook_requests", "Requests by outcome", ["platform", "outcome"], registry=self._registry
        )
        self.entries = Counter(
            "cg_webhook_entries", "Entries of bodies by outcome", ["platform", "outcome"], registry=self._registry
        )
        self.seconds = Histogram(
            "cg_webhook_answer_seconds", "Until the answer", ["platform"], buckets=SECONDS, registry=self._registry
        )
        self._database = Gauge("cg_webhook_database_up", "Whether the database answers", registry=self._registry)
        self._events = Gauge("cg_webhook_events", "Events that are not done", ["status"], registry=self._registry)
        self._oldest = Gauge("cg_webhook_oldest_pending_seconds", "Age of the oldest one", registry=self._registry)

    def exposition(self, backlog: Sequence[Mapping[str, Any]] | None) -> bytes:
        """All metrics in Prometheus' text format. `backlog`: events by status; None: the database does not answer."""
        self._events.clear()
        self._database.set(backlog is not None)
        for row in backlog or ():
            self._events.labels(row["status"]).set(row["events"])
        ages = [row["oldest_seconds"] for row in backlog or () if row["status"] == "pending"]
        self._oldest.set(max(ages, default=0))
        return generate_latest(self._registry)

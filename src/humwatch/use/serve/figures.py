"""Figures of the service for Prometheus."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from humwatch.use.serve.service import Service, Taken

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Figures:
    """Counters since the service was started, and gauges.

    Attributes
    ----------
    seconds
        From the whole body of a clip to its row in the history, waiting included.
    refused
        Clips that were not taken, by the status of the answer.
    busy
        Clips that are read, waiting or judged.
    """

    def __init__(self, service: Service) -> None:
        self._registry = registry = CollectorRegistry()
        by_machine = ["machine"]
        self._clips = Counter("humwatch_clips", "Clips that were judged.", by_machine, registry=registry)
        self._alarms = Counter("humwatch_alarms", "Clips above the threshold.", by_machine, registry=registry)
        self._events = Counter("humwatch_events", "Events that were raised.", ["machine", "kind"], registry=registry)
        self._last = Gauge("humwatch_p_value", "Of the last clip.", by_machine, registry=registry)
        self.refused = Counter("humwatch_refused", "Clips that were not taken.", ["status"], registry=registry)
        self.seconds = Histogram(
            "humwatch_seconds", "From a clip's body to its row.", buckets=SECONDS, registry=registry
        )
        self.busy = Gauge("humwatch_busy", "Clips that are read, waiting or judged.", registry=registry)
        about = "What bets that p-values are not uniform have made of 1: from 100 on, the normal sound has moved."
        drift = Gauge("humwatch_drift_capital", about, by_machine, registry=registry)
        about = "When the last clip was judged; 0 where none was."
        heard = Gauge("humwatch_heard_timestamp_seconds", about, by_machine, registry=registry)
        for name, machine in service.machines.items():
            if name:
                self._clips.labels(name)
                self._alarms.labels(name)
                drift.labels(name).set_function(partial(service.drift_capital, name))
                heard.labels(name).set_function(partial(getattr, machine, "heard"))

    def count(self, taken: Taken) -> None:
        """Count a clip, unless it was there before."""
        if taken.repeated:
            return
        name = "" if taken.record.nearest else taken.record.machine
        self._clips.labels(name).inc()
        self._alarms.labels(name).inc(taken.record.alarm)
        if taken.record.p_value is not None:
            self._last.labels(name).set(taken.record.p_value)
        for event in taken.events:
            self._events.labels(name, event["kind"]).inc()

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)

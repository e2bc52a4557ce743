"""The probers of all models that are to be probed, and what they bring."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ml_exporter.config.config import Config, ProxySource
from ml_exporter.config.proxy_settings import ProxyFlags, ProxySettings, with_flags
from ml_exporter.families import Family
from ml_exporter.formats import Layout
from ml_exporter.monitors.probes import Probes
from ml_exporter.pipeline.pipeline import Pipeline
from ml_exporter.prober.probe_pace import Traffic
from ml_exporter.sources.capture import Attachment

if TYPE_CHECKING:
    from ml_exporter.prober.prober import Prober

_LOOK_EVERY = 1.0  # seconds
_SERVER_ERRORS = 500  # and above


class Probers:
    """Starts probers for pipelines that count by a baseline, and takes what they find."""

    def __init__(self, attachment: Attachment, flags: ProxyFlags) -> None:
        self._attachment = attachment
        self._flags = flags
        self._proxy: ProxySettings | None = None  # None: nobody says where the model server is
        self._probers: dict[str, tuple[Layout, Prober]] = {}  # by model
        self._probes = Probes()
        self._looked_at = 0.0

    @property
    def families(self) -> Sequence[Family]:
        return self._probes.families if self._attachment.exists else ()

    def follow(self, config: Config) -> None:
        """Begin anew, with the pipelines of a configuration."""
        self.stop()
        settings = with_flags(config.proxy, self._flags)
        self._proxy = settings if settings is not None and settings.is_complete else None

    def step(self, pipelines: Sequence[Pipeline]) -> None:
        """Let pipelines count what their probers have found since the last step."""
        now = time.monotonic()
        looks = now - self._looked_at >= _LOOK_EVERY
        if looks:
            self._looked_at = now
        for pipeline in pipelines:
            source = pipeline.model.source
            if not isinstance(source, ProxySource) or not source.probe_rate:
                continue
            name = pipeline.model.name
            layout, prober = self._probers.get(name, (None, None))
            if layout is not pipeline.layouts["predictions"] or prober is None:
                if looks and pipeline.baselines:
                    self._start(pipeline, source)
                continue
            probed = prober.take()
            self._probes.add(probed.results)
            for rows in probed.rows:
                pipeline.count_probed(rows)
            if looks:
                prober.see(self._traffic(name))

    def stop(self) -> None:
        for _, prober in self._probers.values():
            prober.stop()
        self._probers.clear()

    def _start(self, pipeline: Pipeline, source: ProxySource) -> None:
        from ml_exporter.prober.prober import Prober, Server

        model = pipeline.model
        layout = pipeline.layouts["predictions"]
        _, before = self._probers.pop(model.name, (None, None))
        if before is not None:
            before.stop()
        if self._proxy is None or not self._attachment.exists:
            return
        prober = Prober(
            Server(self._proxy.upstream, self._proxy.upstream_tls),
            layout,
            source,
            regression=model.task == "regression",
        )
        pipeline.watch(prober.offer)
        self._probers[model.name] = layout, prober
        prober.start()

    def _traffic(self, model: str) -> Traffic | None:
        """What the proxy has counted of a model; None where it may not be probed at all."""
        capture = self._attachment.current()
        if capture is None or self._attachment.is_pressed:
            return None
        names = capture.counts.names()
        if model not in names:
            return None
        place = names.index(model)
        requests = capture.counts.requests(place)
        errors = sum(count for (_, code), count in requests.items() if code >= _SERVER_ERRORS)
        _, seconds = capture.counts.durations(place)
        return Traffic(sum(requests.values()), errors, float(seconds[-1]))

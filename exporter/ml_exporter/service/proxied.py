"""What the proxy counted, as series that are born at 0 like all others."""

from __future__ import annotations

from collections.abc import Mapping

from ml_exporter.capture import Capture
from ml_exporter.families import Family
from ml_exporter.monitors.observations import DroppedObservations
from ml_exporter.monitors.requests import EXPECTED, Requests
from ml_exporter.publication import Birth
from ml_exporter.request_counts import ANY_REQUEST, DROP_REASONS, Request, RequestCounts
from ml_exporter.sources.capture import Attachment

_Key = tuple[str, Request]  # of a model


class Proxied:
    """Shows the counters in the buffer; a scrape sees each label set at 0 first."""

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment
        self._capture: Capture | None = None
        self._models: dict[tuple[str, str], Requests] = {}  # by name and version
        self._new: set[_Key] = set()  # in no edition yet
        self._births: dict[_Key, Birth] = {}  # in one that is to be seen first
        self._dropped = DroppedObservations(
            "Exchanges that passed through the proxy and were not observed, by reason.",
            DROP_REASONS,
            kept=False,
        )

    @property
    def families(self) -> list[Family]:
        if not self._attachment.exists:
            return []
        of_models = (family for one in self._models.values() for family in one.families)
        return [*self._dropped.families, *of_models]

    def follow(self, models: Mapping[str, str]) -> None:
        """The models behind the proxy, each with its version."""
        known = self._models
        self._models = {key: known.get(key) or Requests(*key) for key in models.items()}

    def update(self) -> None:
        """Show what was counted since, of all that may be shown."""
        before, self._capture = self._capture, self._attachment.current()
        if self._capture is None:
            return
        if before is not None and before is not self._capture:  # it begins anew
            self._births.clear()
            for family in self.families:
                family.values[:] = 0.0
            return
        counts = self._capture.counts
        self._dropped.show(counts.dropped())
        places = {name: place for place, name in enumerate(counts.names())}
        for (name, _), series in self._models.items():
            place = places.get(name)
            if place is None or not self._may_show(counts, place, name, ANY_REQUEST):
                continue
            counted = counts.requests(place)
            shown = {
                one: count
                for one, count in counted.items()
                if one in EXPECTED or self._may_show(counts, place, name, one)
            }
            series.show(shown, counts.durations(place))
            exemplars = self._attachment.exemplars[name]
            failed = self._attachment.failed[name].exemplars
            series.exemplify(
                exemplars.durations,
                exemplars.upstream,
                {one: exemplar for one, exemplar in failed.items() if one in shown},
            )
            series.expect(counted)

    def published(self, birth: Birth) -> None:
        """What was new is in an edition; `birth` tells when that has been seen."""
        self._births |= dict.fromkeys(self._new, birth)
        self._new.clear()

    def _may_show(self, counts: RequestCounts, place: int, model: str, request: Request) -> bool:
        """Whether scrapes have seen a series at 0, in this process or in one before it."""
        if counts.was_seen(place, request):
            return True
        birth = self._births.get((model, request))
        if birth is None:
            self._new.add((model, request))
        elif birth.is_over:
            counts.saw(place, request)
            del self._births[model, request]
            return True
        return False

"""The versions of a model: those that are configured, and whatever others rows come of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ml_exporter.baseline import baseline as baselines
from ml_exporter.baseline.baseline import Baseline
from ml_exporter.batch import Batch
from ml_exporter.config.config import Limits, Model, VersionField
from ml_exporter.families import Family
from ml_exporter.pipeline.given_baselines import default_version, request
from ml_exporter.pipeline.learning import Learner, dump_rows, learnable, load_rows
from ml_exporter.pipeline.streams import prediction_layout
from ml_exporter.pipeline.version import Budget, Version
from ml_exporter.store.store import Store

OTHER_VERSIONS = "<other>"  # of those beyond the limit, all together

_WITHDRAWN_AFTER = 7 * 86400.0  # seconds without a row of a version that isn't configured


class Versions:
    """The versions of a model by name, in the order in which they came."""

    def __init__(
        self,
        model: Model,
        limits: Limits,
        store: Store,
        given: Mapping[str | None, Baseline],
        budget: Budget,
        most_lines: int,
        now: Callable[[], float],
    ) -> None:
        """`given` are the model's baselines by version; under None, the one of all versions.

        `most_lines` are made of the predictions of one batch that are worth a look.
        """
        self.default = default_version(model, given)
        self._model = model
        self._limits = limits
        self._store = store
        self._given = given
        self._budget = budget
        self._most_lines = most_lines
        self._now = now
        self._learned = {
            version: baselines.decode(data) for version, data in store.baselines(model.name).items()
        }
        known = next(iter([*given.values(), *self._learned.values()]), None)
        self.layout = prediction_layout(model, known)  # what is read of a row, for all of them
        of_all_rows = [] if isinstance(model.version, VersionField) else [self.default]
        self._configured = list(dict.fromkeys([*of_all_rows, *(name for name in given if name)]))
        self._versions: dict[str, Version] = {}

    def __iter__(self) -> Iterator[Version]:
        return iter(self._versions.values())

    @property
    def families(self) -> list[Family]:
        return [family for version in self for family in version.families]

    @property
    def baselines(self) -> dict[str, Baseline]:
        """The baselines in use."""
        return {name: v.baseline for name, v in self._versions.items() if v.baseline is not None}

    def known(self, name: str) -> Version | None:
        """A version, if rows have come of it or it is configured."""
        return self._versions.get(name)

    def active(self, name: str) -> Version:
        """A version that rows have come of."""
        if name not in self._versions:
            self._add(name, [])
        version = self._versions[name]
        version.active_at = self._now()
        return version

    def split(self, batch: Batch) -> list[tuple[Version, Batch]]:
        """The rows of each version."""
        if not batch.rows:
            return []
        if batch.versions is not None:
            batch = replace(batch, versions=self._names(batch.versions))
        return [(self.active(name), rows) for name, rows in batch.by_version(self.default)]

    def countable(self, batch: Batch) -> int:
        """How many rows until some version has learned its baseline, or all."""
        if batch.versions is None:
            learner = self.active(self.default).learner if batch.rows else None
            return batch.rows if learner is None else min(batch.rows, max(learner.missing, 1))
        names = self._names(batch.versions)
        rest = batch.rows
        for name in dict.fromkeys(names):
            learner = self.active(name).learner
            if learner is None:
                continue
            rows = [row for row, of_row in enumerate(names) if of_row == name]
            wanted = max(learner.missing, 1)
            if len(rows) >= wanted:
                rest = min(rest, rows[wanted - 1] + 1)
        return rest

    def keep_for_learning(self, version: Version, rows: Batch) -> None:
        """Remember rows that its baseline is to be made of."""
        self._store.add_learning(self._model.name, version.name, rows.rows, dump_rows(rows))

    def finish_learning(self) -> bool:
        """Make the baselines whose rows are complete; their series begin with the rows after.

        Whether more than before is known of what to read: see `layout`.
        """
        before = self.layout
        for version in self:
            learner = version.learner
            if learner is not None and learner.missing <= 0:
                self._learn(version, learner)
        return self.layout is not before

    def withdraw_quiet(self) -> bool:
        """Let go of those that had no rows for a week; whether there were any."""
        quiet = [
            version
            for version in self
            if self._now() - version.active_at >= _WITHDRAWN_AFTER
            and version.name not in self._configured
        ]
        for version in quiet:
            version.withdraw()
            del self._versions[version.name]
            self._learned.pop(version.name, None)
            self._store.forget(self._model.name, version.name)
        return bool(quiet)

    def undo(self) -> None:
        """Forget what isn't counted of the last batch: its rows will come again."""
        for version in self:
            version.undo()
            if version.learner is not None:
                rows = self._store.learning(self._model.name).get(version.name, [])
                version.learn([load_rows(data) for data in rows])

    def restore(self, saved: Iterable[str]) -> None:
        """Take up those that are configured, and as many of those with counters as may be."""
        learning = self._store.learning(self._model.name)
        for name in [*self._configured, *saved]:
            if name not in self._versions and (name in self._configured or self._may_be(name)):
                self._add(name, [load_rows(data) for data in learning.get(name, [])])

    def _names(self, versions: Sequence[str]) -> list[str]:
        """Versions under their names, or together where they are too many."""
        names: dict[str, str] = {}
        for name in dict.fromkeys(versions):
            known = name in self._versions or self._may_be(name)
            names[name] = self.active(name if known else OTHER_VERSIONS).name
        return [names[name] for name in versions]

    def _may_be(self, name: str) -> bool:
        named = len(self._versions) - (OTHER_VERSIONS in self._versions)
        return name == OTHER_VERSIONS or named < self._limits.versions

    def _add(self, name: str, learned_rows: list[Batch]) -> None:
        watched = None if self.layout.discover else list(self.layout.fields)
        version = Version(self._model, name, watched, self._limits, self._budget, self._most_lines)
        version.active_at = self._now()
        self._versions[name] = version
        given = self._given.get(name) or self._given.get(None)
        if given is not None:
            version.judge_by(given, "file")
        elif name in self._learned:
            version.judge_by(self._learned[name], "learned")
        elif name != OTHER_VERSIONS:
            version.learn(learned_rows)

    def _learn(self, version: Version, learner: Learner) -> None:
        from ml_exporter.baseline.profiling import build

        rows = learnable(learner.batches, self.layout)
        made = build(lambda: rows, request(self._model, version.name, self._limits))
        self._store.save_baseline(self._model.name, version.name, baselines.encode(made))
        self._learned[version.name] = made
        version.judge_by(made, "learned")
        if self.layout.discover:
            self.layout = prediction_layout(self._model, made)

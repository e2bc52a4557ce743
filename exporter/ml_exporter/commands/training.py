"""Makes a baseline of training or reference data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from ml_exporter.baseline import sagemaker as sagemaker_baseline
from ml_exporter.baseline.baseline import Baseline, BaselineError
from ml_exporter.baseline.profiling import build
from ml_exporter.batch import LABEL, Batch, Field
from ml_exporter.config.config import Limits, Model, VersionField
from ml_exporter.config.source_settings import ROW_FORMATS, format_of
from ml_exporter.config.source_settings import FileSource as FileSettings
from ml_exporter.formats import HeaderError
from ml_exporter.formats.rows import Layout
from ml_exporter.pipeline.given_baselines import request
from ml_exporter.pipeline.learning import without_labels_yet
from ml_exporter.pipeline.streams import Stream, prediction_layout
from ml_exporter.sources import SourceError, open_source


def format_of_data(model: Model, pattern: str) -> str:
    """How training or reference data is written: as its extension tells, or as the model's source.

    Logs of requests, captures and events are lines too: `.jsonl` may be either.
    """
    by_extension = format_of(pattern)
    of_source = model.source.format
    if by_extension != "jsonl" or of_source in ROW_FORMATS:
        return by_extension or of_source
    try:
        first = next(_read(pattern, of_source, _layout_of_source(model), Counter()), None)
    except BaselineError:
        return by_extension  # and it is said then
    return of_source if first is not None and first.rows else by_extension


def profile(
    model: Model,
    limits: Limits,
    pattern: str,
    format: str,
    progress: Callable[[int], None] = lambda rows: None,
) -> tuple[Baseline, Counter[str]]:
    """The baseline of what files hold, and the rows that were rejected, by reason.

    The data is read twice, or three times where rows have a time; `progress` is told how many rows
    were read so far, of all times.
    Raises BaselineError where a file can't be read, or lacks a feature of the model.
    """
    data = _Data(model, pattern, format, progress)
    return data.baseline(limits), data.rejected


def describe_for_sagemaker(
    model: Model,
    limits: Limits,
    pattern: str,
    format: str,
    progress: Callable[[int], None] = lambda rows: None,
) -> tuple[Baseline, Mapping[str, bytes], Counter[str]]:
    """As `profile`, and the files that SageMaker Model Monitor would have of the same rows.

    The data is read once more for them.
    """
    data = _Data(model, pattern, format, progress)
    made = data.baseline(limits)
    columns = {key: name for name, key in sagemaker_baseline.roles(model).items()}
    files = sagemaker_baseline.describe(data.batches, made, columns)
    return made, files, data.rejected


class _Data:
    """Rows that can be read as often as need be."""

    def __init__(
        self, model: Model, pattern: str, format: str, progress: Callable[[int], None]
    ) -> None:
        self.rejected: Counter[str] = Counter()  # in the last reading
        self._model = model
        self._pattern = pattern
        self._format = format
        self._progress = progress
        if format in ROW_FORMATS:
            self._layout = _layout(model, pattern, format)
        else:
            self._layout = _layout_of_source(model)
            _check_features(pattern, format, self._layout)
        self._read = 0  # rows, in all readings

    def batches(self) -> Iterator[Batch]:
        self.rejected.clear()
        for batch in _read(self._pattern, self._format, self._layout, self.rejected):
            self._read += batch.rows
            self._progress(self._read)
            yield without_labels_yet(batch)

    def baseline(self, limits: Limits) -> Baseline:
        version = self._model.version if isinstance(self._model.version, str) else None
        return build(self.batches, request(self._model, version, limits))


def _layout(model: Model, pattern: str, format: str) -> Layout:
    """What is read: a field is looked for by its path, then by its name."""
    names = model.fields
    rows = prediction_layout(model, None)
    wanted = {key: path for key, path in rows.fields.items() if key.role != "completion"}
    ignored = {names.id, names.timestamp}
    if isinstance(model.version, VersionField):
        ignored.add(model.version.path)
    if model.labels is not None:
        wanted[LABEL] = model.labels.fields.label
        ignored |= {model.labels.fields.id, model.labels.fields.timestamp}
    by_path_alone = ("attribution", "ranked")  # a feature has the same name
    looked_for = {*wanted.values(), *(k.name for k in wanted if k.role not in by_path_alone)}
    found = _paths(pattern, format, looked_for)
    columns = rows.columns if format == model.source.format else ()
    if columns and found.isdisjoint(columns):  # no header, as in the source
        found = _paths(pattern, format, looked_for, columns)
    else:
        columns = ()
    fields: dict[Field, str] = {}
    extracted = dict(rows.extracted)
    for key, path in wanted.items():
        places = (path,) if key.role in by_path_alone else (path, key.name)
        place = next((one for one in places if one in found), None)
        if place is not None:
            fields[key] = place
            if place != path:
                extracted.pop(key, None)  # it was extracted when the data was made
        elif key.role == "feature":
            or_name = f" or {key.name!r}" if key.name != path else ""
            there = ", ".join(sorted(found)[:20]) or "no fields"
            raise BaselineError(f"{pattern}: has no field {path!r}{or_name}; there are {there}")
    known = frozenset(path for path in ignored if path is not None)
    has_scores = any(key.role == "score" for key in fields)
    decision = rows.decision if has_scores else None
    time = names.timestamp
    if time is not None and not (time in found and _are_times(pattern, format, time, columns)):
        time = None
    return Layout(
        fields,
        timestamp=time,
        known=known,
        discover=rows.discover,
        columns=columns,
        decision=decision,
        extracted=extracted,
    )


def _layout_of_source(model: Model) -> Layout:
    """What is read of data that is like the model's own source: the same, but for what joins."""
    rows = prediction_layout(model, None)
    fields = {key: path for key, path in rows.fields.items() if key.role != "completion"}
    ignored = [path for path in (model.fields.id, rows.version) if path is not None]
    return replace(rows, fields=fields, id=None, version=None, known=rows.known.union(ignored))


def _check_features(pattern: str, format: str, layout: Layout) -> None:
    """Raises BaselineError where the first rows lack a feature, or there are none."""
    for batch in _read(pattern, format, layout, Counter()):
        for key, path in layout.fields.items() if batch.rows else ():
            if key.role == "feature" and batch.column(key).absent == batch.rows:
                raise BaselineError(f"{pattern}: has no field {path!r}")
        if batch.rows:
            return
    raise BaselineError(f"{pattern}: no rows")


def _are_times(pattern: str, format: str, path: str, columns: tuple[str, ...]) -> bool:
    """Whether the first rows could all be read with this as their time."""
    rejected: Counter[str] = Counter()
    layout = Layout({Field("feature", path): path}, timestamp=path, columns=columns)
    for batch in _read(pattern, format, layout, rejected):
        if batch.rows or rejected:
            break
    return not rejected["bad_timestamp"]


def _paths(
    pattern: str, format: str, looked_for: Iterable[str], columns: tuple[str, ...] = ()
) -> set[str]:
    """Every path that the first rows have, those into lists only where they are looked for."""
    fields = {Field("feature", path): path for path in looked_for}
    layout = Layout(fields, discover=True, columns=columns)
    for batch in _read(pattern, format, layout, Counter()):
        if batch.rows:
            there = batch.fields.items()
            return {key.name for key, column in there if column.absent < batch.rows}
    raise BaselineError(f"{pattern}: no rows")


def _read(pattern: str, format: str, layout: Layout, rejected: Counter[str]) -> Iterator[Batch]:
    try:
        source = open_source(FileSettings(pattern, format), {}, follow=False, start="start")
    except SourceError as error:
        raise BaselineError(f"{pattern}: {error.text}") from None
    stream = Stream("predictions", source, format, layout)
    try:
        while (chunk := source.next()) is not None:
            file = chunk.part
            if chunk.problem:
                raise BaselineError(f"{file.name}: {chunk.problem}")
            if chunk.too_large:
                rejected["too_large"] += chunk.too_large
                source.advance(file, chunk.after(chunk.skipped))
                continue
            try:
                decoded = stream.decode(chunk)
            except HeaderError as error:
                raise BaselineError(f"{file.name}: {error}") from None
            rejected += decoded.rejected
            source.advance(file, chunk.after(decoded.consumed))
            yield decoded.batch
    finally:
        source.close()
    for path, problem in source.errors.items():
        raise BaselineError(f"{path}: {problem}")

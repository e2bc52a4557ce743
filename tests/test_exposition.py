import math
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from ml_exporter.exposition import OPENMETRICS, TEXT, choose, render
from ml_exporter.families import Family, Histogram, freeze
from ml_exporter.formats.traces import LONGEST_ID
from tests.support import find_tool

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.8,"
    "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


def small():
    """Families of every kind, with every kind of number, and a name that two of them share."""
    values = Family(
        "ml_field_values_total",
        "Values of a field by bin.",
        "counter",
        ("field", "bin"),
        of={"model": "credit"},
    )
    values.set(3, "age", "42.5")
    values.set(0, "age", "<missing>")
    values.set(2.0**53, "purpose", 'a "new"\\old\ncar, 100 %')
    thresholds = [
        Family("ml_threshold", 'What a "figure"\nis judged by: \\.', "gauge", ("monitor", *more))
        for more in ((), ("field",))
    ]
    thresholds[0].set(0.1, "psi")
    thresholds[1].set(math.inf, "psi", "age")
    thresholds[1].set(-math.inf, "psi", "zip")
    thresholds[1].set(math.nan, "psi", "Ö😀")
    delays = Histogram("ml_delay_seconds", "Delays.", (0.5, 60.0), of={"model": "credit"})
    delays.observe(np.array([0.25, 30.0, 1e9]))
    total = Family("ml_sum_total", "No labels.", "counter")
    total.set(0.1 + 0.2)
    empty = Family("ml_empty_total", "Nothing yet.", "counter", ("x",))
    return freeze([thresholds[0], values, delays, total, empty, thresholds[1]])


TEXT_EXPECTED = r"""# HELP ml_threshold What a "figure"\nis judged by: \\.
# TYPE ml_threshold gauge
ml_threshold{monitor="psi"} 0.1
ml_threshold{monitor="psi",field="age"} +Inf
ml_threshold{monitor="psi",field="zip"} -Inf
ml_threshold{monitor="psi",field="Ö😀"} NaN
# HELP ml_field_values_total Values of a field by bin.
# TYPE ml_field_values_total counter
ml_field_values_total{model="credit",field="age",bin="42.5"} 3
ml_field_values_total{model="credit",field="age",bin="<missing>"} 0
ml_field_values_total{model="credit",field="purpose",bin="a \"new\"\\old\ncar, 100 %"} 9007199254740992.0
# HELP ml_delay_seconds Delays.
# TYPE ml_delay_seconds histogram
ml_delay_seconds_bucket{model="credit",le="0.5"} 1
ml_delay_seconds_bucket{model="credit",le="60.0"} 2
ml_delay_seconds_bucket{model="credit",le="+Inf"} 3
ml_delay_seconds_sum{model="credit"} 1000000030.25
ml_delay_seconds_count{model="credit"} 3
# HELP ml_sum_total No labels.
# TYPE ml_sum_total counter
ml_sum_total 0.30000000000000004
"""  # noqa: E501


def samples(families):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def parse(rendered, openmetrics):
    text = rendered.decode()
    if openmetrics:
        return list(openmetrics_parser.text_string_to_metric_families(text))
    return list(text_string_to_metric_families(text))


class TestText:
    def test_the_whole_of_it(self):
        assert render(small()).decode() == TEXT_EXPECTED

    def test_parses_back(self):
        families = parse(render(small()), openmetrics=False)
        assert [(family.name, family.type, len(family.samples)) for family in families] == [
            ("ml_threshold", "gauge", 4),
            ("ml_field_values", "counter", 3),
            ("ml_delay_seconds", "histogram", 5),
            ("ml_sum", "counter", 1),
        ]
        assert families[0].documentation == 'What a "figure"\nis judged by: \\.'

    def test_promtool_reads_it(self):
        command = [find_tool("promtool"), "check", "metrics", "--extended"]
        checked = subprocess.run(command, input=render(small()), capture_output=True, check=False)
        assert checked.returncode in (0, 3), checked.stderr  # 3: it finds our names wanting
        assert b"error while" not in checked.stderr


class TestOpenMetrics:
    def test_the_whole_of_it(self):
        expected = TEXT_EXPECTED.replace('"figure"', r"\"figure\"", 1)
        for name in ("ml_field_values", "ml_sum"):
            expected = expected.replace(f"# HELP {name}_total", f"# HELP {name}")
            expected = expected.replace(f"# TYPE {name}_total", f"# TYPE {name}")
        assert render(small(), openmetrics=True).decode() == expected + "# EOF\n"

    def test_parses_back(self):
        text, openmetrics = (
            parse(render(small(), openmetrics=wanted), wanted) for wanted in (False, True)
        )
        assert repr(samples(text)) == repr(samples(openmetrics))
        assert [family.documentation for family in text] == [
            family.documentation for family in openmetrics
        ]


@pytest.mark.parametrize(("openmetrics", "expected"), [(False, b""), (True, b"# EOF\n")])
def test_nothing(openmetrics, expected):
    assert render([], openmetrics) == expected


def test_an_exemplar_follows_its_sample_in_openmetrics_alone():
    delays = Histogram("ml_delay_seconds", "Delays.", (0.5, 60.0))
    delays.observe(np.array([30.0]))
    delays.exemplify(0, "of no request yet", 0.1, 1.7e9)
    delays.exemplify(1, "before", 20.0, 1.7e9)
    delays.exemplify(1, "4bf9", 30.0, 1.7e9 + 0.25)
    delays.exemplify(2, None, 90.0, 1.7e9)
    samples = freeze([delays])
    delays.exemplify(1, "later", 31.0, 1.7e9 + 1)
    assert (
        render(samples, openmetrics=True).decode()
        == """\
# HELP ml_delay_seconds Delays.
# TYPE ml_delay_seconds histogram
ml_delay_seconds_bucket{le="0.5"} 0
ml_delay_seconds_bucket{le="60.0"} 1 # {trace_id="4bf9"} 30 1700000000.250
ml_delay_seconds_bucket{le="+Inf"} 1
ml_delay_seconds_sum 30
ml_delay_seconds_count 1
# EOF
"""
    )
    assert b"4bf9" not in render(samples)


def test_the_longest_trace_has_room_in_an_exemplar():
    total = Family("ml_total", "All.", "counter")
    total.set(1)
    total.exemplify(0, "a" * LONGEST_ID, 1.0, 1.7e9)
    (family,) = openmetrics_parser.text_string_to_metric_families(
        render(freeze([total]), openmetrics=True).decode()
    )
    assert family.samples[0].exemplar.labels == {"trace_id": "a" * LONGEST_ID}
    total.exemplify(0, "a" * (LONGEST_ID + 1), 1.0, 1.7e9)
    with pytest.raises(ValueError, match="too long"):
        list(
            openmetrics_parser.text_string_to_metric_families(
                render(freeze([total]), openmetrics=True).decode()
            )
        )


def test_new_label_sets_and_values_show_up():
    family = Family("ml_x_total", "Help.", "counter", ("a",))
    family.add("1")
    first = freeze([family])
    family.add("2")
    family.inc(5, "1")
    assert render(freeze([family])).splitlines()[2:] == [
        b'ml_x_total{a="1"} 5',
        b'ml_x_total{a="2"} 0',
    ]
    assert render(first).splitlines()[2:] == [b'ml_x_total{a="1"} 0']


names = st.sampled_from(["ml_a", "ml_b", "ml_b_c", "ml_d1"])
label_values = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
numbers = st.one_of(st.floats(), st.integers(0, 2**60).map(float))


@st.composite
def families(draw):
    """A family of some kind with whatever labels and numbers it may have."""
    kind = draw(st.sampled_from(["counter", "gauge", "histogram"]))
    name = draw(names) + ("_total" if kind == "counter" else "")
    help = draw(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=10))
    of = {"model": draw(label_values)}
    if kind == "histogram":
        uppers = draw(st.lists(st.floats(1e-9, 1e9), unique=True, max_size=4).map(sorted))
        histogram = Histogram(name, help.strip(), uppers, of)
        histogram.observe(np.array(draw(st.lists(st.floats(0, 1e9), max_size=5))))
        return histogram
    family = Family(name, help.strip(), kind, ("field", "bin"), of)
    values = numbers if kind == "gauge" else numbers.map(abs).filter(lambda value: value >= 0)
    for labels, value in draw(
        st.dictionaries(st.tuples(label_values, label_values), values, max_size=5)
    ).items():
        family.set(value, *labels)
    return family


@given(
    st.lists(families(), max_size=4, unique_by=lambda one: one.name.removesuffix("_total")),
    st.booleans(),
)
def test_whatever_is_exposed_parses_back_to_the_same_numbers(families, openmetrics):
    expected = {
        (
            family.name + suffix,
            tuple(sorted(zip(family.label_names, labels, strict=False))),
        ): value
        for family in families
        for suffix, labels, value in zip(
            family.suffixes, family.label_sets, family.values.tolist(), strict=True
        )
    }
    found = samples(parse(render(freeze(families), openmetrics), openmetrics))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == value or (math.isnan(found[key]) and math.isnan(value))


class TestContentNegotiation:
    @pytest.mark.parametrize(
        ("accept", "openmetrics"),
        [
            pytest.param(PROMETHEUS_3, True, id="Prometheus 3"),
            pytest.param(PROMETHEUS_2, True, id="Prometheus 2"),
            pytest.param(BROWSER, False, id="a browser"),
            (None, False),
            ("", False),
            ("*/*", False),
            ("text/*", False),
            ("text/plain", False),
            ("text/plain;version=0.0.4", False),
            ("application/json", False),
            ("application/openmetrics-text", True),
            ("application/openmetrics-text; version=1.0.0", True),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
            ('Application/OpenMetrics-Text; Version="1.0.0"', True),
            ("application/openmetrics-text;version=0.0.1", True),
            ("application/openmetrics-text;version=2.0.0", False),
            ("application/openmetrics-text;q=0.5,text/plain;q=0.4", True),
            ("application/openmetrics-text;q=0.4,text/plain;q=0.5", False),
            ("application/openmetrics-text,text/plain", True),
            ("text/plain,application/openmetrics-text", False),
            ("application/openmetrics-text;q=0,text/plain;q=0.1", False),
            ("application/openmetrics-text;q=0", False),
            ("application/openmetrics-text;q=0.0", False),
            ("application/openmetrics-text;q=high", False),
            ("application/openmetrics-text;q=nan", False),
            ("application/openmetrics-text;q=-1", False),
            ("application/openmetrics-text;q=", False),
            ("application/openmetrics-text;;;q", True),
            (";q=1,,;", False),
            ("q=1", False),
            ("\x00\xff;=;=", False),
        ],
    )
    def test_accept_header(self, accept, openmetrics):
        assert choose(accept) == (openmetrics, OPENMETRICS if openmetrics else TEXT)

    @given(st.text() | st.text(st.sampled_from("*/;,=q.10 text")))
    def test_any_header_has_an_answer(self, accept):
        assert choose(accept) in ((True, OPENMETRICS), (False, TEXT))

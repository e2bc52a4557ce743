import pytest

from ml_exporter.capture import Capture
from ml_exporter.proxy.routes import Routes, name_of


@pytest.mark.parametrize(
    ("path", "target", "matches"),
    [
        ("/v1/models/credit:predict", b"/v1/models/credit:predict", True),
        ("/v1/models/credit:predict", b"/v1/models/credit:predict?x=1", True),
        ("/predict", b"/predict/", True),
        ("/predict", b"/predict/x", False),
        ("/predict", b"/prefix/predict", False),
        ("/v1/models/credit.v2:predict", b"/v1/models/creditXv2:predict", False),
        ("/v1/models/credit/versions/*:predict", b"/v1/models/credit/versions/7:predict", True),
        ("/v1/models/credit/versions/*:predict", b"/v1/models/credit/versions/7/8:predict", False),
        (None, b"/anything", True),
        (None, b"/v2/health/ready", False),
        (None, b"/v2/models/credit/infer", True),
        (None, b"/v2/models/credit", False),
        (None, b"/metrics", False),
        (None, b"/", False),
        (None, b"/v2/repository/models/credit/load", False),
    ],
)
def test_a_model_is_found_by_its_path(
    path: str | None, target: bytes, matches: bool, capture: Capture
) -> None:
    routes = Routes([("credit", path)], capture.counts)
    route = routes.of(b"POST", target)
    assert (route is not None and route.name == "credit") == matches
    assert routes.of(b"POST", target) is route


def test_the_first_model_that_matches_has_it(capture: Capture) -> None:
    routes = Routes([("a", "/a"), ("b", None)], capture.counts)
    found = [routes.of(b"POST", target) for target in (b"/a", b"/b")]
    assert [route and route.place for route in found] == [0, 1]


def test_requests_that_only_read_count_at_the_path_itself(capture: Capture) -> None:
    assert Routes([("a", "/a")], capture.counts).of(b"GET", b"/a")
    assert Routes([("a", None)], capture.counts).of(b"GET", b"/a") is None


def test_a_flood_of_paths_is_no_flood_of_models(capture: Capture) -> None:
    routes = Routes(None, capture.counts)
    for number in range(10_000):
        assert routes.of(b"POST", b"/v1/models/m%d:predict" % number)
    assert capture.counts.names() == []  # none has answered
    assert len(routes._known) <= 4096


def test_a_name_tells_models_at_one_path_apart(capture: Capture) -> None:
    routes = Routes([("a", "/x"), ("b", "/x"), ("c", "/y")], capture.counts)

    def named(name: str | None, target: bytes = b"/x") -> str | None:
        route = routes.of(b"POST", target, name)
        return route and route.name

    assert [named(name) for name in (None, "a", "b", "c", "d")] == ["a", "a", "b", None, None]
    assert named("c", b"/y") == "c"


def test_long_paths_are_not_remembered(capture: Capture) -> None:
    routes = Routes(None, capture.counts)
    assert routes.of(b"POST", b"/" + b"x" * 2000)
    assert not routes._known


def test_without_models_no_request_is_of_one(capture: Capture) -> None:
    assert Routes([], capture.counts).of(b"POST", b"/v1/models/credit:predict") is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/models/credit:predict", "credit"),
        ("/v1/models/credit/versions/3:classify", "credit"),
        ("/v2/models/credit/infer", "credit"),
        ("/v2/models/a%20b/versions/1/infer", "a b"),
        ("/predictions/resnet", "resnet"),
        ("/predictions/resnet/2.0", "resnet"),
        ("/seldon/prod/iris/api/v1.0/predictions", "iris"),
        ("/api/v1.0/predictions", "model"),
        ("/invocations", "model"),
        ("/classify", "classify"),
        ("/a/b/", "a-b"),
    ],
)
def test_what_a_model_is_called(path: str, name: str) -> None:
    assert name_of(path) == name

"""What the application answers, and whom."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus_text

from ml_exporter.access import Gate
from ml_exporter.config.roles import Access, Token
from ml_exporter.exposition import OPENMETRICS, TEXT
from ml_exporter.families import Family
from ml_exporter.publication import Publication
from ml_exporter.web.app import Door, create_app

BCRYPT_OF_SECRET = b"$2b$04$km6tdJRzYTMYUqR5NZDRH.6W9fqyi4VvbkjUdAJbhmhlR0NrOVF1m"


class Site:
    """An application, what it may say, and a client of it."""

    def __init__(self, access: Access | None = None, users: Mapping[str, bytes] | None = None):
        self.ready = True
        self.errors: list[str] = []
        self.reloads = 0
        self.publication = Publication(60)
        hits = Family("hits_total", "Hits.", "counter", ["code"])
        hits.inc(3, "200")
        self.publication.publish([hits])
        self.door = Door(Gate(access or Access(), users or {}), {})
        app = create_app(
            self.publication,
            self.door,
            is_ready=lambda: self.ready,
            reload=self.reload,
            telemetry_path="/probe/metrics",
        )
        self.client: FlaskClient = app.test_client()

    def reload(self) -> list[str]:
        self.reloads += 1
        return self.errors

    def post(self, path: str, peer: str = "127.0.0.1", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, headers=named, environ_overrides={"REMOTE_ADDR": peer})


@pytest.fixture
def site() -> Site:
    return Site()


class TestMetrics:
    def test_are_text_where_nothing_else_is_asked_for(self, site: Site) -> None:
        response = site.client.get("/probe/metrics")
        assert response.status_code == 200
        assert response.content_type == TEXT
        assert response.text == (
            '# HELP hits_total Hits.\n# TYPE hits_total counter\nhits_total{code="200"} 3\n'
        )
        assert list(prometheus_text(response.text))
        assert response.headers["Vary"] == "Accept, Accept-Encoding"

    def test_are_openmetrics_where_prometheus_asks_for_it(self, site: Site) -> None:
        accept = (
            "application/openmetrics-text;version=1.0.0;q=0.6,"
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        )
        response = site.client.get("/probe/metrics", headers={"Accept": accept})
        assert response.content_type == OPENMETRICS
        assert [family.name for family in openmetrics(response.text)] == ["hits"]

    @pytest.mark.parametrize(
        ("encoding", "compressed"),
        [("gzip", True), ("deflate, gzip;q=0.5", True), ("gzip;q=0", False), ("br", False)],
    )
    def test_are_compressed_where_that_is_understood(
        self, site: Site, encoding: str, compressed: bool
    ) -> None:
        plain = site.client.get("/probe/metrics").data
        response = site.client.get("/probe/metrics", headers={"Accept-Encoding": encoding})
        assert response.headers.get("Content-Encoding") == ("gzip" if compressed else None)
        assert (gzip.decompress(response.data) if compressed else response.data) == plain
        assert response.content_length == len(response.data)

    def test_count_as_seen_when_they_were_sent(self, site: Site) -> None:
        birth = site.publication.wait_for(1)
        assert site.client.get("/probe/metrics").data
        assert not birth.is_over
        assert site.client.get("/probe/metrics").data
        assert birth.is_over

    def test_that_were_not_sent_count_as_unseen(self, site: Site) -> None:
        birth = site.publication.wait_for(1)
        for _ in range(2):
            site.client.head("/probe/metrics")
            site.client.get("/probe/metrics", buffered=False).close()
        assert not birth.is_over

    def test_are_at_their_path_alone(self, site: Site) -> None:
        assert site.client.get("/metrics").status_code == 404


class TestHealth:
    def test_is_good_while_it_answers(self, site: Site) -> None:
        assert (site.client.get("/-/healthy").status_code, site.reloads) == (200, 0)

    def test_is_ready_when_it_says_so(self, site: Site) -> None:
        assert site.client.get("/-/ready").status_code == 200
        site.ready = False
        assert site.client.get("/-/ready").status_code == 503

    def test_needs_no_login(self) -> None:
        site = Site(users={"ops": BCRYPT_OF_SECRET})
        for path in ("/-/healthy", "/-/ready"):
            assert site.client.get(path).status_code == 200


class TestReload:
    @pytest.mark.parametrize("method", ["POST", "PUT"])
    def test_is_done_at_once(self, site: Site, method: str) -> None:
        response = site.client.open("/-/reload", method=method)
        assert (response.status_code, site.reloads) == (200, 1)

    def test_tells_what_was_wrong(self, site: Site) -> None:
        site.errors = ["ml-exporter.yml:3: models: must have at least one model", "and more"]
        response = site.post("/-/reload")
        assert response.status_code == 500
        assert response.text == "".join(f"{error}\n" for error in site.errors)
        assert response.content_type == "text/plain; charset=utf-8"

    def test_is_not_done_by_looking(self, site: Site) -> None:
        assert site.client.get("/-/reload").status_code == 405
        assert site.reloads == 0

    @pytest.mark.parametrize(
        ("peer", "headers", "status"),
        [
            ("127.0.0.1", {}, 200),
            ("::1", {}, 200),
            ("::ffff:127.0.0.1", {}, 200),
            ("10.0.0.7", {}, 403),
            ("127.0.0.1", {"X_Forwarded_For": "10.0.0.7"}, 403),
            ("127.0.0.1", {"Forwarded": "for=10.0.0.7"}, 403),
            ("127.0.0.1", {"Origin": "http://evil.example"}, 403),
            ("10.0.0.7", {"Authorization": "Bearer adminadmin"}, 200),
            ("10.0.0.7", {"Authorization": "Bearer scrapescrape"}, 403),
        ],
    )
    def test_may_be_asked_for_by(self, peer: str, headers: dict[str, str], status: int) -> None:
        tokens = (
            Token("adminadmin", frozenset({"admin"})),
            Token("scrapescrape", frozenset({"scrape"})),
        )
        site = Site(Access(tokens))
        assert site.post("/-/reload", peer, **headers).status_code == status
        assert site.reloads == (status == 200)


class TestUsers:
    @pytest.fixture
    def site(self) -> Site:
        return Site(users={"ops": BCRYPT_OF_SECRET})

    def test_are_asked_who_they_are(self, site: Site) -> None:
        response = site.client.get("/probe/metrics")
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic realm=")
        assert "hits" not in response.text

    def test_are_let_in(self, site: Site) -> None:
        assert site.client.get("/probe/metrics", auth=("ops", "secret")).status_code == 200
        assert site.client.get("/probe/metrics", auth=("ops", "wrong")).status_code == 401

    def test_may_change_while_it_runs(self, site: Site) -> None:
        site.door.gate = Gate(Access(), {})
        site.door.headers = {"X-Frame-Options": "DENY"}
        response = site.client.get("/probe/metrics")
        assert response.status_code == 200
        assert response.headers["X-Frame-Options"] == "DENY"


def test_an_error_tells_no_secret(site: Site) -> None:
    def failing() -> list[str]:
        raise RuntimeError("the password is swordfish")

    app = create_app(site.publication, site.door, is_ready=lambda: True, reload=failing)
    response = app.test_client().post("/-/reload")
    assert response.status_code == 500
    assert "swordfish" not in response.text
    assert "Traceback" not in response.text

"""What is posted, what is answered, and what is kept."""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from ml_exporter.access import Gate
from ml_exporter.config import config
from ml_exporter.config.config import EventSource, Fields, FileSource, LabelFields, Labels, Model
from ml_exporter.config.roles import Access, Token
from ml_exporter.pipeline.streams import label_layout, prediction_layout
from ml_exporter.publication import Publication
from ml_exporter.sources.spool import Spools
from ml_exporter.web.app import Door, create_app
from ml_exporter.web.bodies import LARGEST_BODY
from ml_exporter.web.ingest import Inlets, ingest_pages, inlets
from tests.support import ROOT

NDJSON = "application/x-ndjson"
BATCH = "application/cloudevents-batch+json"
CE = {"Ce-Specversion": "1.0", "Ce-Type": "t", "Ce-Source": "/s"}

LABELS = LabelFields("id", "actual")
CREDIT = Model(
    name="credit",
    task="binary",
    positive="1",
    source=EventSource(),
    fields=Fields("p", id="meta.id", timestamp="ts", features={"age": "age"}),
    labels=Labels(EventSource(), LABELS),
)
FRAUD = Model(
    name="fraud",
    task="binary",
    positive="1",
    source=EventSource(format="cloudevents"),
    fields=Fields("prediction", id="id", features={"age": "age"}),
    labels=Labels(FileSource("labels.jsonl", "jsonl"), LABELS),
)
CHURN = Model(
    name="churn",
    task="binary",
    positive="1",
    source=FileSource("log.jsonl", "jsonl"),
    fields=Fields("p", id="id"),
    labels=Labels(EventSource(format="cloudevents"), LABELS),
)


class Site:
    def __init__(self, folder: Path, *models: Model, access: Access | None = None) -> None:
        self.spools = Spools(folder)
        self.inlets = Inlets()
        self.configure(*models)
        door = Door(Gate(access or Access(), {}), {})
        app = create_app(
            Publication(60),
            door,
            is_ready=lambda: True,
            reload=list,
            pages=[ingest_pages(self.inlets)],
        )
        self.client: FlaskClient = app.test_client()

    def configure(self, *models: Model) -> None:
        layouts = [
            (
                model,
                {
                    "predictions": prediction_layout(model, None),
                    **({"labels": label_layout(model)} if model.labels else {}),
                },
            )
            for model in models
        ]
        self.inlets.now = inlets(layouts, self.spools)

    def post(
        self, path: str, body: Any, content_type: str = "application/json", **headers: str
    ) -> TestResponse:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(
            f"/api/v1/{path}", data=data, content_type=content_type, headers=named
        )

    def kept(self, model: str = "credit", stream: str = "predictions") -> list[bytes]:
        return self.spools.of(model, stream).read(0, 1 << 24)[1].splitlines()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, CREDIT)
    yield site
    site.spools.close()


def good(id: Any) -> dict[str, Any]:
    return {"meta": {"id": id}, "p": 1, "age": 31}


class TestRows:
    def test_are_accepted(self, site: Site) -> None:
        response = site.post("predictions", [good(1), good(2)])
        assert response.status_code == 200
        assert response.json == {"accepted": 2, "rejected": [], "rejected_total": 0}
        assert [json.loads(line) for line in site.kept()] == [good(1), good(2)]

    def test_are_kept_as_they_were_sent(self, site: Site) -> None:
        body = b'{"meta":{"id":1},"age":1e2,\n"p":NaN}'
        assert site.post("predictions", body).json["accepted"] == 1
        assert site.kept() == [body.replace(b"\n", b" ")]

    def test_may_be_lines_and_compressed(self, site: Site) -> None:
        lines = b"".join(json.dumps(good(id)).encode() + b"\n" for id in range(3000))
        response = site.post("predictions", gzip.compress(lines), NDJSON, Content_Encoding="gzip")
        assert response.json["accepted"] == 3000
        assert b"".join(line + b"\n" for line in site.kept()) == lines

    def test_may_be_none(self, site: Site) -> None:
        for body, content_type in ((b"[]", "application/json"), (b"\n", NDJSON)):
            response = site.post("predictions", body, content_type)
            assert (response.status_code, response.json["accepted"]) == (200, 0)
        assert site.kept() == []

    def test_that_are_rejected_are_named_and_kept_to_be_counted(self, site: Site) -> None:
        lines = [
            json.dumps(good(1)).encode(),
            b"foo",
            b"",
            b'{"p": 1, "age": 5}',
            b'{"meta": {"id": 2}, "p": 1, "ts": "yesterday"}',
            b'{"meta": {"id": 3}}',
            b'{"meta": {"id": 4}, "p": "\xff"}',
            b'{"meta": {"id": 5}, "p": "' + b"x" * (1 << 20) + b'"}',
            b'{"meta": {"id": 6}, "p": ' + b"[" * 100_000 + b"}",
            json.dumps(good(7)).encode(),
        ]
        response = site.post("predictions", b"\n".join(lines), NDJSON)
        assert response.status_code == 200
        assert response.json == {
            "accepted": 2,
            "rejected_total": 7,
            "rejected": [
                {"item": 1, "reason": "malformed", "error": "is no JSON object"},
                {"item": 2, "reason": "no_id", "error": "has no id at 'meta.id'"},
                {
                    "item": 3,
                    "reason": "bad_timestamp",
                    "error": "has a time at 'ts' that can't be read",
                },
                {"item": 4, "reason": "no_fields", "error": "has none of the configured fields"},
                {
                    "item": 5,
                    "reason": "encoding",
                    "error": "is not UTF-8, or has half a surrogate pair",
                },
                {"item": 6, "reason": "too_large", "error": "is longer than 1 MiB"},
                {"item": 7, "reason": "too_deep", "error": "is nested too deeply"},
            ],
        }
        assert len(site.kept()) == 9
        assert max(map(len, site.kept())) == (1 << 20) + 1

    def test_that_are_rejected_are_named_by_the_hundred(self, site: Site) -> None:
        rows = [good(id) if id % 3 else {"age": id} for id in range(900)]
        response = site.post("predictions", rows)
        assert (response.json["accepted"], response.json["rejected_total"]) == (600, 300)
        assert [one["item"] for one in response.json["rejected"]] == list(range(0, 300, 3))

    def test_that_are_all_rejected_are_a_bad_request(self, site: Site) -> None:
        response = site.post("predictions", [5, {}])
        assert response.status_code == 400
        assert response.json["accepted"] == 0
        assert [one["reason"] for one in response.json["rejected"]] == ["malformed", "no_fields"]
        assert site.kept() == [b"5", b"{}"]

    def test_of_labels(self, site: Site) -> None:
        response = site.post("labels", [{"id": 1, "actual": 0}, {"id": 2, "actual": None}, {}])
        assert response.json["accepted"] == 1
        assert response.json["rejected"] == [
            {"item": 1, "reason": "no_fields", "error": "has no label at 'actual'"},
            {"item": 2, "reason": "no_fields", "error": "has no label at 'actual'"},
        ]
        assert len(site.kept(stream="labels")) == 3


class TestEvents:
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        site = Site(tmp_path, FRAUD)
        yield site
        site.spools.close()

    def test_in_binary_mode(self, site: Site) -> None:
        response = site.client.post("/api/v1/events", json={"age": 31}, headers=CE | {"Ce-Id": "1"})
        assert response.status_code == 200
        assert response.json == {"accepted": 1, "rejected": [], "rejected_total": 0}
        (line,) = site.kept("fraud")
        assert json.loads(line) == {
            **{"specversion": "1.0", "type": "t", "source": "/s", "id": "1"},
            **{"datacontenttype": "application/json", "data": {"age": 31}},
        }

    def test_without_an_id_are_rejected(self, site: Site) -> None:
        response = site.client.post("/api/v1/events", json={"age": 31}, headers=CE)
        assert response.status_code == 400
        assert response.json["rejected"] == [
            {"item": 0, "reason": "no_id", "error": "has no id, or, of Seldon, no requestid"}
        ]

    def test_in_batches(self, site: Site) -> None:
        event = {"specversion": "1.0", "type": "t", "source": "/", "id": "1"}
        response = site.post("events", [event | {"data": {"age": 1}}, {}, event], BATCH)
        assert response.json["accepted"] == 1
        assert response.json["rejected"] == [
            {
                "item": 1,
                "reason": "malformed",
                "error": "is no CloudEvent 1.0 whose data can be read",
            },
            {"item": 2, "reason": "no_fields", "error": "has none of the configured fields"},
        ]
        assert len(site.kept("fraud")) == 3

    def test_that_wait_for_their_other_half_are_accepted(self, site: Site) -> None:
        """Whether the two are a prediction is known when both are there, and counted then."""
        halves = [
            {
                "specversion": "1.0",
                "type": f"org.kubeflow.serving.inference.{side}",
                "source": "/",
                "id": "1",
                "data": {},
            }
            for side in ("request", "response")
        ]
        assert site.post("events", halves, BATCH).json["accepted"] == 2

    def test_may_be_labels(self, tmp_path: Path) -> None:
        site = Site(tmp_path, CHURN)
        response = site.client.post(
            "/api/v1/labels", json={"actual": 1}, headers=CE | {"Ce-Id": "1"}
        )
        assert response.json["accepted"] == 1
        assert len(site.kept("churn", "labels")) == 1
        site.spools.close()


class TestTheModel:
    @pytest.fixture
    def site(self, tmp_path: Path) -> Iterator[Site]:
        site = Site(tmp_path, CREDIT, FRAUD, CHURN)
        yield site
        site.spools.close()

    def test_may_be_left_out_where_there_is_one(self, site: Site) -> None:
        assert site.post("predictions", good(1)).status_code == 200
        assert len(site.kept("credit")) == 1

    def test_is_named_where_there_are_several(self, site: Site) -> None:
        label = {"id": 1, "actual": 1}
        assert site.post("labels?model=credit", label).status_code == 200
        response = site.post("labels", label)
        assert response.status_code == 400
        assert response.json == {
            "error": "name a model, as in ?model=NAME; these do: credit, churn"
        }

    @pytest.mark.parametrize(
        ("path", "error"),
        [
            ("predictions?model=x", "no model 'x' takes predictions; these do: credit"),
            (
                "predictions?model=fraud",
                "no model 'fraud' takes predictions; these do: credit;"
                " 'fraud' takes what is posted to /api/v1/events",
            ),
            (
                "events?model=credit",
                "no model 'credit' takes events; these do: fraud; 'credit' takes what is posted"
                " to /api/v1/predictions or /api/v1/labels",
            ),
            ("labels?model=", "no model '' takes labels; these do: credit, churn"),
        ],
    )
    def test_that_is_not_there(self, site: Site, path: str, error: str) -> None:
        response = site.post(path, good(1))
        assert (response.status_code, response.json) == (404, {"error": error})

    def test_may_be_put_in_and_taken_out(self, site: Site) -> None:
        site.configure(FRAUD)
        response = site.post("predictions", good(1))
        assert response.status_code == 404
        assert response.json == {"error": "no model takes predictions; these do: none"}
        site.configure(FRAUD, CREDIT)
        assert site.post("predictions", good(1)).status_code == 200


class TestIsBounded:
    def test_in_the_size_of_a_body(self, site: Site) -> None:
        body = b"[" + b" " * (LARGEST_BODY - 2) + b"]"
        assert site.post("predictions", body).status_code == 200
        response = site.post("predictions", body + b" ")
        assert response.status_code == 413
        assert response.json == {"error": "the body is larger than 8 MiB"}

    def test_in_what_may_wait(self, tmp_path: Path) -> None:
        model = Model("m", "regression", EventSource(buffer=100), Fields("p"))
        site = Site(tmp_path, model)
        row = {"p": "x" * 80}
        assert site.post("predictions", row).status_code == 200
        response = site.post("predictions", row)
        assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
        assert response.json == {
            "error": "100 bytes wait to be counted, and no more may; send this again later"
        }
        assert len(site.kept("m")) == 1
        spool = site.spools.of("m", "predictions")
        offset, data = spool.read(0, 1000)
        spool.release(offset + len(data))
        assert site.post("predictions", row).status_code == 200

        response = site.post("predictions", [row, row])
        assert response.status_code == 413
        assert response.json == {"error": "the body is larger than all that may wait, 100 bytes"}
        site.spools.close()


class TestAFullDisk:
    def test_is_told_and_survived(
        self, site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def full(*args: object) -> int:
            raise OSError(errno.ENOSPC, "no space left on device")

        assert site.post("predictions", good(1)).status_code == 200
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            for _ in range(2):
                response = site.post("predictions", good(2))
                assert (response.status_code, response.headers["Retry-After"]) == (503, "10")
                assert response.json == {"error": "can't be kept now; send this again later"}
        with caplog.at_level("INFO"):
            assert site.post("predictions", good(3)).status_code == 200
        assert [json.loads(line) for line in site.kept()] == [good(1), good(3)]
        assert [record.message for record in caplog.records] == [
            "can't keep what is posted",
            "what is posted can be kept again",
        ]


class TestWhoMay:
    @pytest.mark.parametrize("path", ["predictions", "labels", "events", "unknown"])
    @pytest.mark.parametrize(
        ("peer", "headers", "allowed"),
        [
            ("127.0.0.1", {}, True),
            ("::1", {}, True),
            ("10.0.0.7", {}, False),
            ("127.0.0.1", {"X-Forwarded-For": "10.0.0.7"}, False),
            ("127.0.0.1", {"Origin": "http://evil.example"}, False),
            ("10.0.0.7", {"Authorization": "Bearer ingest"}, True),
            ("10.0.0.7", {"Authorization": "Bearer admin"}, False),
            ("10.0.0.7", {"Authorization": "Bearer guess"}, False),
        ],
    )
    def test_post(
        self, tmp_path: Path, path: str, peer: str, headers: dict[str, str], allowed: bool
    ) -> None:
        access = Access(
            (Token("ingest", frozenset({"ingest"})), Token("admin", frozenset({"admin"})))
        )
        site = Site(tmp_path, CREDIT, access=access)
        response = site.client.post(
            f"/api/v1/{path}",
            json=good(1),
            headers=headers,
            environ_overrides={"REMOTE_ADDR": peer},
        )
        assert (response.status_code == 403) is not allowed
        assert (site.kept() != []) == (allowed and path == "predictions")
        site.spools.close()

    def test_a_reload_takes_another_role(self, tmp_path: Path) -> None:
        access = Access((Token("ingest", frozenset({"ingest"})),))
        site = Site(tmp_path, access=access)
        response = site.client.post(
            "/-/reload",
            headers={"Authorization": "Bearer ingest"},
            environ_overrides={"REMOTE_ADDR": "10.0.0.7"},
        )
        assert response.status_code == 403


def test_the_page_shows_what_happens(tmp_path: Path) -> None:
    page = (ROOT / "docs/sources/events.md").read_text()
    (configuration,) = re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S)
    body, answer = re.findall(r"^```json\n(.*?)^```", page, re.M | re.S)
    (tmp_path / "ml-exporter.yml").write_text(configuration)
    models = config.load(tmp_path / "ml-exporter.yml", {"INGEST_TOKEN": "s3cret"}).models
    site = Site(tmp_path / "events", *models)
    response = site.post("predictions?model=credit", body.encode(), NDJSON)
    assert response.json == json.loads(answer)
    site.spools.close()


def test_what_is_posted_cannot_be_read(site: Site) -> None:
    site.post("predictions", good(1))
    assert site.client.get("/api/v1/predictions").status_code == 405

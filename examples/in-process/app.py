"""A service that tells penguins apart, and watches itself: `gunicorn --workers=4 app:app`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ml_exporter import Monitor

HERE = Path(__file__).parent

monitor = Monitor(
    "penguins",
    task="multiclass",
    baseline=HERE.parent / "penguins/baseline.json",
    segments=["island"],
    labels={"wait": "7d"},
    state=os.environ.get("STATE", HERE / "state"),
)


# Of each species, the mean length of flippers and bills in mm.
MEANS = {"Adelie": (190, 38.8), "Chinstrap": (196, 48.8), "Gentoo": (217, 47.5)}


@monitor.observe
def predict(penguin: dict[str, Any]) -> dict[str, Any]:
    """The species whose means are nearest, and how much nearer they are than the others."""
    flipper, bill = penguin["flipper_length_mm"], penguin["bill_length_mm"]
    distances = {
        name: ((flipper - means[0]) / 6.6) ** 2 + ((bill - means[1]) / 3.0) ** 2
        for name, means in MEANS.items()
    }
    nearest = min(distances, key=distances.__getitem__)
    weights = {name: math.exp(distances[nearest] - one) for name, one in distances.items()}
    scores = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    return {"prediction": nearest, "score": scores, "id": os.urandom(8).hex()}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """`POST /predict` a penguin; `POST /label` an id and what the penguin was."""
    said = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    if environ["PATH_INFO"] == "/label":
        monitor.label(said["id"], said["species"])
        answer: dict[str, Any] = {}
    else:
        answer = predict(said)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


monitor.start_http_server(int(os.environ.get("METRICS_PORT", "9464")))

"""A language model behind the proxy: tokens, reasons, and the time to the first token."""

import http.client
import json
import time
from typing import Any

from tests.proxy.sidecar import PROXY, Sidecar
from tests.support import get, wait_until

PATH = "/v1/chat/completions"
MODELS = """\
models:
  - name: assistant
    task: multiclass
    learn: {{rows: 50}}
    source: {{type: proxy, path: /v1/chat/completions}}
    fields: {{prediction: finish_reason}}
"""
CONFIG = f"{MODELS}{PROXY}  drain: 0s\n"
FIELDS = """\
    fields:
      prediction: finish_reason
      features:
        prompt_length: {{length: prompt}}
        answer_words: {{words: outputs.answer}}
        answer_tokens: outputs.usage.completion_tokens
        temperature: temperature
"""
DRIFT = {
    "prompt_length": "critical",
    "answer_words": "critical",
    "answer_tokens": "critical",
    "temperature": "ok",
    "prediction": "ok",
}
WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


def ask(client: http.client.HTTPConnection, text: str, **more: Any) -> bytes:
    body = {"model": "llama", "messages": [{"role": "user", "content": text}], **more}
    client.request("POST", PATH, json.dumps(body))
    response = client.getresponse()
    assert response.status == 200
    return response.read()


def test_completions_are_counted(sidecar: Sidecar) -> None:
    sidecar.write(config=CONFIG)
    sidecar.start()
    sidecar.wait()
    client = sidecar.client()
    for _ in range(50):
        answer = json.loads(ask(client, "one two three", temperature=0.5))
        assert answer["choices"][0]["message"]["content"] == "one two three"
    started = time.monotonic()
    assert ask(client, "one two three four", **WITH_USAGE).endswith(b"data: [DONE]\n\n")
    took = time.monotonic() - started
    ask(client, "one two", stream=True)
    wait_until(lambda: sidecar.samples("ml_predictions_total") == {"assistant": 52})
    assert sidecar.samples("ml_completions_total")["assistant stop"] == 52
    assert sidecar.samples("ml_request_tokens_count") == {
        "assistant input": 51,  # a stream doesn't say it unless it is asked
        "assistant output": 52,
    }
    assert sidecar.samples("ml_request_tokens_sum") == {
        "assistant input": 50 * 13 + 14,
        "assistant output": 50 * 3 + 4 + 2,
    }
    assert sidecar.samples("ml_requests_without_usage_total") == {"assistant": 1}
    first = sidecar.samples("ml_time_to_first_token_seconds_bucket")
    assert (first["assistant 0.25"], first["assistant +Inf"]) == (0, 2)
    assert sidecar.samples("ml_time_to_first_token_seconds_sum")["assistant"] < 2 * took
    between = sidecar.samples("ml_time_per_output_token_seconds_count")
    assert between == {"assistant": 2}
    fields = sidecar.samples("ml_field_values_total")
    words = {key: n for key, n in fields.items() if "feature answer_words" in key}
    assert sum(words.values()) == 2  # the first fifty are the baseline
    assert set(sidecar.samples("ml_exporter_observations_dropped_total").values()) == {0}
    assert "two three" not in sidecar.metrics()


def test_texts_that_become_longer_are_drift(sidecar: Sidecar) -> None:
    """Of how long they are, and how many tokens: what they say is kept nowhere."""
    configured = CONFIG.replace("    fields: {{prediction: finish_reason}}\n", FIELDS)
    sidecar.write(config=configured.replace("rows: 50", "rows: 200"))
    sidecar.start()
    sidecar.wait()
    client = sidecar.client()
    for number in range(200):
        ask(client, "word " * (1 + number % 12), temperature=number % 3)
    wait_until(lambda: sidecar.samples("ml_field_values_total"))
    for number in range(200):
        ask(client, "word " * (20 + number % 12), temperature=number % 3)
    wait_until(lambda: sidecar.samples("ml_predictions_total") == {"assistant": 400})

    def drift() -> dict[str, str]:
        status, text = get(f"http://127.0.0.1:{sidecar.web}/api/v1/status")
        assert status == 200
        (version,) = json.loads(text)["models"][0]["versions"]
        return {one["field"]: one["drift"] for one in version["fields"]}

    wait_until(lambda: drift() == DRIFT, what="drift")


def test_a_language_model_that_nobody_configured(sidecar: Sidecar) -> None:
    sidecar.start(
        f"--proxy.upstream=http://127.0.0.1:{sidecar.upstream}",
        f"--proxy.listen-address=127.0.0.1:{sidecar.port}",
    )
    sidecar.wait()
    client = sidecar.client()
    ask(client, "one two three")
    wait_until(lambda: sidecar.samples("ml_completions_total").get("model stop") == 1, 60)
    assert sidecar.samples("ml_request_tokens_sum")["model output"] == 3


def test_a_client_that_breaks_off_a_stream(sidecar: Sidecar) -> None:
    sidecar.write(config=CONFIG)
    sidecar.start()
    sidecar.wait()
    client = sidecar.client()
    body = {"model": "m", "messages": [{"role": "user", "content": "a " * 100}], "stream": True}
    client.request("POST", PATH, json.dumps(body))
    response = client.getresponse()
    assert response.readline().startswith(b": a moment")
    response.close()
    client.close()
    wait_until(lambda: sidecar.samples("ml_requests_total").get("assistant 499 POST") == 1)
    assert sidecar.samples("ml_completions_total")["assistant stop"] == 0

"""librdkafka's settings: ours, and those of `options`.

https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from ml_exporter.config.source_settings import KafkaSource as Settings
from ml_exporter.sources.parts import SourceError

if TYPE_CHECKING:
    from confluent_kafka import Consumer

log = logging.getLogger(__name__)

# What exactly once hangs on.
_OURS: dict[str, str | bool] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",  # of what is left, where old messages were deleted
    "group.protocol": "classic",
    "partition.assignment.strategy": "cooperative-sticky",
}
_KEYS = {"bootstrap.servers": "brokers", "metadata.broker.list": "brokers", "group.id": "group"}
_DEFAULTS: dict[str, str | int] = {
    "client.id": "ml-exporter",
    "queued.max.messages.kbytes": 8192,  # small, since messages wait in the source too
    "fetch.wait.max.ms": 200,
    "log_level": 2,  # what goes wrong is an error of the source, said once
}
_SHORTEST_SECRET = 4  # characters; what is shorter can't be told from other text


def check_options(settings: Settings) -> None:
    """Raises SourceError where `options` has what other keys say, or what we depend on."""
    for name, _ in settings.options:
        if name in _KEYS:
            raise SourceError(f"options.{name}: is what {_KEYS[name]!r} says")
        if name in _OURS:
            raise SourceError(f"options.{name}: can't be changed, since exact counts hang on it")


def open_consumer(settings: Settings, **callbacks: Any) -> Consumer:
    """A consumer that has joined nothing yet; raises SourceError."""
    check_options(settings)
    try:
        from confluent_kafka import Consumer, KafkaException
    except ImportError:
        raise SourceError(
            "type: reading Kafka needs confluent-kafka: pip install 'ml-exporter[kafka]'"
        ) from None
    options: dict[str, Any] = {
        **_DEFAULTS,
        **dict(settings.options),
        **_OURS,
        "bootstrap.servers": ",".join(settings.brokers),
        "group.id": settings.group,
        **callbacks,
    }
    try:
        return Consumer(options, logger=log)
    except (KafkaException, TypeError) as error:
        text = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise SourceError(_about_options(text, settings)) from None


def _about_options(text: str, settings: Settings) -> str:
    """What librdkafka says of the options, without their values, one of which may be a secret."""
    for _, value in settings.options:
        if len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "...")
    if name := re.fullmatch(r'No such configuration property: "(.*)"', text):
        return f"options.{name[1]}: librdkafka has no such setting"
    if name := re.search(r'configuration property "(.*)"', text):
        return f"options.{name[1]}: librdkafka refuses this value"
    return f"options: {text.removeprefix('Failed to create consumer: ')}"

"""What is wrong with a Kafka cluster, in words: none of librdkafka's, which may name a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

_NO_ANSWER = "no broker answers"
_OF_TOPIC = {
    "UNKNOWN_TOPIC_OR_PART": "no such topic",
    "_UNKNOWN_TOPIC": "no such topic",
    "_UNKNOWN_PARTITION": "no such partition",
    "TOPIC_AUTHORIZATION_FAILED": "not allowed to read the topic",
    "CLUSTER_AUTHORIZATION_FAILED": "not allowed to use the cluster",
}
_OF_CONNECTION = {
    "_AUTHENTICATION": "the brokers refuse the login",
    "SASL_AUTHENTICATION_FAILED": "the brokers refuse the login",
    "UNSUPPORTED_SASL_MECHANISM": "the brokers don't know the SASL mechanism",
    "_SSL": "no TLS connection to the brokers",
    "_RESOLVE": "the name of a broker isn't known",
}
_OF_GROUP = {
    "GROUP_AUTHORIZATION_FAILED": "not allowed to read as this group",
    "INCONSISTENT_GROUP_PROTOCOL": "the group has members that aren't exporters",
    "INVALID_SESSION_TIMEOUT": "the brokers refuse session.timeout.ms",
    "FENCED_INSTANCE_ID": "another member has this group.instance.id",
    "_FENCED": "another member has this group.instance.id",
    "GROUP_MAX_SIZE_REACHED": "the group has as many members as it may",
}
# What passes by itself, or says no more than that a connection was closed.
_PASSING = {
    *("_TRANSPORT", "_ALL_BROKERS_DOWN", "_TIMED_OUT", "_TIMED_OUT_QUEUE", "_MSG_TIMED_OUT"),
    *("REQUEST_TIMED_OUT", "_WAIT_COORD", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR"),
    *("COORDINATOR_LOAD_IN_PROGRESS", "LEADER_NOT_AVAILABLE", "NOT_LEADER_FOR_PARTITION"),
    *("BROKER_NOT_AVAILABLE", "NETWORK_EXCEPTION", "REBALANCE_IN_PROGRESS"),
}


class Trouble:
    """What is wrong now. An error is said until a broker has answered again."""

    def __init__(self) -> None:
        self._of_offsets: str | None = None
        self._text: str | None = None
        self._of_group: str | None = None
        self._suspected = False

    @property
    def text(self) -> str | None:
        return self._text or self._of_group or self._of_offsets

    @property
    def is_to_be_checked(self) -> bool:
        """Whether a broker should be asked if it answers."""
        return self._suspected or self._text is not None

    def suspect(self, error: KafkaError) -> None:
        """Something was reported that may be over by now."""
        if error.name() in _PASSING:
            self._suspected = True
        else:
            self.add(error)

    def add(self, error: KafkaError) -> None:
        name = error.name()
        if name in _OF_GROUP:
            self._of_group = _OF_GROUP[name]
        elif name not in _PASSING:
            self._text = (_OF_TOPIC | _OF_CONNECTION).get(name) or f"Kafka says {name}"
        elif self._text is None:  # a login that is refused ends in no answer, too
            self._text = _NO_ANSWER

    def began_again(self) -> None:
        """A first message came after others."""
        self._of_offsets = (
            "its offsets began again: the topic was made anew; restart to read it from its start"
        )

    def stopped(self) -> None:
        """Nothing more is read, and that is a mistake of ours."""
        self._of_group = "reading has stopped; its reason is in the log"

    def checked(self) -> None:
        """A broker has answered."""
        self._suspected = False
        self._text = None

    def joined(self) -> None:
        """The group has taken this process in."""
        self._of_group = None

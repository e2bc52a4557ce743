"""Joins labels where replicas of the exporter share, in Redis, the predictions that wait.

Redis knows nothing of our transaction, which may be undone, or lost and repeated. So what is to be
done there is first written into a table of the state, the outbox, with everything else. It is sent
when that is committed, as often as it takes: Redis keeps its answer to each operation until the
transaction in which the answer was counted is committed, too, and gives it again until then. One
script does an operation as a whole, so that each label is joined, and counted, by one replica.
"""

from __future__ import annotations

import logging
import sqlite3
import time
import uuid
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec

from ml_exporter.batch import LABEL, PREDICTION, Batch
from ml_exporter.labels import (
    EARLY_WAIT,
    JoinCounters,
    Outcome,
    keys_of,
    label_times,
    outcomes,
    texts,
)

if TYPE_CHECKING:
    import redis

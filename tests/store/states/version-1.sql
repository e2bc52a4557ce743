-- A state as version 1 of its schema had it.
PRAGMA application_id = 0x4D4C4558;
PRAGMA user_version = 1;
CREATE TABLE positions (
    model TEXT, stream TEXT, file TEXT, data TEXT NOT NULL,
    PRIMARY KEY (model, stream, file)
) WITHOUT ROWID;
CREATE TABLE begun (
    model TEXT, stream TEXT, pattern TEXT, PRIMARY KEY (model, stream, pattern)
) WITHOUT ROWID;
CREATE TABLE counters (
    model TEXT PRIMARY KEY, samples BLOB NOT NULL, counts BLOB NOT NULL, checksum BLOB NOT NULL
);
CREATE TABLE baselines (
    model TEXT, version TEXT, data BLOB NOT NULL, PRIMARY KEY (model, version)
);
CREATE TABLE learning (model TEXT, version TEXT, rows INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX learning_of ON learning (model, version);
CREATE TABLE pending (
    model TEXT, id TEXT, version TEXT NOT NULL, predicted TEXT NOT NULL, at REAL NOT NULL,
    label TEXT, labelled_at REAL, counted INTEGER NOT NULL,
    PRIMARY KEY (model, id)
) WITHOUT ROWID;
CREATE INDEX pending_age ON pending (model, at);
CREATE INDEX pending_unsettled ON pending (model, labelled_at) WHERE counted = 0;
CREATE TABLE early (
    model TEXT, id TEXT, label TEXT NOT NULL, at REAL, since REAL NOT NULL,
    PRIMARY KEY (model, id)
) WITHOUT ROWID;
CREATE INDEX early_age ON early (model, since);

-- A state as version 3 of its schema had it, with something in every table.
PRAGMA application_id = 0x4D4C4558;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE baselines (
    model TEXT, version TEXT, data BLOB NOT NULL, checksum BLOB, PRIMARY KEY (model, version)
);
INSERT INTO "baselines" VALUES('m','9',X'01',X'B7EE55613F2729CF6DB0336EDEDC75DA');
INSERT INTO "baselines" VALUES('m','10',X'02',X'40F699B38D0944CC222A44F1DEDAC561');
CREATE TABLE begun (
    model TEXT, stream TEXT, pattern TEXT, PRIMARY KEY (model, stream, pattern)
) WITHOUT ROWID;
INSERT INTO "begun" VALUES('m','predictions','logs/*.jsonl');
CREATE TABLE counters (
    model TEXT PRIMARY KEY, samples BLOB NOT NULL, counts BLOB NOT NULL, checksum BLOB NOT NULL
);
INSERT INTO "counters" VALUES('m',X'5B5B22686974735F746F74616C222C205B5B22222C20226D222C2022323030225D2C205B22222C20226D222C2022353030225D5D5D5D',X'00000000000008400000000000001040',X'C76CDFB4E7DBB7652B67AE31F0D82A85');
CREATE TABLE filters (part INTEGER PRIMARY KEY, words BLOB NOT NULL);
CREATE TABLE learning (
    model TEXT, version TEXT, rows INTEGER NOT NULL, data BLOB NOT NULL, checksum BLOB
);
INSERT INTO "learning" VALUES('m','11',1,X'03',X'383D7B43AAF3A5B010ECE5EE59BC3B22');
INSERT INTO "learning" VALUES('m','11',1,X'04',X'EABA21F1EE2F50A575CA45E381C888B5');
CREATE TABLE parts (
    part INTEGER PRIMARY KEY AUTOINCREMENT, queue INTEGER NOT NULL, rows INTEGER NOT NULL
);
INSERT INTO "parts" VALUES(1,1,4);
INSERT INTO "parts" VALUES(2,2,1);
CREATE TABLE positions (
    model TEXT, stream TEXT, file TEXT, data TEXT NOT NULL, checksum BLOB,
    PRIMARY KEY (model, stream, file)
) WITHOUT ROWID;
INSERT INTO "positions" VALUES('m','predictions','1:2','{"offset": 10, "length": 20, "rows": 3, "head": "0123abcd", "head_length": 30, "tail": "", "tail_length": 0, "packed": 0, "modified": 0, "gone": 0.0}',X'9988A612421BDF203F82DE4A92B306A7');
CREATE TABLE queues (
    queue INTEGER PRIMARY KEY, model TEXT, kind TEXT,
    rows INTEGER NOT NULL, size INTEGER NOT NULL, unlabelled INTEGER NOT NULL,
    UNIQUE (model, kind)
);
INSERT INTO "queues" VALUES(1,'m','predictions',4,21,2);
INSERT INTO "queues" VALUES(2,'m','labels',1,3,0);
CREATE TABLE shown (place TEXT, at REAL, seen TEXT);
CREATE TABLE waiting (
    place INTEGER PRIMARY KEY, part INTEGER NOT NULL, queue INTEGER NOT NULL, key BLOB NOT NULL,
    at REAL NOT NULL, version TEXT NOT NULL, predicted TEXT NOT NULL,
    label TEXT, labelled_at REAL, settling INTEGER NOT NULL
, carried BLOB NOT NULL DEFAULT x'');
INSERT INTO "waiting" VALUES(1,1,1,X'A111B1ED9416C15933925FEBC757211D',1.0,'9','yes',NULL,NULL,0,X'');
INSERT INTO "waiting" VALUES(2,1,1,X'23C6C1E92E0150B3208A946B6A547716',2.0,'9','yes','no',5.0,1,X'');
INSERT INTO "waiting" VALUES(3,1,1,X'A46DC2824AEE9BDAD9F48830CEF09E66',3.0,'9','yes','yes',6.0,0,X'');
INSERT INTO "waiting" VALUES(4,1,1,X'9AC87911F123D738215E51357B190A2D',4.0,'9','yes',NULL,NULL,0,X'');
INSERT INTO "waiting" VALUES(5,2,2,X'27FCF9A6B948FF9BB0DE8B5DC97D0778',8.0,'','','yes',7.0,0,X'');
CREATE INDEX learning_of ON learning (model, version);
CREATE UNIQUE INDEX waiting_keys ON waiting (part, key);
CREATE INDEX waiting_age ON waiting (queue, at);
CREATE INDEX waiting_settling ON waiting (queue, labelled_at) WHERE settling = 1;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('parts',2);
COMMIT;

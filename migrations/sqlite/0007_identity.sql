-- What tells this database from others: a Redis server may keep the order of several queues.
CREATE TABLE identity (id TEXT NOT NULL);
INSERT INTO identity (id) VALUES (lower(hex(randomblob(16))));

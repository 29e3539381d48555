-- What tells this database from others: a Redis server may keep the order of several queues.
CREATE TABLE identity (id TEXT COLLATE "C" NOT NULL);
INSERT INTO identity (id) VALUES (md5(random()::text || clock_timestamp()::text));

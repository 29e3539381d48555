-- What tells this database from others: a Redis server may keep the order of several queues.
CREATE TABLE identity (id VARCHAR(36) NOT NULL);
INSERT INTO identity (id) VALUES (md5(concat(uuid(), rand())));

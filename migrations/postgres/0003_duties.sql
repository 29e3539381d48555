-- Work in the background that one server does for all that share this database, and until when it has promised to.
CREATE TABLE duties (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    instance_id TEXT COLLATE "C" NOT NULL,
    until_at BIGINT NOT NULL
);
INSERT INTO duties (name, instance_id, until_at) VALUES ('keeper', '', 0);

-- Work in the background that one server does for all that share this database, and until when it has promised to.
CREATE TABLE duties (
    name VARCHAR(64) NOT NULL PRIMARY KEY,
    instance_id VARCHAR(26) NOT NULL,
    until_at BIGINT NOT NULL
) DEFAULT CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M!100202 COLLATE utf8mb4_nopad_bin */;
INSERT INTO duties (name, instance_id, until_at) VALUES ('keeper', '', 0);

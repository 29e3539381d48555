-- The stored model: an app owns functions and triggers; a v1 route is the view of a trigger and its function.
--
-- Ids are 26-character texts, times are milliseconds since 1970 (BIGINT), flags are SMALLINT, maps are JSON texts, so
-- that the three databases hold the same values in the same types. Names and paths compare bytewise, blanks at the end
-- included: MySQL and MariaDB have different names for that collation.
--
-- An index holds 3072 bytes at most, four per character: hence the bound of 700 on paths.

CREATE TABLE apps (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    name VARCHAR(255) NOT NULL UNIQUE,
    config MEDIUMTEXT NOT NULL,
    annotations MEDIUMTEXT NOT NULL,
    syslog_url MEDIUMTEXT,
    shape MEDIUMTEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
) DEFAULT CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M!100202 COLLATE utf8mb4_nopad_bin */;

CREATE TABLE functions (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    app_id VARCHAR(26) NOT NULL,
    name VARCHAR(255) NOT NULL,
    image MEDIUMTEXT NOT NULL,
    format MEDIUMTEXT NOT NULL,
    type VARCHAR(16) NOT NULL,
    memory_mb BIGINT NOT NULL,
    timeout_secs BIGINT NOT NULL,
    idle_timeout_secs BIGINT NOT NULL,
    config MEDIUMTEXT NOT NULL,
    annotations MEDIUMTEXT NOT NULL,
    shape MEDIUMTEXT NOT NULL,
    made_by_route SMALLINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (app_id, name),
    FOREIGN KEY (app_id) REFERENCES apps (id)
) DEFAULT CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M!100202 COLLATE utf8mb4_nopad_bin */;

CREATE TABLE triggers (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    app_id VARCHAR(26) NOT NULL,
    fn_id VARCHAR(26) NOT NULL,
    name VARCHAR(255) NOT NULL,
    source VARCHAR(700) NOT NULL,
    headers MEDIUMTEXT NOT NULL,
    annotations MEDIUMTEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (app_id, source),
    UNIQUE (app_id, fn_id, name),
    FOREIGN KEY (app_id) REFERENCES apps (id),
    FOREIGN KEY (fn_id) REFERENCES functions (id)
) DEFAULT CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M!100202 COLLATE utf8mb4_nopad_bin */;
-- The oldest trigger of a function gives it its FN_PATH.
CREATE INDEX triggers_of_function ON triggers (fn_id, created_at, id);
-- Finds a free name when one derives from a path.
CREATE INDEX triggers_by_name ON triggers (app_id, name);

-- Calls and logs outlive their app for a while and belong to its id, hence no foreign keys.
CREATE TABLE calls (
    app_id VARCHAR(26) NOT NULL,
    id VARCHAR(26) NOT NULL,
    fn_id VARCHAR(26) NOT NULL,
    trigger_id VARCHAR(26),
    path VARCHAR(700) NOT NULL,
    type VARCHAR(16) NOT NULL,
    status VARCHAR(16) NOT NULL,
    reason VARCHAR(32),
    error MEDIUMTEXT,
    attempts BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    -- NULL until the call has ended.
    completed_at BIGINT,
    stats MEDIUMTEXT,
    server_id VARCHAR(26) NOT NULL,
    instance_id VARCHAR(26) NOT NULL,
    PRIMARY KEY (app_id, id)
) DEFAULT CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M!100202 COLLATE utf8mb4_nopad_bin */;
CREATE INDEX calls_by_path ON calls (app_id, path, id);
CREATE INDEX calls_by_status ON calls (app_id, status, id);
CREATE INDEX calls_by_reason ON calls (app_id, reason, id);
-- What a server left open when it was killed.
CREATE INDEX calls_open ON calls (server_id, completed_at);

-- The greatest distance ever stored between the time inside a call's id and its created_at. Lists that ask for a
-- span of time turn it into a span of ids, this much wider.
CREATE TABLE call_drift (
    id SMALLINT NOT NULL PRIMARY KEY,
    greatest_ms BIGINT NOT NULL
) DEFAULT CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M!100202 COLLATE utf8mb4_nopad_bin */;
INSERT INTO call_drift (id, greatest_ms) VALUES (1, 20);

CREATE TABLE logs (
    app_id VARCHAR(26) NOT NULL,
    call_id VARCHAR(26) NOT NULL,
    data LONGBLOB NOT NULL,
    PRIMARY KEY (app_id, call_id)
) DEFAULT CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M!100202 COLLATE utf8mb4_nopad_bin */;

-- Apps that are gone and whose calls and logs have yet to go.
CREATE TABLE deletions (
    app_id VARCHAR(26) NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL
) DEFAULT CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M!100202 COLLATE utf8mb4_nopad_bin */;

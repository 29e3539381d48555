-- The stored model: an app owns functions and triggers; a v1 route is the view of a trigger and its function.
--
-- Ids are 26-character texts, times are milliseconds since 1970 (BIGINT), flags are SMALLINT, maps are JSON texts, so
-- that the three databases hold the same values in the same types. Names and paths compare bytewise, whatever the
-- database's own collation: COLLATE "C" wherever a text is looked for or put in order.

CREATE TABLE apps (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    config TEXT NOT NULL,
    annotations TEXT NOT NULL,
    syslog_url TEXT,
    shape TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE functions (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id),
    name TEXT COLLATE "C" NOT NULL,
    image TEXT COLLATE "C" NOT NULL,
    format TEXT NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    memory_mb BIGINT NOT NULL,
    timeout_secs BIGINT NOT NULL,
    idle_timeout_secs BIGINT NOT NULL,
    config TEXT NOT NULL,
    annotations TEXT NOT NULL,
    shape TEXT NOT NULL,
    made_by_route SMALLINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (app_id, name)
);

CREATE TABLE triggers (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id),
    fn_id TEXT COLLATE "C" NOT NULL REFERENCES functions (id),
    name TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    headers TEXT NOT NULL,
    annotations TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (app_id, source),
    UNIQUE (app_id, fn_id, name)
);
-- The oldest trigger of a function gives it its FN_PATH.
CREATE INDEX triggers_of_function ON triggers (fn_id, created_at, id);
-- Finds a free name when one derives from a path.
CREATE INDEX triggers_by_name ON triggers (app_id, name);

-- Calls and logs outlive their app for a while and belong to its id, hence no foreign keys.
CREATE TABLE calls (
    app_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    fn_id TEXT COLLATE "C" NOT NULL,
    trigger_id TEXT COLLATE "C",
    path TEXT COLLATE "C" NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    error TEXT,
    attempts BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    -- NULL until the call has ended.
    completed_at BIGINT,
    stats TEXT,
    server_id TEXT COLLATE "C" NOT NULL,
    instance_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (app_id, id)
);
CREATE INDEX calls_by_path ON calls (app_id, path, id);
-- Most calls succeed, and the list of those is nearly the list of all: they stay out of these two.
CREATE INDEX calls_by_status ON calls (app_id, status, id) WHERE status <> 'success';
CREATE INDEX calls_by_reason ON calls (app_id, reason, id) WHERE reason IS NOT NULL;
-- What a server left open when it was killed.
CREATE INDEX calls_open ON calls (server_id) WHERE completed_at IS NULL;

-- The greatest distance ever stored between the time inside a call's id and its created_at. Lists that ask for a
-- span of time turn it into a span of ids, this much wider.
CREATE TABLE call_drift (
    id SMALLINT NOT NULL PRIMARY KEY,
    greatest_ms BIGINT NOT NULL
);
INSERT INTO call_drift (id, greatest_ms) VALUES (1, 20);

CREATE TABLE logs (
    app_id TEXT COLLATE "C" NOT NULL,
    call_id TEXT COLLATE "C" NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (app_id, call_id)
);

-- Apps that are gone and whose calls and logs have yet to go.
CREATE TABLE deletions (
    app_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL
);

-- Asynchronous calls that have not ended: what to run, and where each stands in line. Their state is in `calls` as well,
-- for whoever asks; both change in the same transaction.

-- The request of a call, kept until it has ended.
CREATE TABLE payloads (
    call_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- Everything but the body, as JSON.
    head TEXT NOT NULL,
    body BYTEA NOT NULL
);

CREATE TABLE queue (
    call_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL,
    -- 0 ready, 1 delayed, 2 leased, 3 dead.
    state SMALLINT NOT NULL,
    -- 2 minus the priority: the least goes first.
    tier SMALLINT NOT NULL,
    -- When it stood in line for the first time; it keeps its place over every attempt.
    place BIGINT NOT NULL,
    -- When its delay or its lease ends.
    due_at BIGINT NOT NULL,
    -- Counts the leases; the results of older ones do not count.
    attempt BIGINT NOT NULL,
    -- Who has the lease.
    server_id TEXT COLLATE "C",
    instance_id TEXT COLLATE "C"
);
CREATE INDEX queue_in_order ON queue (tier, place, call_id) WHERE state = 0;
CREATE INDEX queue_by_time ON queue (due_at) WHERE state IN (1, 2);
CREATE INDEX queue_of_app ON queue (app_id, state, call_id);

-- Asynchronous calls that have not ended: what to run, and where each stands in line. Their state is in `calls` as well,
-- for whoever asks; both change in the same transaction.

-- The request of a call, kept until it has ended.
CREATE TABLE payloads (
    call_id VARCHAR(26) NOT NULL PRIMARY KEY,
    -- Everything but the body, as JSON.
    head MEDIUMTEXT NOT NULL,
    body LONGBLOB NOT NULL
) DEFAULT CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M!100202 COLLATE utf8mb4_nopad_bin */;

CREATE TABLE queue (
    call_id VARCHAR(26) NOT NULL PRIMARY KEY,
    app_id VARCHAR(26) NOT NULL,
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
    server_id VARCHAR(26),
    instance_id VARCHAR(26)
) DEFAULT CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M!100202 COLLATE utf8mb4_nopad_bin */;
CREATE INDEX queue_in_order ON queue (state, tier, place, call_id);
CREATE INDEX queue_by_time ON queue (state, due_at);
CREATE INDEX queue_of_app ON queue (app_id, state, call_id);

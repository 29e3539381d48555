-- The function of a queued call: a server that has no room for it passes it over, however many of its calls stand first.
ALTER TABLE queue ADD COLUMN fn_id TEXT NOT NULL DEFAULT '';
UPDATE queue SET fn_id = coalesce(
    (SELECT c.fn_id FROM calls c WHERE c.app_id = queue.app_id AND c.id = queue.call_id), '');
DROP INDEX queue_in_order;
CREATE INDEX queue_in_order ON queue (tier, place, call_id, fn_id) WHERE state = 0;

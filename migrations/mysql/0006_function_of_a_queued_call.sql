-- The function of a queued call: a server that has no room for it passes it over, however many of its calls stand first.
ALTER TABLE queue ADD COLUMN fn_id VARCHAR(26) NOT NULL DEFAULT '';
UPDATE queue q JOIN calls c ON c.app_id = q.app_id AND c.id = q.call_id SET q.fn_id = c.fn_id;
ALTER TABLE queue DROP INDEX queue_in_order, ADD INDEX queue_in_order (state, tier, place, call_id, fn_id);

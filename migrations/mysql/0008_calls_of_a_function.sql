-- API v2 lists the calls of one function, and all triggers of an app by name. Names of triggers are unique per function
-- only, so that the id has to tell two of one name apart where a page ends.
CREATE INDEX calls_by_function ON calls (app_id, fn_id, id);
CREATE INDEX calls_by_function_and_status ON calls (app_id, fn_id, status, id);
CREATE INDEX calls_by_function_and_reason ON calls (app_id, fn_id, reason, id);
-- The new one first: a foreign key leans on whatever index begins with its column.
CREATE INDEX triggers_by_name_and_id ON triggers (app_id, name, id);
DROP INDEX triggers_by_name ON triggers;

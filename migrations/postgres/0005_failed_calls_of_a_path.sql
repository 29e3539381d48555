-- Lists of the failed calls of one route: among a million calls of an app there may be tens of thousands that failed, and
-- none of them of this route. Calls that succeed are in neither of these, so they cost nothing more.
CREATE INDEX calls_by_path_and_status ON calls (app_id, path, status, id) WHERE status <> 'success';
CREATE INDEX calls_by_path_and_reason ON calls (app_id, path, reason, id) WHERE reason IS NOT NULL;

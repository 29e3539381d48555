-- Lists of the failed calls of one route: among a million calls of an app there may be tens of thousands that failed, and
-- none of them of this route. With the id these would be too long; InnoDB adds the primary key to each by itself.
CREATE INDEX calls_by_path_and_status ON calls (app_id, path, status);
CREATE INDEX calls_by_path_and_reason ON calls (app_id, path, reason);

-- Plugin revisions that one operator ended. A revision itself is written once.

CREATE TABLE plugin_revocations (
    revision TEXT NOT NULL PRIMARY KEY REFERENCES plugin_revisions (id),
    organization TEXT NOT NULL REFERENCES organizations (id),
    revoked_by TEXT,
    evidence TEXT,
    revoked_at INTEGER NOT NULL,
    seal TEXT NOT NULL
) STRICT;

CREATE INDEX plugin_revocations_organization ON plugin_revocations (organization);

CREATE TRIGGER plugin_revocations_no_update BEFORE UPDATE ON plugin_revocations
BEGIN
    SELECT RAISE(ABORT, 'plugin_revocations is append-only');
END;

CREATE TRIGGER plugin_revocations_no_delete BEFORE DELETE ON plugin_revocations
BEGIN
    SELECT RAISE(ABORT, 'plugin_revocations is append-only');
END;

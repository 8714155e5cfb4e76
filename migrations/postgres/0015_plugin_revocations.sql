-- Plugin revisions that one operator ended. A revision itself is written once.

CREATE TABLE plugin_revocations (
    revision TEXT NOT NULL PRIMARY KEY REFERENCES plugin_revisions (id),
    organization TEXT NOT NULL REFERENCES organizations (id),
    revoked_by TEXT,
    evidence TEXT,
    revoked_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE INDEX plugin_revocations_organization ON plugin_revocations (organization);

CREATE TRIGGER plugin_revocations_append_only BEFORE UPDATE OR DELETE ON plugin_revocations
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER plugin_revocations_no_truncate BEFORE TRUNCATE ON plugin_revocations
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

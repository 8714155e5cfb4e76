-- Who may change what can be signed, and the changes they propose.

-- One row, whose history the audit log holds.
CREATE TABLE charters (
    id TEXT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL,
    operators TEXT NOT NULL,
    approvals_required BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE TABLE proposals (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL,
    proposer TEXT NOT NULL,
    change TEXT NOT NULL,
    reason TEXT NOT NULL,
    approvals TEXT NOT NULL,
    state TEXT NOT NULL,
    state_facts TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE INDEX proposals_open ON proposals (state, expires_at);

CREATE TRIGGER charters_no_delete BEFORE DELETE ON charters
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER charters_no_truncate BEFORE TRUNCATE ON charters
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER proposals_no_delete BEFORE DELETE ON proposals
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER proposals_no_truncate BEFORE TRUNCATE ON proposals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER proposals_write_once BEFORE UPDATE ON proposals FOR EACH ROW
WHEN (NEW.id IS DISTINCT FROM OLD.id
    OR NEW.organization IS DISTINCT FROM OLD.organization
    OR NEW.proposer IS DISTINCT FROM OLD.proposer
    OR NEW.change IS DISTINCT FROM OLD.change
    OR NEW.reason IS DISTINCT FROM OLD.reason
    OR NEW.created_at IS DISTINCT FROM OLD.created_at
    OR NEW.expires_at IS DISTINCT FROM OLD.expires_at)
EXECUTE FUNCTION refuse_change();

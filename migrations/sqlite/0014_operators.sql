-- Who may change what can be signed, and the changes they propose.

-- One row, whose history the audit log holds.
CREATE TABLE charters (
    id TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    operators TEXT NOT NULL,
    approvals_required INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    seal TEXT NOT NULL
) STRICT;

CREATE TABLE proposals (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL,
    proposer TEXT NOT NULL,
    change TEXT NOT NULL,
    reason TEXT NOT NULL,
    approvals TEXT NOT NULL,
    state TEXT NOT NULL,
    state_facts TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    seal TEXT NOT NULL
) STRICT;

CREATE INDEX proposals_open ON proposals (state, expires_at);

CREATE TRIGGER charters_no_delete BEFORE DELETE ON charters
BEGIN
    SELECT RAISE(ABORT, 'charters keeps its rows');
END;

CREATE TRIGGER proposals_no_delete BEFORE DELETE ON proposals
BEGIN
    SELECT RAISE(ABORT, 'proposals keeps its rows');
END;

CREATE TRIGGER proposals_write_once BEFORE UPDATE OF
    id, organization, proposer, change, reason, created_at, expires_at
ON proposals
WHEN NEW.id IS NOT OLD.id
    OR NEW.organization IS NOT OLD.organization
    OR NEW.proposer IS NOT OLD.proposer
    OR NEW.change IS NOT OLD.change
    OR NEW.reason IS NOT OLD.reason
    OR NEW.created_at IS NOT OLD.created_at
    OR NEW.expires_at IS NOT OLD.expires_at
BEGIN
    SELECT RAISE(ABORT, 'this column of proposals is written once');
END;

-- Verification services, the encrypted payloads sent to them, and what they report.

CREATE TABLE verification_services (
    organization TEXT NOT NULL REFERENCES organizations (id),
    id INTEGER NOT NULL,
    name TEXT NOT NULL,
    inbox TEXT NOT NULL,
    public_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    description TEXT,
    usable_until INTEGER,
    active INTEGER NOT NULL,
    built_in TEXT,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    seal TEXT NOT NULL,
    PRIMARY KEY (organization, id)
) STRICT;

CREATE UNIQUE INDEX verification_services_inbox ON verification_services (organization, inbox);
CREATE UNIQUE INDEX verification_services_fingerprint ON verification_services (organization, fingerprint);

CREATE TABLE encrypted_payloads (
    transaction_id TEXT NOT NULL PRIMARY KEY REFERENCES transactions (id),
    organization TEXT NOT NULL,
    verification_service INTEGER NOT NULL,
    service_key TEXT NOT NULL,
    message_digest TEXT NOT NULL,
    session_key_digest TEXT NOT NULL,
    cid TEXT NOT NULL,
    root TEXT NOT NULL,
    user_signature TEXT NOT NULL,
    pinned INTEGER NOT NULL,
    relay_id TEXT NOT NULL,
    submission TEXT NOT NULL,
    submission_facts TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    seal TEXT NOT NULL
) STRICT;

-- Whoever sends a message again meets this, in every organization.
CREATE UNIQUE INDEX encrypted_payloads_session_key ON encrypted_payloads (service_key, session_key_digest);

CREATE TRIGGER encrypted_payloads_no_delete BEFORE DELETE ON encrypted_payloads
BEGIN
    SELECT RAISE(ABORT, 'encrypted_payloads keeps its rows');
END;

CREATE TRIGGER encrypted_payloads_write_once BEFORE UPDATE OF
    transaction_id, organization, verification_service, service_key, message_digest, session_key_digest, cid, root,
    user_signature, relay_id, created_at
ON encrypted_payloads
WHEN NEW.transaction_id IS NOT OLD.transaction_id
    OR NEW.organization IS NOT OLD.organization
    OR NEW.verification_service IS NOT OLD.verification_service
    OR NEW.service_key IS NOT OLD.service_key
    OR NEW.message_digest IS NOT OLD.message_digest
    OR NEW.session_key_digest IS NOT OLD.session_key_digest
    OR NEW.cid IS NOT OLD.cid
    OR NEW.root IS NOT OLD.root
    OR NEW.user_signature IS NOT OLD.user_signature
    OR (NEW.relay_id IS NOT OLD.relay_id
        AND NOT (NEW.submission = 'pending' AND OLD.submission IN ('pending', 'failed')))
    OR NEW.created_at IS NOT OLD.created_at
BEGIN
    SELECT RAISE(ABORT, 'this column of encrypted_payloads is written once');
END;

-- Who sent a message first, and for what: written before the token is asked to open it.
CREATE TABLE session_key_claims (
    service_key TEXT NOT NULL,
    session_key_digest TEXT NOT NULL,
    organization TEXT NOT NULL,
    initiator TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    message_digest TEXT NOT NULL,
    user_id TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    self_registered INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (service_key, session_key_digest)
) STRICT;

CREATE INDEX session_key_claims_user ON session_key_claims (organization, user_id, created_at);
CREATE INDEX session_key_claims_time ON session_key_claims (organization, created_at, self_registered, bytes);

CREATE TRIGGER session_key_claims_no_update BEFORE UPDATE ON session_key_claims
BEGIN
    SELECT RAISE(ABORT, 'session_key_claims is append-only');
END;

CREATE TRIGGER session_key_claims_no_delete BEFORE DELETE ON session_key_claims
BEGIN
    SELECT RAISE(ABORT, 'session_key_claims is append-only');
END;

CREATE TABLE ipfs_blocks (
    root TEXT NOT NULL PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

CREATE TRIGGER ipfs_blocks_no_update BEFORE UPDATE ON ipfs_blocks
BEGIN
    SELECT RAISE(ABORT, 'ipfs_blocks is append-only');
END;

-- Only what was withheld is not kept.
CREATE TRIGGER ipfs_blocks_no_delete BEFORE DELETE ON ipfs_blocks
WHEN EXISTS (SELECT 1 FROM encrypted_payloads p WHERE p.root = OLD.root AND p.submission <> 'withheld')
BEGIN
    SELECT RAISE(ABORT, 'ipfs_blocks keeps its rows: what they hold is or will be published');
END;

CREATE TABLE orion_metadata (
    transaction_id TEXT NOT NULL PRIMARY KEY REFERENCES transactions (id),
    organization TEXT NOT NULL,
    tee_proof TEXT,
    settlement TEXT,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    seal TEXT NOT NULL
) STRICT;

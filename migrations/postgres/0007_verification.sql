-- Verification services, the encrypted payloads sent to them, and what they report.

CREATE TABLE verification_services (
    organization TEXT NOT NULL REFERENCES organizations (id),
    id BIGINT NOT NULL,
    name TEXT NOT NULL,
    inbox TEXT NOT NULL,
    public_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    description TEXT,
    usable_until BIGINT,
    active BIGINT NOT NULL,
    built_in TEXT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    seal TEXT NOT NULL,
    PRIMARY KEY (organization, id)
);

CREATE UNIQUE INDEX verification_services_inbox ON verification_services (organization, inbox);
CREATE UNIQUE INDEX verification_services_fingerprint ON verification_services (organization, fingerprint);

CREATE TABLE encrypted_payloads (
    transaction_id TEXT NOT NULL PRIMARY KEY REFERENCES transactions (id),
    organization TEXT NOT NULL,
    verification_service BIGINT NOT NULL,
    service_key TEXT NOT NULL,
    message_digest TEXT NOT NULL,
    session_key_digest TEXT NOT NULL,
    cid TEXT NOT NULL,
    root TEXT NOT NULL,
    user_signature TEXT NOT NULL,
    pinned BIGINT NOT NULL,
    relay_id TEXT NOT NULL,
    submission TEXT NOT NULL,
    submission_facts TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

-- Whoever sends a message again meets this, in every organization.
CREATE UNIQUE INDEX encrypted_payloads_session_key ON encrypted_payloads (service_key, session_key_digest);

CREATE TRIGGER encrypted_payloads_no_delete BEFORE DELETE ON encrypted_payloads
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER encrypted_payloads_write_once BEFORE UPDATE ON encrypted_payloads FOR EACH ROW
WHEN (NEW.transaction_id IS DISTINCT FROM OLD.transaction_id
    OR NEW.organization IS DISTINCT FROM OLD.organization
    OR NEW.verification_service IS DISTINCT FROM OLD.verification_service
    OR NEW.service_key IS DISTINCT FROM OLD.service_key
    OR NEW.message_digest IS DISTINCT FROM OLD.message_digest
    OR NEW.session_key_digest IS DISTINCT FROM OLD.session_key_digest
    OR NEW.cid IS DISTINCT FROM OLD.cid
    OR NEW.root IS DISTINCT FROM OLD.root
    OR NEW.user_signature IS DISTINCT FROM OLD.user_signature
    OR (NEW.relay_id IS DISTINCT FROM OLD.relay_id
        AND NOT (NEW.submission = 'pending' AND OLD.submission IN ('pending', 'failed')))
    OR NEW.created_at IS DISTINCT FROM OLD.created_at)
EXECUTE FUNCTION refuse_change();

-- Who sent a message first, and for what: written before the token is asked to open it.
CREATE TABLE session_key_claims (
    service_key TEXT NOT NULL,
    session_key_digest TEXT NOT NULL,
    organization TEXT NOT NULL,
    initiator TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    message_digest TEXT NOT NULL,
    user_id TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    self_registered BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (service_key, session_key_digest)
);

CREATE INDEX session_key_claims_user ON session_key_claims (organization, user_id, created_at);
CREATE INDEX session_key_claims_time ON session_key_claims (organization, created_at, self_registered, bytes);

CREATE TRIGGER session_key_claims_no_update BEFORE UPDATE ON session_key_claims
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER session_key_claims_no_delete BEFORE DELETE ON session_key_claims
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER session_key_claims_no_truncate BEFORE TRUNCATE ON session_key_claims
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE ipfs_blocks (
    root TEXT NOT NULL PRIMARY KEY,
    bytes BYTEA NOT NULL
);

CREATE TRIGGER ipfs_blocks_no_update BEFORE UPDATE ON ipfs_blocks
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Only what was withheld is not kept.
CREATE FUNCTION keep_published_block() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM encrypted_payloads p WHERE p.root = OLD.root AND p.submission <> 'withheld') THEN
        RAISE EXCEPTION 'ipfs_blocks keeps its rows: what they hold is or will be published';
    END IF;
    RETURN OLD;
END $$;

CREATE TRIGGER ipfs_blocks_no_delete BEFORE DELETE ON ipfs_blocks
    FOR EACH ROW EXECUTE FUNCTION keep_published_block();

CREATE TABLE orion_metadata (
    transaction_id TEXT NOT NULL PRIMARY KEY REFERENCES transactions (id),
    organization TEXT NOT NULL,
    tee_proof TEXT,
    settlement TEXT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE TRIGGER encrypted_payloads_no_truncate BEFORE TRUNCATE ON encrypted_payloads
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER ipfs_blocks_no_truncate BEFORE TRUNCATE ON ipfs_blocks
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

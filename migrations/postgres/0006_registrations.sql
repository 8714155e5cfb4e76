-- OpenPGP keys of users and the calls that put things on record in the registry contract.

CREATE TABLE registrations (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES organizations (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    account TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    public_key TEXT NOT NULL,
    signature TEXT NOT NULL,
    possession TEXT,
    taken_over_at BIGINT,
    is_current BIGINT NOT NULL,
    relay_id TEXT NOT NULL,
    state TEXT NOT NULL,
    state_facts TEXT NOT NULL,
    version BIGINT NOT NULL,
    self_registered BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE UNIQUE INDEX registrations_fingerprint ON registrations (organization, fingerprint)
    WHERE taken_over_at IS NULL;
CREATE INDEX registrations_user ON registrations (organization, user_id);
CREATE UNIQUE INDEX registrations_current ON registrations (organization, user_id) WHERE is_current = 1;

CREATE TABLE relays (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES organizations (id),
    key_id TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    chain TEXT NOT NULL,
    address TEXT NOT NULL,
    registry TEXT NOT NULL,
    call_facts TEXT NOT NULL,
    nonce BIGINT NOT NULL,
    pricing TEXT NOT NULL,
    payload BYTEA NOT NULL,
    digest TEXT NOT NULL,
    outcome TEXT NOT NULL,
    outcome_facts TEXT NOT NULL,
    outbid TEXT NOT NULL,
    bid_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE INDEX relays_user ON relays (organization, user_id, created_at);
CREATE INDEX relays_time ON relays (organization, created_at);

CREATE TRIGGER relays_no_delete BEFORE DELETE ON relays
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER relays_write_once BEFORE UPDATE ON relays FOR EACH ROW
WHEN (NEW.id IS DISTINCT FROM OLD.id
    OR NEW.organization IS DISTINCT FROM OLD.organization
    OR NEW.key_id IS DISTINCT FROM OLD.key_id
    OR NEW.user_id IS DISTINCT FROM OLD.user_id
    OR NEW.chain IS DISTINCT FROM OLD.chain
    OR NEW.address IS DISTINCT FROM OLD.address
    OR NEW.registry IS DISTINCT FROM OLD.registry
    OR NEW.call_facts IS DISTINCT FROM OLD.call_facts
    OR NEW.nonce IS DISTINCT FROM OLD.nonce
    OR NEW.created_at IS DISTINCT FROM OLD.created_at)
EXECUTE FUNCTION refuse_change();

-- A bid gives way only to one that remembers it, and its first stored signature is its only one.
CREATE TRIGGER relays_bids BEFORE UPDATE ON relays FOR EACH ROW
WHEN ((NEW.outbid IS NOT DISTINCT FROM OLD.outbid
        AND (NEW.pricing IS DISTINCT FROM OLD.pricing
            OR NEW.payload IS DISTINCT FROM OLD.payload
            OR NEW.digest IS DISTINCT FROM OLD.digest
            OR NEW.bid_at IS DISTINCT FROM OLD.bid_at
            OR (OLD.outcome <> 'prepared' AND NEW.outcome = 'prepared')
            OR (OLD.outcome <> 'prepared' AND NEW.outcome = 'signed' AND NEW.outcome_facts <> OLD.outcome_facts)))
    OR (NEW.outbid IS DISTINCT FROM OLD.outbid AND (OLD.outcome <> 'signed' OR NEW.outcome <> 'prepared')))
EXECUTE FUNCTION refuse_change();

CREATE TRIGGER relays_no_truncate BEFORE TRUNCATE ON relays
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

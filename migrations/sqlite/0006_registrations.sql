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
    taken_over_at INTEGER,
    is_current INTEGER NOT NULL,
    relay_id TEXT NOT NULL,
    state TEXT NOT NULL,
    state_facts TEXT NOT NULL,
    version INTEGER NOT NULL,
    self_registered INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    seal TEXT NOT NULL
) STRICT;

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
    nonce INTEGER NOT NULL,
    pricing TEXT NOT NULL,
    payload BLOB NOT NULL,
    digest TEXT NOT NULL,
    outcome TEXT NOT NULL,
    outcome_facts TEXT NOT NULL,
    outbid TEXT NOT NULL,
    bid_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    seal TEXT NOT NULL
) STRICT;

CREATE INDEX relays_user ON relays (organization, user_id, created_at);
CREATE INDEX relays_time ON relays (organization, created_at);

CREATE TRIGGER relays_no_delete BEFORE DELETE ON relays
BEGIN
    SELECT RAISE(ABORT, 'relays keeps its rows');
END;

CREATE TRIGGER relays_write_once BEFORE UPDATE OF
    id, organization, key_id, user_id, chain, address, registry, call_facts, nonce, created_at
ON relays
WHEN NEW.id IS NOT OLD.id
    OR NEW.organization IS NOT OLD.organization
    OR NEW.key_id IS NOT OLD.key_id
    OR NEW.user_id IS NOT OLD.user_id
    OR NEW.chain IS NOT OLD.chain
    OR NEW.address IS NOT OLD.address
    OR NEW.registry IS NOT OLD.registry
    OR NEW.call_facts IS NOT OLD.call_facts
    OR NEW.nonce IS NOT OLD.nonce
    OR NEW.created_at IS NOT OLD.created_at
BEGIN
    SELECT RAISE(ABORT, 'this column of relays is written once');
END;

-- A bid gives way only to one that remembers it, and its first stored signature is its only one.
CREATE TRIGGER relays_bids BEFORE UPDATE ON relays
WHEN (NEW.outbid IS OLD.outbid
        AND (NEW.pricing IS NOT OLD.pricing
            OR NEW.payload IS NOT OLD.payload
            OR NEW.digest IS NOT OLD.digest
            OR NEW.bid_at IS NOT OLD.bid_at
            OR (OLD.outcome <> 'prepared' AND NEW.outcome = 'prepared')
            OR (OLD.outcome <> 'prepared' AND NEW.outcome = 'signed' AND NEW.outcome_facts <> OLD.outcome_facts)))
    OR (NEW.outbid IS NOT OLD.outbid AND (OLD.outcome <> 'signed' OR NEW.outcome <> 'prepared'))
BEGIN
    SELECT RAISE(ABORT, 'a bid of relays is written once');
END;

-- Times are microseconds since 1970 UTC, flags 0 or 1, ids and hashes text, amounts decimal text.

CREATE TABLE organizations (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    frozen BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

-- Moves with every write by which somebody or something of the organization may lose authority.
CREATE TABLE standings (
    organization TEXT NOT NULL PRIMARY KEY REFERENCES organizations (id),
    revision BIGINT NOT NULL
);

CREATE TABLE principals (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES organizations (id),
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    active BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY REFERENCES principals (id),
    organization TEXT NOT NULL,
    ethereum_address TEXT NOT NULL,
    escrow_key TEXT,
    escrow_address TEXT,
    privy_user_id TEXT,
    display_name TEXT,
    email TEXT,
    self_registered BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

-- Moves with every write by which somebody may lose authority over the user's own transactions.
CREATE TABLE user_standings (
    organization TEXT NOT NULL REFERENCES organizations (id),
    principal TEXT NOT NULL REFERENCES users (id),
    revision BIGINT NOT NULL,
    PRIMARY KEY (organization, principal)
);

CREATE UNIQUE INDEX users_ethereum_address ON users (organization, ethereum_address);
-- One vendor may serve several organizations: an address is at most one user's, whichever organization is theirs.
CREATE UNIQUE INDEX users_escrow_address ON users (escrow_address);
CREATE INDEX users_organization_escrow_address ON users (organization, escrow_address);

CREATE TABLE settings (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES users (id),
    organization TEXT NOT NULL,
    execution_type TEXT NOT NULL,
    chain_id BIGINT NOT NULL,
    execution_provider TEXT NOT NULL,
    agent_provider TEXT NOT NULL,
    verification_service BIGINT,
    require_arbiter BIGINT NOT NULL,
    orion_confidence_threshold_ppm BIGINT NOT NULL,
    approval_ttl_seconds BIGINT NOT NULL,
    version BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL,
    principal TEXT NOT NULL REFERENCES principals (id),
    public_id TEXT NOT NULL,
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    scopes TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    verification_service BIGINT,
    dev_only BIGINT NOT NULL,
    self_registered BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE UNIQUE INDEX api_keys_public_id ON api_keys (public_id);
CREATE INDEX api_keys_label ON api_keys (organization, label);

CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES organizations (id),
    token_id TEXT NOT NULL,
    cka_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    purpose TEXT NOT NULL,
    kinds TEXT NOT NULL,
    public_key TEXT,
    address TEXT,
    state TEXT NOT NULL,
    self_registered BIGINT NOT NULL,
    frozen BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE UNIQUE INDEX keys_cka_id ON keys (token_id, cka_id);
CREATE UNIQUE INDEX keys_address ON keys (address);
CREATE INDEX keys_organization ON keys (organization, created_at);
-- Counted at every insertion of a wallet key.
CREATE INDEX keys_wallets ON keys (organization, self_registered) WHERE purpose = 'wallet' AND state <> 'retired';
-- Looked through for what a crash left behind.
CREATE INDEX keys_generating ON keys (created_at) WHERE state = 'generating';

CREATE TABLE components (
    digest TEXT NOT NULL PRIMARY KEY,
    bytes BYTEA NOT NULL
);

CREATE TABLE plugin_revisions (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES organizations (id),
    plugin TEXT NOT NULL,
    component_digest TEXT NOT NULL REFERENCES components (digest),
    settings TEXT NOT NULL,
    grants TEXT NOT NULL,
    -- What the component turned out to be at the upload.
    examined TEXT NOT NULL,
    -- Absent in a deployment without operators.
    signature TEXT,
    uploaded_by TEXT,
    created_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE INDEX plugin_revisions_organization ON plugin_revisions (organization, created_at);

CREATE TABLE policies (
    organization TEXT NOT NULL REFERENCES organizations (id),
    revision BIGINT NOT NULL,
    floor TEXT NOT NULL,
    bindings TEXT NOT NULL,
    -- The one that made it, in a deployment with operators.
    proposal TEXT,
    created_at BIGINT NOT NULL,
    seal TEXT NOT NULL,
    PRIMARY KEY (organization, revision)
);

CREATE TABLE policy_heads (
    organization TEXT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL,
    seal TEXT NOT NULL,
    FOREIGN KEY (organization, revision) REFERENCES policies (organization, revision)
);

CREATE TABLE transactions (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES organizations (id),
    request_hash TEXT NOT NULL,
    request_nonce TEXT NOT NULL,
    -- Of the request as its client wrote it.
    request_digest TEXT NOT NULL,
    initiator TEXT NOT NULL,
    owner TEXT NOT NULL,
    owner_address TEXT NOT NULL,
    execution_type TEXT NOT NULL,
    provider TEXT NOT NULL,
    verification_service BIGINT,
    key_id TEXT NOT NULL,
    chain TEXT NOT NULL,
    kind TEXT NOT NULL,
    from_address TEXT NOT NULL,
    to_address TEXT,
    value TEXT NOT NULL,
    data BYTEA NOT NULL,
    ceilings TEXT NOT NULL,
    intent_hash TEXT NOT NULL,
    snapshot TEXT NOT NULL,
    note TEXT,
    state TEXT NOT NULL,
    state_facts TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE UNIQUE INDEX transactions_request_hash ON transactions (organization, request_hash);
CREATE INDEX transactions_owner ON transactions (organization, owner, created_at, id);
CREATE INDEX transactions_open ON transactions (organization, created_at) WHERE state IN ('pending', 'approved');
CREATE INDEX transactions_owner_state ON transactions (organization, owner, state, created_at, id);
CREATE INDEX transactions_history ON transactions (organization, chain, created_at, id);
CREATE INDEX transactions_executed ON transactions (organization, key_id, from_address, to_address, created_at) WHERE state IN ('executed', 'executed_by_vendor');
CREATE INDEX transactions_settled ON transactions (organization, key_id, from_address, to_address, created_at) WHERE state = 'settled';
CREATE INDEX transactions_rejected ON transactions (organization, key_id, from_address, to_address, created_at) WHERE state = 'rejected';

CREATE TABLE evaluations (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    intent_hash TEXT NOT NULL,
    binding TEXT NOT NULL,
    policy_revision BIGINT NOT NULL,
    subject_digest TEXT NOT NULL,
    subject_name TEXT NOT NULL,
    purpose TEXT NOT NULL,
    result TEXT NOT NULL,
    duration_micros BIGINT NOT NULL,
    record TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE INDEX evaluations_transaction ON evaluations (organization, transaction_id);

CREATE TABLE votes (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL,
    transaction_id TEXT NOT NULL REFERENCES transactions (id),
    intent_hash TEXT NOT NULL,
    principal TEXT NOT NULL,
    ordinal BIGINT NOT NULL,
    role TEXT NOT NULL,
    ballot TEXT NOT NULL,
    evidence TEXT NOT NULL,
    confidence_ppm BIGINT,
    analysis TEXT,
    created_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE UNIQUE INDEX votes_principal ON votes (organization, transaction_id, principal, ordinal);

CREATE TABLE attempts (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL,
    transaction_id TEXT NOT NULL REFERENCES transactions (id),
    key_id TEXT NOT NULL,
    chain TEXT NOT NULL,
    address TEXT NOT NULL,
    nonce BIGINT NOT NULL,
    pricing TEXT NOT NULL,
    payload BYTEA NOT NULL,
    digest TEXT NOT NULL,
    outcome TEXT NOT NULL,
    outcome_facts TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE INDEX attempts_transaction ON attempts (organization, transaction_id);

-- Which transaction holds a nonce. Its replacements share the row; it goes when the last live attempt does.
CREATE TABLE nonces (
    chain TEXT NOT NULL,
    address TEXT NOT NULL,
    nonce BIGINT NOT NULL,
    transaction_id TEXT NOT NULL,
    PRIMARY KEY (chain, address, nonce)
);

CREATE TABLE permits (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL,
    transaction_id TEXT NOT NULL REFERENCES transactions (id),
    attempt_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    intent_hash TEXT NOT NULL,
    policy_revision BIGINT NOT NULL,
    standing_revision BIGINT NOT NULL,
    transaction_version BIGINT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE UNIQUE INDEX permits_digest ON permits (transaction_id, key_id, digest);

CREATE TABLE outbox (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL,
    job TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    holder TEXT,
    fencing BIGINT NOT NULL DEFAULT 0
);

-- A claim moves due_at to the end of its lease, so one index finds what is due and what was abandoned.
CREATE INDEX outbox_due ON outbox (due_at);

-- What somebody signed has one effect, in whichever organization it is told first.
CREATE TABLE replay_guards (
    organization TEXT NOT NULL,
    signer TEXT NOT NULL,
    signed_hash TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (signer, signed_hash)
);

CREATE INDEX replay_guards_expiry ON replay_guards (expires_at);

CREATE TABLE idempotency_keys (
    organization TEXT NOT NULL,
    principal TEXT NOT NULL,
    operation TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    outcome TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (organization, principal, operation, idempotency_key)
);

CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

CREATE TABLE audit_entries (
    lane TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    previous TEXT NOT NULL,
    organization TEXT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    request_id TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    tallies TEXT,
    seal TEXT NOT NULL,
    PRIMARY KEY (lane, sequence)
);

CREATE TABLE audit_lanes (
    lane TEXT NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL,
    hash TEXT NOT NULL,
    tallies TEXT NOT NULL
);

CREATE TABLE audit_checkpoints (
    number BIGINT NOT NULL PRIMARY KEY,
    previous TEXT NOT NULL,
    at BIGINT NOT NULL,
    heads TEXT NOT NULL,
    public_key TEXT NOT NULL,
    signature TEXT NOT NULL
);

-- Vendors that execute: the account in the intent, integrations, and requests written before they are sent.

ALTER TABLE transactions ADD COLUMN vendor_account TEXT;

CREATE TRIGGER transactions_vendor_account_write_once BEFORE UPDATE ON transactions FOR EACH ROW
WHEN (NEW.vendor_account IS DISTINCT FROM OLD.vendor_account)
EXECUTE FUNCTION refuse_change();

CREATE TABLE fireblocks_integrations (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES organizations (id),
    owner TEXT NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    key_id TEXT NOT NULL REFERENCES keys (id),
    csr TEXT NOT NULL,
    csr_created_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    state_facts TEXT NOT NULL,
    recreated_at TEXT NOT NULL,
    self_registered BIGINT NOT NULL,
    -- Rotation of the key that sealed the API key, if there is one.
    api_key_epoch BIGINT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE UNIQUE INDEX fireblocks_integrations_owner ON fireblocks_integrations (organization, owner, role);
CREATE INDEX fireblocks_integrations_epoch ON fireblocks_integrations (api_key_epoch);

CREATE TABLE vendor_calls (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL,
    transaction_id TEXT NOT NULL REFERENCES transactions (id),
    key_id TEXT NOT NULL,
    method TEXT NOT NULL,
    uri TEXT NOT NULL,
    body BYTEA NOT NULL,
    digest TEXT NOT NULL,
    external_id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    outcome_facts TEXT NOT NULL,
    refused_since BIGINT,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

-- One transaction is handed over once.
CREATE UNIQUE INDEX vendor_calls_transaction ON vendor_calls (organization, transaction_id);

CREATE TRIGGER vendor_calls_no_delete BEFORE DELETE ON vendor_calls
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER vendor_calls_write_once BEFORE UPDATE ON vendor_calls FOR EACH ROW
WHEN (NEW.id IS DISTINCT FROM OLD.id
    OR NEW.organization IS DISTINCT FROM OLD.organization
    OR NEW.transaction_id IS DISTINCT FROM OLD.transaction_id
    OR NEW.key_id IS DISTINCT FROM OLD.key_id
    OR NEW.method IS DISTINCT FROM OLD.method
    OR NEW.uri IS DISTINCT FROM OLD.uri
    OR NEW.body IS DISTINCT FROM OLD.body
    OR NEW.digest IS DISTINCT FROM OLD.digest
    OR NEW.external_id IS DISTINCT FROM OLD.external_id
    OR NEW.created_at IS DISTINCT FROM OLD.created_at)
EXECUTE FUNCTION refuse_change();

-- Vendors that execute: the account in the intent, integrations, and requests written before they are sent.

ALTER TABLE transactions ADD COLUMN vendor_account TEXT;

CREATE TRIGGER transactions_vendor_account_write_once BEFORE UPDATE OF vendor_account ON transactions
WHEN NEW.vendor_account IS NOT OLD.vendor_account
BEGIN
    SELECT RAISE(ABORT, 'transactions.vendor_account is written once');
END;

CREATE TABLE fireblocks_integrations (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES organizations (id),
    owner TEXT NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    key_id TEXT NOT NULL REFERENCES keys (id),
    csr TEXT NOT NULL,
    csr_created_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    state_facts TEXT NOT NULL,
    recreated_at TEXT NOT NULL,
    self_registered INTEGER NOT NULL,
    -- Rotation of the key that sealed the API key, if there is one.
    api_key_epoch INTEGER,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    seal TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX fireblocks_integrations_owner ON fireblocks_integrations (organization, owner, role);
CREATE INDEX fireblocks_integrations_epoch ON fireblocks_integrations (api_key_epoch);

CREATE TABLE vendor_calls (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL,
    transaction_id TEXT NOT NULL REFERENCES transactions (id),
    key_id TEXT NOT NULL,
    method TEXT NOT NULL,
    uri TEXT NOT NULL,
    body BLOB NOT NULL,
    digest TEXT NOT NULL,
    external_id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    outcome_facts TEXT NOT NULL,
    refused_since INTEGER,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    seal TEXT NOT NULL
) STRICT;

-- One transaction is handed over once.
CREATE UNIQUE INDEX vendor_calls_transaction ON vendor_calls (organization, transaction_id);

CREATE TRIGGER vendor_calls_no_delete BEFORE DELETE ON vendor_calls
BEGIN
    SELECT RAISE(ABORT, 'vendor_calls keeps its rows');
END;

CREATE TRIGGER vendor_calls_write_once BEFORE UPDATE OF
    id, organization, transaction_id, key_id, method, uri, body, digest, external_id, created_at
ON vendor_calls
BEGIN
    SELECT RAISE(ABORT, 'vendor_calls is written once here');
END;

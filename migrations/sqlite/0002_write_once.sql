-- What was judged, said or recorded stays as it was written, whatever the code above does.

CREATE TRIGGER audit_entries_no_update BEFORE UPDATE ON audit_entries
BEGIN
    SELECT RAISE(ABORT, 'audit_entries is append-only');
END;

CREATE TRIGGER audit_entries_no_delete BEFORE DELETE ON audit_entries
BEGIN
    SELECT RAISE(ABORT, 'audit_entries is append-only');
END;

CREATE TRIGGER evaluations_no_update BEFORE UPDATE ON evaluations
BEGIN
    SELECT RAISE(ABORT, 'evaluations is append-only');
END;

CREATE TRIGGER evaluations_no_delete BEFORE DELETE ON evaluations
BEGIN
    SELECT RAISE(ABORT, 'evaluations is append-only');
END;

CREATE TRIGGER votes_no_update BEFORE UPDATE ON votes
BEGIN
    SELECT RAISE(ABORT, 'votes is append-only');
END;

CREATE TRIGGER votes_no_delete BEFORE DELETE ON votes
BEGIN
    SELECT RAISE(ABORT, 'votes is append-only');
END;

CREATE TRIGGER policies_no_update BEFORE UPDATE ON policies
BEGIN
    SELECT RAISE(ABORT, 'policies is append-only');
END;

CREATE TRIGGER policies_no_delete BEFORE DELETE ON policies
BEGIN
    SELECT RAISE(ABORT, 'policies is append-only');
END;

CREATE TRIGGER plugin_revisions_no_update BEFORE UPDATE ON plugin_revisions
BEGIN
    SELECT RAISE(ABORT, 'plugin_revisions is append-only');
END;

CREATE TRIGGER plugin_revisions_no_delete BEFORE DELETE ON plugin_revisions
BEGIN
    SELECT RAISE(ABORT, 'plugin_revisions is append-only');
END;

CREATE TRIGGER components_no_update BEFORE UPDATE ON components
BEGIN
    SELECT RAISE(ABORT, 'components is append-only');
END;

CREATE TRIGGER components_no_delete BEFORE DELETE ON components
BEGIN
    SELECT RAISE(ABORT, 'components is append-only');
END;

CREATE TRIGGER audit_checkpoints_no_update BEFORE UPDATE ON audit_checkpoints
BEGIN
    SELECT RAISE(ABORT, 'audit_checkpoints is append-only');
END;

CREATE TRIGGER audit_checkpoints_no_delete BEFORE DELETE ON audit_checkpoints
BEGIN
    SELECT RAISE(ABORT, 'audit_checkpoints is append-only');
END;

CREATE TRIGGER transactions_no_delete BEFORE DELETE ON transactions
BEGIN
    SELECT RAISE(ABORT, 'transactions keeps its rows');
END;

CREATE TRIGGER transactions_write_once BEFORE UPDATE OF
    id, organization, request_hash, request_nonce, request_digest, initiator, owner, owner_address, execution_type,
    provider, verification_service, key_id, chain, kind, from_address, to_address, value, data, ceilings, intent_hash,
    snapshot, created_at
ON transactions
WHEN NEW.id IS NOT OLD.id
    OR NEW.organization IS NOT OLD.organization
    OR NEW.request_hash IS NOT OLD.request_hash
    OR NEW.request_nonce IS NOT OLD.request_nonce
    OR NEW.request_digest IS NOT OLD.request_digest
    OR NEW.initiator IS NOT OLD.initiator
    OR NEW.owner IS NOT OLD.owner
    OR NEW.owner_address IS NOT OLD.owner_address
    OR NEW.execution_type IS NOT OLD.execution_type
    OR NEW.provider IS NOT OLD.provider
    OR NEW.verification_service IS NOT OLD.verification_service
    OR NEW.key_id IS NOT OLD.key_id
    OR NEW.chain IS NOT OLD.chain
    OR NEW.kind IS NOT OLD.kind
    OR NEW.from_address IS NOT OLD.from_address
    OR NEW.to_address IS NOT OLD.to_address
    OR NEW.value IS NOT OLD.value
    OR NEW.data IS NOT OLD.data
    OR NEW.ceilings IS NOT OLD.ceilings
    OR NEW.intent_hash IS NOT OLD.intent_hash
    OR NEW.snapshot IS NOT OLD.snapshot
    OR NEW.created_at IS NOT OLD.created_at
BEGIN
    SELECT RAISE(ABORT, 'this column of transactions is written once');
END;

CREATE TRIGGER attempts_no_delete BEFORE DELETE ON attempts
BEGIN
    SELECT RAISE(ABORT, 'attempts keeps its rows');
END;

CREATE TRIGGER attempts_write_once BEFORE UPDATE OF
    id, organization, transaction_id, key_id, chain, address, nonce, pricing, payload, digest,
    created_at
ON attempts
WHEN NEW.id IS NOT OLD.id
    OR NEW.organization IS NOT OLD.organization
    OR NEW.transaction_id IS NOT OLD.transaction_id
    OR NEW.key_id IS NOT OLD.key_id
    OR NEW.chain IS NOT OLD.chain
    OR NEW.address IS NOT OLD.address
    OR NEW.nonce IS NOT OLD.nonce
    OR NEW.pricing IS NOT OLD.pricing
    OR NEW.payload IS NOT OLD.payload
    OR NEW.digest IS NOT OLD.digest
    OR NEW.created_at IS NOT OLD.created_at
BEGIN
    SELECT RAISE(ABORT, 'this column of attempts is written once');
END;

CREATE TRIGGER permits_no_delete BEFORE DELETE ON permits
BEGIN
    SELECT RAISE(ABORT, 'permits keeps its rows');
END;

CREATE TRIGGER permits_write_once BEFORE UPDATE OF
    id, organization, transaction_id, key_id, digest, intent_hash
ON permits
WHEN NEW.id IS NOT OLD.id
    OR NEW.organization IS NOT OLD.organization
    OR NEW.transaction_id IS NOT OLD.transaction_id
    OR NEW.key_id IS NOT OLD.key_id
    OR NEW.digest IS NOT OLD.digest
    OR NEW.intent_hash IS NOT OLD.intent_hash
BEGIN
    SELECT RAISE(ABORT, 'this column of permits is written once');
END;

CREATE TRIGGER keys_no_delete BEFORE DELETE ON keys
BEGIN
    SELECT RAISE(ABORT, 'keys keeps its rows');
END;

CREATE TRIGGER keys_write_once BEFORE UPDATE OF
    id, organization, token_id, cka_id, algorithm, purpose, self_registered, created_at
ON keys
WHEN NEW.id IS NOT OLD.id
    OR NEW.organization IS NOT OLD.organization
    OR NEW.token_id IS NOT OLD.token_id
    OR NEW.cka_id IS NOT OLD.cka_id
    OR NEW.algorithm IS NOT OLD.algorithm
    OR NEW.purpose IS NOT OLD.purpose
    OR NEW.self_registered IS NOT OLD.self_registered
    OR NEW.created_at IS NOT OLD.created_at
BEGIN
    SELECT RAISE(ABORT, 'this column of keys is written once');
END;

-- The first stored signature is the only one, and its nonce is never given back.
CREATE TRIGGER attempts_first_signature BEFORE UPDATE OF outcome, outcome_facts ON attempts
WHEN OLD.outcome <> 'prepared'
    AND (NEW.outcome IN ('prepared', 'released') OR OLD.outcome = 'released'
        OR (NEW.outcome = 'signed' AND NEW.outcome_facts <> OLD.outcome_facts))
BEGIN
    SELECT RAISE(ABORT, 'the outcome of a signed or released attempt stays');
END;

-- What was judged, said or recorded stays as it was written, whatever the code above does.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only or written once here', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END;
$$;

CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER evaluations_append_only BEFORE UPDATE OR DELETE ON evaluations
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER votes_append_only BEFORE UPDATE OR DELETE ON votes
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER policies_append_only BEFORE UPDATE OR DELETE ON policies
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER plugin_revisions_append_only BEFORE UPDATE OR DELETE ON plugin_revisions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER components_append_only BEFORE UPDATE OR DELETE ON components
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_checkpoints_append_only BEFORE UPDATE OR DELETE ON audit_checkpoints
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER transactions_no_delete BEFORE DELETE ON transactions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER transactions_write_once BEFORE UPDATE ON transactions FOR EACH ROW
WHEN (NEW.id IS DISTINCT FROM OLD.id
    OR NEW.organization IS DISTINCT FROM OLD.organization
    OR NEW.request_hash IS DISTINCT FROM OLD.request_hash
    OR NEW.request_nonce IS DISTINCT FROM OLD.request_nonce
    OR NEW.request_digest IS DISTINCT FROM OLD.request_digest
    OR NEW.initiator IS DISTINCT FROM OLD.initiator
    OR NEW.owner IS DISTINCT FROM OLD.owner
    OR NEW.owner_address IS DISTINCT FROM OLD.owner_address
    OR NEW.execution_type IS DISTINCT FROM OLD.execution_type
    OR NEW.provider IS DISTINCT FROM OLD.provider
    OR NEW.verification_service IS DISTINCT FROM OLD.verification_service
    OR NEW.key_id IS DISTINCT FROM OLD.key_id
    OR NEW.chain IS DISTINCT FROM OLD.chain
    OR NEW.kind IS DISTINCT FROM OLD.kind
    OR NEW.from_address IS DISTINCT FROM OLD.from_address
    OR NEW.to_address IS DISTINCT FROM OLD.to_address
    OR NEW.value IS DISTINCT FROM OLD.value
    OR NEW.data IS DISTINCT FROM OLD.data
    OR NEW.ceilings IS DISTINCT FROM OLD.ceilings
    OR NEW.intent_hash IS DISTINCT FROM OLD.intent_hash
    OR NEW.snapshot IS DISTINCT FROM OLD.snapshot
    OR NEW.created_at IS DISTINCT FROM OLD.created_at)
EXECUTE FUNCTION refuse_change();

CREATE TRIGGER attempts_no_delete BEFORE DELETE ON attempts
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER attempts_write_once BEFORE UPDATE ON attempts FOR EACH ROW
WHEN (NEW.id IS DISTINCT FROM OLD.id
    OR NEW.organization IS DISTINCT FROM OLD.organization
    OR NEW.transaction_id IS DISTINCT FROM OLD.transaction_id
    OR NEW.key_id IS DISTINCT FROM OLD.key_id
    OR NEW.chain IS DISTINCT FROM OLD.chain
    OR NEW.address IS DISTINCT FROM OLD.address
    OR NEW.nonce IS DISTINCT FROM OLD.nonce
    OR NEW.pricing IS DISTINCT FROM OLD.pricing
    OR NEW.payload IS DISTINCT FROM OLD.payload
    OR NEW.digest IS DISTINCT FROM OLD.digest
    OR NEW.created_at IS DISTINCT FROM OLD.created_at)
EXECUTE FUNCTION refuse_change();

CREATE TRIGGER permits_no_delete BEFORE DELETE ON permits
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER permits_write_once BEFORE UPDATE ON permits FOR EACH ROW
WHEN (NEW.id IS DISTINCT FROM OLD.id
    OR NEW.organization IS DISTINCT FROM OLD.organization
    OR NEW.transaction_id IS DISTINCT FROM OLD.transaction_id
    OR NEW.key_id IS DISTINCT FROM OLD.key_id
    OR NEW.digest IS DISTINCT FROM OLD.digest
    OR NEW.intent_hash IS DISTINCT FROM OLD.intent_hash)
EXECUTE FUNCTION refuse_change();

CREATE TRIGGER keys_no_delete BEFORE DELETE ON keys
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER keys_write_once BEFORE UPDATE ON keys FOR EACH ROW
WHEN (NEW.id IS DISTINCT FROM OLD.id
    OR NEW.organization IS DISTINCT FROM OLD.organization
    OR NEW.token_id IS DISTINCT FROM OLD.token_id
    OR NEW.cka_id IS DISTINCT FROM OLD.cka_id
    OR NEW.algorithm IS DISTINCT FROM OLD.algorithm
    OR NEW.purpose IS DISTINCT FROM OLD.purpose
    OR NEW.self_registered IS DISTINCT FROM OLD.self_registered
    OR NEW.created_at IS DISTINCT FROM OLD.created_at)
EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_entries_no_truncate BEFORE TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER evaluations_no_truncate BEFORE TRUNCATE ON evaluations
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER votes_no_truncate BEFORE TRUNCATE ON votes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER policies_no_truncate BEFORE TRUNCATE ON policies
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER plugin_revisions_no_truncate BEFORE TRUNCATE ON plugin_revisions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER components_no_truncate BEFORE TRUNCATE ON components
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_checkpoints_no_truncate BEFORE TRUNCATE ON audit_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER transactions_no_truncate BEFORE TRUNCATE ON transactions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER attempts_no_truncate BEFORE TRUNCATE ON attempts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER permits_no_truncate BEFORE TRUNCATE ON permits
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER keys_no_truncate BEFORE TRUNCATE ON keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The first stored signature is the only one, and its nonce is never given back.
CREATE TRIGGER attempts_first_signature BEFORE UPDATE ON attempts FOR EACH ROW
WHEN (OLD.outcome <> 'prepared'
    AND (NEW.outcome IN ('prepared', 'released') OR OLD.outcome = 'released'
        OR (NEW.outcome = 'signed' AND NEW.outcome_facts <> OLD.outcome_facts)))
EXECUTE FUNCTION refuse_change();

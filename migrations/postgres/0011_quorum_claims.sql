-- Quorums that were, or may have been, made at Privy: each stays there, whatever becomes of the reference to it.
-- Those that were refused, or of which Privy never heard, are marked, and count for a day. A user's own and the arbiter's
-- count apart.

CREATE TABLE privy_quorum_claims (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES organizations (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    request TEXT NOT NULL,
    self_registered BIGINT NOT NULL,
    for_arbiter BIGINT NOT NULL,
    may_exist BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX privy_quorum_claims_user ON privy_quorum_claims (organization, user_id);

CREATE TRIGGER privy_quorum_claims_no_delete BEFORE DELETE ON privy_quorum_claims
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER privy_quorum_claims_write_once BEFORE UPDATE OF
    id, organization, user_id, request, self_registered, for_arbiter, created_at
ON privy_quorum_claims
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

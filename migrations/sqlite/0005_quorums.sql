-- References to key quorums at Privy.

CREATE TABLE privy_quorums (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES organizations (id),
    owner TEXT NOT NULL REFERENCES users (id),
    kind TEXT NOT NULL,
    quorum_id TEXT NOT NULL,
    display_name TEXT NOT NULL,
    public_key_pem TEXT,
    authorization_threshold INTEGER NOT NULL,
    is_static INTEGER NOT NULL,
    message TEXT,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    seal TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX privy_quorums_owner ON privy_quorums (organization, owner, kind);

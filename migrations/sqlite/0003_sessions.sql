CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    refresh_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    refreshed_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    end_reason TEXT,
    version INTEGER NOT NULL,
    seal TEXT NOT NULL,
    wallet_epoch INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX sessions_refresh_hash ON sessions (organization, refresh_hash);
CREATE INDEX sessions_live ON sessions (organization, user_id, created_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE used_refresh_tokens (
    organization TEXT NOT NULL,
    refresh_hash TEXT NOT NULL,
    session_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (organization, refresh_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX used_refresh_tokens_expiry ON used_refresh_tokens (expires_at);

-- When a key was last used, noted now and then.
CREATE TABLE api_key_uses (
    organization TEXT NOT NULL,
    credential TEXT NOT NULL,
    last_used_at INTEGER NOT NULL,
    PRIMARY KEY (organization, credential)
) STRICT, WITHOUT ROWID;

CREATE INDEX api_keys_principal ON api_keys (organization, principal, created_at);

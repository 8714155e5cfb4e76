-- Gateways that share this database. Who stands still longer than its lease comes back under another fencing number,
-- and what it prepared under the old one gets no permit.
CREATE TABLE instances (
    id TEXT PRIMARY KEY,
    fencing INTEGER NOT NULL,
    live_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Keys of an organization under one name; a key's own row says in which vault it lies.

CREATE TABLE vaults (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    frozen INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    seal TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX vaults_name ON vaults (organization, name);

CREATE TRIGGER vaults_no_delete BEFORE DELETE ON vaults
BEGIN
    SELECT RAISE(ABORT, 'vaults keeps its rows');
END;

CREATE TRIGGER vaults_write_once BEFORE UPDATE OF
    id, organization, name, created_at
ON vaults
WHEN NEW.id IS NOT OLD.id
    OR NEW.organization IS NOT OLD.organization
    OR NEW.name IS NOT OLD.name
    OR NEW.created_at IS NOT OLD.created_at
BEGIN
    SELECT RAISE(ABORT, 'this column of vaults is written once');
END;

ALTER TABLE keys ADD COLUMN vault TEXT REFERENCES vaults (id);

CREATE INDEX keys_vault ON keys (organization, vault, id);

-- Keys of an organization under one name; a key's own row says in which vault it lies.

CREATE TABLE vaults (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    frozen BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    seal TEXT NOT NULL
);

CREATE UNIQUE INDEX vaults_name ON vaults (organization, name);

CREATE TRIGGER vaults_no_delete BEFORE DELETE ON vaults
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER vaults_write_once BEFORE UPDATE ON vaults FOR EACH ROW
WHEN (NEW.id IS DISTINCT FROM OLD.id
    OR NEW.organization IS DISTINCT FROM OLD.organization
    OR NEW.name IS DISTINCT FROM OLD.name
    OR NEW.created_at IS DISTINCT FROM OLD.created_at)
EXECUTE FUNCTION refuse_change();

CREATE TRIGGER vaults_no_truncate BEFORE TRUNCATE ON vaults
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE keys ADD COLUMN vault TEXT REFERENCES vaults (id);

CREATE INDEX keys_vault ON keys (organization, vault, id);

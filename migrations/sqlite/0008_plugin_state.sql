-- What plugins remember between evaluations, one space per organization and binding.

CREATE TABLE plugin_state (
    organization TEXT NOT NULL,
    lineage TEXT NOT NULL,
    name TEXT NOT NULL,
    entry TEXT NOT NULL,
    version INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    seal TEXT NOT NULL,
    PRIMARY KEY (organization, lineage, name)
) STRICT, WITHOUT ROWID;

-- Locked by everybody who changes the lineage's state or relies on what was read of it.
CREATE TABLE plugin_state_lineages (
    organization TEXT NOT NULL,
    lineage TEXT NOT NULL,
    uses INTEGER NOT NULL,
    PRIMARY KEY (organization, lineage)
) STRICT, WITHOUT ROWID;

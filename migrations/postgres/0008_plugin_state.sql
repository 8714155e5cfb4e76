-- What plugins remember between evaluations, one space per organization and binding.

CREATE TABLE plugin_state (
    organization TEXT NOT NULL,
    lineage TEXT NOT NULL,
    name TEXT NOT NULL,
    entry TEXT NOT NULL,
    version BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    seal TEXT NOT NULL,
    PRIMARY KEY (organization, lineage, name)
);

-- Locked by everybody who changes the lineage's state or relies on what was read of it.
CREATE TABLE plugin_state_lineages (
    organization TEXT NOT NULL,
    lineage TEXT NOT NULL,
    uses BIGINT NOT NULL,
    PRIMARY KEY (organization, lineage)
);

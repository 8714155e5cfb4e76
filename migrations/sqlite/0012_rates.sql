-- What sources have used of the rates that all gateways keep together. Sources are known by a keyed number of limited
-- range, so the table has at most so many rows for each rate.
CREATE TABLE rate_places (
    rate TEXT NOT NULL,
    place INTEGER NOT NULL,
    -- Microseconds: when the whole allowance will be back.
    restored_at INTEGER NOT NULL,
    PRIMARY KEY (rate, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX rate_places_restored ON rate_places (restored_at);

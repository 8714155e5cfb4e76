-- What dry runs have stored of late is counted before more is.

CREATE INDEX evaluations_dry_runs ON evaluations (organization, created_at) WHERE purpose = 'dry_run';

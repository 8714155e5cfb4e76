-- Users whose wallet is a contract, and the chain on which it is asked (ERC-1271).

ALTER TABLE users ADD COLUMN contract_chain TEXT;
-- How often it has changed what proves for the wallet.
ALTER TABLE users ADD COLUMN wallet_epoch BIGINT NOT NULL DEFAULT 0;

CREATE INDEX users_contracts ON users (organization, id) WHERE contract_chain IS NOT NULL;

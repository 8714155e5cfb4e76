//! gateway/chains

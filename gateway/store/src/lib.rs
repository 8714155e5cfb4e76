//! gateway/store

//! gateway/domain

//! Counting what all gateways of a database allow together.

use async_trait::async_trait;

use crate::{
    error::Result,
    rates::{Allowance, RateBucket},
};

#[async_trait]
pub trait RateCounts: Send + Sync {
    /// Takes one from the bucket, by the database's clock. Changes no domain object, so that strangers write nothing into
    /// the audit log (T38).
    async fn take(&self, bucket: &RateBucket) -> Result<Allowance>;
}

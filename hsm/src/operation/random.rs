//! The token's random number generator.

use zeroize::Zeroizing;

use crate::{Hsm, error::HsmError, lanes::Lane, worker::TokenSession};

impl Hsm {
    /// `count` bytes from `C_GenerateRandom`.
    pub async fn random(&self, count: usize) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        if count > self.message_bytes_max() {
            return Err(HsmError::InvalidInput("more bytes than `message_bytes_max`"));
        }
        let draw = move |token: &TokenSession<'_>| {
            let mut bytes = Zeroizing::new(vec![0; count]);
            token.session.generate_random_slice(&mut bytes)?;
            Ok(bytes)
        };
        self.run("random", Lane::Token, self.timeouts().sign, draw).await
    }
}

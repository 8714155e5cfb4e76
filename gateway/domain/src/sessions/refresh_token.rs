//! The text of a refresh token: `rt_` and 256 random bits in base64url without padding.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::entropy::{Entropy, draw};

const PREFIX: &str = "rt_";

/// No `Debug`, no `Serialize`.
pub struct RefreshToken(Zeroizing<[u8; 32]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a refresh token reads `rt_` and 43 characters")]
pub struct RefreshTokenMalformed;

impl RefreshToken {
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Zeroizing::new(draw(entropy)))
    }

    /// One text for each token: other spellings of the same bits are refused.
    pub fn parse(text: &str) -> Result<Self, RefreshTokenMalformed> {
        let encoded = text.strip_prefix(PREFIX).ok_or(RefreshTokenMalformed)?;
        let mut bits = Zeroizing::new([0; 32]);
        match URL_SAFE_NO_PAD.decode_slice(encoded, bits.as_mut_slice()) {
            Ok(32) => Ok(Self(bits)),
            Ok(_) | Err(_) => Err(RefreshTokenMalformed),
        }
    }

    /// The clear text, for the one reply that shows it.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(PREFIX.to_owned());
        URL_SAFE_NO_PAD.encode_string(self.0.as_slice(), &mut text);
        text
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }
}

//! The text of an API key: `ck_<label>_<12 character id>_<43 character secret>`.

use std::fmt;

use zeroize::Zeroizing;

use crate::{
    credentials::Label,
    entropy::{Entropy, draw},
};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.";
const PUBLIC_ID_LENGTH: usize = 12;
const SECRET_LENGTH: usize = 43;

/// A whole key as a client presents it. Shown once, when it is made.
pub struct ApiKeyText {
    label: Label,
    public_id: String,
    secret: ApiKeySecret,
}

/// 258 random bits as 43 characters. No `Debug`, no `Serialize`.
pub struct ApiKeySecret(Zeroizing<String>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an API key reads `ck_<label>_<12 characters>_<43 characters>`")]
pub struct KeyTextMalformed;

impl ApiKeyText {
    pub fn generate(label: Label, entropy: &dyn Entropy) -> Self {
        let public_id = characters(&draw::<PUBLIC_ID_LENGTH>(entropy));
        let secret = Zeroizing::new(draw::<SECRET_LENGTH>(entropy));
        Self { label, public_id, secret: ApiKeySecret(Zeroizing::new(characters(secret.as_slice()))) }
    }

    pub fn parse(text: &str) -> Result<Self, KeyTextMalformed> {
        let mut parts = text.split('_');
        let (Some("ck"), Some(label), Some(public_id), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(KeyTextMalformed);
        };
        let labels = [Label::User, Label::Agent, Label::Arbiter, Label::Orion, Label::Admin];
        let label = labels.into_iter().find(|known| known.as_str() == label).ok_or(KeyTextMalformed)?;
        let spelled =
            |part: &str, length| part.len() == length && part.bytes().all(|byte| ALPHABET.contains(&byte));
        if !spelled(public_id, PUBLIC_ID_LENGTH) || !spelled(secret, SECRET_LENGTH) {
            return Err(KeyTextMalformed);
        }
        let secret = ApiKeySecret(Zeroizing::new(secret.to_owned()));
        Ok(Self { label, public_id: public_id.to_owned(), secret })
    }

    pub fn label(&self) -> Label {
        self.label
    }

    pub fn public_id(&self) -> &str {
        &self.public_id
    }

    pub fn secret(&self) -> &ApiKeySecret {
        &self.secret
    }

    /// The clear text, for the one reply or file that shows it.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("ck_{}_{}_{}", self.label.as_str(), self.public_id, self.secret.0.as_str()))
    }
}

impl ApiKeySecret {
    pub(super) fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for ApiKeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ck_{}_{}_…", self.label.as_str(), self.public_id)
    }
}

fn characters(random: &[u8]) -> String {
    random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)])).collect()
}

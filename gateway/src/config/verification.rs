//! `[[verification_services]]`: services that are there from the start.

use std::{fs, path::PathBuf};

use gateway_domain::{
    Address,
    keys::KeyAlgorithm,
    verification::{AddVerificationService, ServiceKey},
};

use super::{ConfigError, section::section};

section! {
    /// One verification service of `core.organization`; the table repeats. At its start the gateway adds those whose
    /// inbox it does not know yet; it removes none. `countersign verification-service` does the same by hand.
    pub(crate) struct VerificationService = "verification_services" {
        /// Name for people, 1 to 100 characters. Required.
        name: String = String::new(), like "\"Orion\"";
        /// Address of the service's inbox on chain. Required.
        inbox: String = String::new(), like "\"0x1111111111111111111111111111111111111111\"";
        /// More about the service, for people.
        description: Option<String> = None, like "\"judges transfers of the treasury\"";
        /// Size of the RSA keys that are made in the token, `rsa2048` or `rsa4096`: the gateway itself is the service.
        built_in: Option<String> = None, like "\"rsa4096\"";
        /// File that holds the armored public key of a service outside, instead of `built_in`.
        public_key_file: Option<PathBuf> = None, like "\"/run/keys/orion.asc\"";
        /// Whether clients may choose the service once it is added. Later `false` still switches it off, and nothing but
        /// `countersign verification-service enable` switches it on again.
        active: bool = true;
    }
}

impl VerificationService {
    /// What to add if nobody has this inbox. Reads the key's file.
    pub(crate) fn request(&self) -> Result<AddVerificationService, ConfigError> {
        let refused = |rule: &str| ConfigError::Value(format!("`verification_services`: {rule}"));
        if self.name.is_empty() || self.name.chars().count() > 100 {
            return Err(refused("`name` must have 1 to 100 characters"));
        }
        let inbox: Address =
            self.inbox.parse().map_err(|_| refused("`inbox` must be `0x` and 40 hex digits"))?;
        let key = match (self.built_in.as_deref(), &self.public_key_file) {
            (Some("rsa2048"), None) => ServiceKey::BuiltIn(KeyAlgorithm::Rsa2048),
            (Some("rsa4096"), None) => ServiceKey::BuiltIn(KeyAlgorithm::Rsa4096),
            (Some(_), None) => return Err(refused("`built_in` must be `rsa2048` or `rsa4096`")),
            (None, Some(path)) => {
                let read = fs::read_to_string(path);
                ServiceKey::Outside(read.map_err(|cause| ConfigError::Read { path: path.clone(), cause })?)
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(refused("each needs either `built_in` or `public_key_file`"));
            }
        };
        Ok(AddVerificationService {
            name: self.name.clone(),
            inbox,
            description: self.description.clone(),
            key,
        })
    }
}

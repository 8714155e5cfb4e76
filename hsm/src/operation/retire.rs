//! Retirement, which can be taken back, and destruction, which cannot.
//!
//! Keys are not modifiable, so a retired key is marked by a private data object beside it that names its `CKA_ID`.

use cryptoki::{
    error::{Error as ModuleError, RvError},
    object::{Attribute, ObjectClass},
};

use crate::{
    Hsm,
    error::HsmError,
    key::{CkaId, KeyReference, SecretKeyReference},
    lanes::Lane,
    object::{self, RETIREMENT},
    storage,
    worker::TokenSession,
};

/// Said by the caller, so that no key is destroyed by a slip: `Destruction::Confirmed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destruction {
    /// The key's funds and data are accounted for; it may vanish for good.
    Confirmed,
}

/// A key of either sort, for operations that treat both alike.
#[derive(Clone, Debug)]
pub enum AnyKey {
    /// A key pair.
    Pair(KeyReference),
    /// A secret key.
    Secret(SecretKeyReference),
}

impl AnyKey {
    fn cka_id(&self) -> CkaId {
        match self {
            Self::Pair(key) => key.cka_id,
            Self::Secret(key) => key.cka_id,
        }
    }

    /// Compares the token's objects with the reference, read afresh; true if the key is retired.
    fn check(&self, token: &TokenSession<'_>) -> Result<bool, HsmError> {
        let keys = &token.shared.keys;
        keys.forget(&self.cka_id());
        match self {
            Self::Pair(key) => keys.pair(token, key).map(|pair| pair.retired),
            Self::Secret(key) => keys.secret(token, key).map(|secret| secret.retired),
        }
    }
}

impl Hsm {
    /// Marks the key retired on the token itself: every use but [`Self::reinstate`] and [`Self::destroy`] is refused.
    /// Another process sees the mark when it next looks for the key's handle.
    pub async fn retire(&self, key: AnyKey) -> Result<(), HsmError> {
        let call = move |token: &TokenSession<'_>| retire(token, &key);
        self.run("retire", Lane::Generate, self.timeouts().generate, call).await
    }

    /// Takes a retirement back.
    pub async fn reinstate(&self, key: AnyKey) -> Result<(), HsmError> {
        let call = move |token: &TokenSession<'_>| {
            key.check(token)?;
            remove_marks(token, &key.cka_id())
        };
        self.run("reinstate", Lane::Generate, self.timeouts().generate, call).await
    }

    /// Destroys a retired key for good.
    pub async fn destroy(&self, key: AnyKey, _confirmed: Destruction) -> Result<(), HsmError> {
        let call = move |token: &TokenSession<'_>| destroy(token, &key);
        self.run("destroy", Lane::Generate, self.timeouts().generate, call).await
    }
}

fn retire(token: &TokenSession<'_>, key: &AnyKey) -> Result<(), HsmError> {
    if key.check(token)? {
        return Ok(());
    }
    let mark = [
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Application(RETIREMENT.to_vec()),
        Attribute::Label(RETIREMENT.to_vec()),
        Attribute::Value(key.cka_id().to_vec()),
    ];
    let created = token.session.create_object(&mark);
    token.shared.keys.forget(&key.cka_id());
    match created {
        Ok(_) => storage::sync(&token.shared.config.storage_directories),
        Err(ModuleError::Pkcs11(
            RvError::TemplateInconsistent
            | RvError::AttributeValueInvalid
            | RvError::AttributeTypeInvalid
            | RvError::DeviceRemoved
            | RvError::TokenWriteProtected
            | RvError::FunctionNotSupported,
            _,
        )) => Err(HsmError::Unsupported("data objects, which mark retired keys")),
        Err(error) => Err(error.into()),
    }
}

fn destroy(token: &TokenSession<'_>, key: &AnyKey) -> Result<(), HsmError> {
    let cka_id = key.cka_id();
    if !key.check(token)? {
        return Err(HsmError::NotRetired { cka_id });
    }
    let objects = object::find(token.session, &cka_id)?;
    // The private object first: what is left after a crash between the two cannot sign.
    for handle in objects.private.into_iter().chain(objects.secret).chain(objects.public) {
        match token.session.destroy_object(handle) {
            Err(ModuleError::Pkcs11(RvError::ActionProhibited, _)) => {
                return Err(HsmError::Permanent { cka_id });
            }
            outcome => outcome?,
        }
    }
    remove_marks(token, &cka_id)
}

fn remove_marks(token: &TokenSession<'_>, cka_id: &CkaId) -> Result<(), HsmError> {
    for handle in object::find_retirements(token.session, Some(cka_id))? {
        token.session.destroy_object(handle)?;
    }
    token.shared.keys.forget(cka_id);
    storage::sync(&token.shared.config.storage_directories)
}

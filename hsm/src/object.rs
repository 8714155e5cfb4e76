//! Reading HSM objects: search, attributes, and the checks that make a group of objects one key.

use std::{collections::HashMap, sync::Arc};

use cryptoki::{
    error::{Error as ModuleError, RvError},
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
};
use rsa::{BigUint, RsaPublicKey, pkcs1::EncodeRsaPublicKey};

use crate::{
    error::{HsmError, Mismatch},
    key::{CkaId, KeyAlgorithm, PublicKey, SecretAlgorithm},
    key_map::{Resolved, ResolvedPair, ResolvedSecret},
    label::KeyLabel,
    verifier::Verifier,
};

/// DER object identifiers as `CKA_EC_PARAMS` holds them.
pub(crate) const OID_SECP256K1: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
pub(crate) const OID_P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(crate) const OID_ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

/// `CKA_APPLICATION` of the data object whose presence says that a key is retired; its `CKA_VALUE` is the `CKA_ID`.
pub(crate) const RETIREMENT: &[u8] = b"countersign retirement";

/// The objects that share one `CKA_ID`.
#[derive(Clone, Default)]
pub(crate) struct Objects {
    pub(crate) private: Vec<ObjectHandle>,
    pub(crate) public: Vec<ObjectHandle>,
    pub(crate) secret: Vec<ObjectHandle>,
    pub(crate) retirement: Vec<ObjectHandle>,
}

impl Objects {
    pub(crate) fn is_empty(&self) -> bool {
        self.private.is_empty() && self.public.is_empty() && self.secret.is_empty()
    }

    fn of_class(&mut self, class: ObjectClass) -> &mut Vec<ObjectHandle> {
        match class {
            ObjectClass::PRIVATE_KEY => &mut self.private,
            ObjectClass::PUBLIC_KEY => &mut self.public,
            _ => &mut self.secret,
        }
    }
}

const KEY_CLASSES: [ObjectClass; 3] =
    [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY, ObjectClass::SECRET_KEY];

/// The objects of one key. A search costs time for every object of the token, so there is one for all classes.
pub(crate) fn find(session: &Session, cka_id: &CkaId) -> Result<Objects, HsmError> {
    let mut objects = Objects::default();
    for handle in session.find_objects(&[Attribute::Token(true), Attribute::Id(cka_id.to_vec())])? {
        match attribute(session, handle, AttributeType::Class)? {
            Some(Attribute::Class(class)) if KEY_CLASSES.contains(&class) => {
                objects.of_class(class).push(handle);
            }
            _ => {}
        }
    }
    if !objects.is_empty() {
        objects.retirement = find_retirements(session, Some(cka_id))?;
    }
    Ok(objects)
}

/// Whether the token shows a private key with this id.
pub(crate) fn shows_private(session: &Session, cka_id: &CkaId) -> Result<bool, HsmError> {
    // The class goes first: software tokens stop comparing at the first attribute that differs.
    let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(cka_id.to_vec())];
    Ok(!session.find_objects(&template)?.is_empty())
}

/// All keys of the token by id.
pub(crate) fn scan(session: &Session) -> Result<HashMap<CkaId, Objects>, HsmError> {
    let mut index: HashMap<CkaId, Objects> = HashMap::new();
    for class in KEY_CLASSES {
        for handle in session.find_objects(&[Attribute::Class(class), Attribute::Token(true)])? {
            if let Some(Attribute::Id(id)) = attribute(session, handle, AttributeType::Id)?
                && let Ok(id) = CkaId::try_from(id.as_slice())
            {
                index.entry(id).or_default().of_class(class).push(handle);
            }
        }
    }
    for handle in find_retirements(session, None)? {
        if let Some(Attribute::Value(id)) = attribute(session, handle, AttributeType::Value)?
            && let Ok(id) = CkaId::try_from(id.as_slice())
        {
            index.entry(id).or_default().retirement.push(handle);
        }
    }
    Ok(index)
}

/// The marks of one key, or of all.
pub(crate) fn find_retirements(
    session: &Session,
    cka_id: Option<&CkaId>,
) -> Result<Vec<ObjectHandle>, HsmError> {
    let mut template = vec![
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Application(RETIREMENT.to_vec()),
    ];
    template.extend(cka_id.map(|id| Attribute::Value(id.to_vec())));
    Ok(session.find_objects(&template)?)
}

/// One attribute; none too if the object vanished meanwhile.
fn attribute(
    session: &Session,
    handle: ObjectHandle,
    wanted: AttributeType,
) -> Result<Option<Attribute>, HsmError> {
    match session.get_attributes(handle, &[wanted]) {
        Ok(attributes) => Ok(attributes.into_iter().next()),
        Err(ModuleError::Pkcs11(RvError::ObjectHandleInvalid, _)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads the objects of one id as one key, or says what keeps them from being one.
pub(crate) fn read(session: &Session, cka_id: &CkaId, objects: &Objects) -> Result<Resolved, HsmError> {
    let differs = |mismatch| HsmError::KeyMismatch { cka_id: *cka_id, mismatch };
    let retired = !objects.retirement.is_empty();
    match (objects.private.as_slice(), objects.public.as_slice(), objects.secret.as_slice()) {
        (&[private], &[public], &[]) => {
            let label = protected_label(session, cka_id, private)?;
            let public_facts = Facts::read(session, public, PUBLIC_FACTS)?;
            if public_facts.label().as_ref() != Some(&label) {
                return Err(differs(Mismatch::Label));
            }
            let public_key = public_facts.public_key().ok_or_else(|| differs(Mismatch::PublicKey))?;
            let verifier = Verifier::parse(public_key.algorithm(), public_key.as_bytes())?;
            Ok(Resolved::Pair(Arc::new(ResolvedPair { private, label, public_key, verifier, retired })))
        }
        (&[], &[], &[handle]) => {
            let label = protected_label(session, cka_id, handle)?;
            let facts = Facts::read(session, handle, &[AttributeType::KeyType, AttributeType::ValueLen])?;
            let algorithm = facts.secret_algorithm().ok_or_else(|| differs(Mismatch::Algorithm))?;
            Ok(Resolved::Secret(Arc::new(ResolvedSecret { handle, label, algorithm, retired })))
        }
        (private, public, []) if private.len() == 1 => Err(differs(Mismatch::PublicCount(public.len()))),
        (private, _, secret) => Err(differs(Mismatch::PrivateCount(private.len() + secret.len()))),
    }
}

/// The label of a private or secret object that cannot leave the token.
fn protected_label(session: &Session, cka_id: &CkaId, handle: ObjectHandle) -> Result<KeyLabel, HsmError> {
    let differs = |mismatch| HsmError::KeyMismatch { cka_id: *cka_id, mismatch };
    let wanted = [AttributeType::Label, AttributeType::Sensitive, AttributeType::Extractable];
    let facts = Facts::read(session, handle, &wanted)?;
    let says = |expected: &Attribute| facts.0.contains(expected);
    if !says(&Attribute::Sensitive(true)) || !says(&Attribute::Extractable(false)) {
        return Err(differs(Mismatch::Protection));
    }
    facts.label().ok_or_else(|| differs(Mismatch::Label))
}

const PUBLIC_FACTS: &[AttributeType] = &[
    AttributeType::Label,
    AttributeType::KeyType,
    AttributeType::EcParams,
    AttributeType::EcPoint,
    AttributeType::Modulus,
    AttributeType::PublicExponent,
];

struct Facts(Vec<Attribute>);

impl Facts {
    fn read(session: &Session, handle: ObjectHandle, wanted: &[AttributeType]) -> Result<Self, HsmError> {
        Ok(Self(session.get_attributes(handle, wanted)?))
    }

    fn find<T>(&self, pick: impl FnMut(&Attribute) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(pick)
    }

    fn label(&self) -> Option<KeyLabel> {
        let text = self.find(|attribute| match attribute {
            Attribute::Label(bytes) => String::from_utf8(bytes.clone()).ok(),
            _ => None,
        })?;
        KeyLabel::decode(&text)
    }

    fn key_type(&self) -> Option<KeyType> {
        self.find(|attribute| match attribute {
            Attribute::KeyType(key_type) => Some(*key_type),
            _ => None,
        })
    }

    fn public_key(&self) -> Option<PublicKey> {
        let (algorithm, bytes) = match self.key_type()? {
            KeyType::RSA => self.rsa_public_key()?,
            KeyType::EC | KeyType::EC_EDWARDS => self.point()?,
            _ => return None,
        };
        PublicKey::new(algorithm, &bytes).ok()
    }

    fn point(&self) -> Option<(KeyAlgorithm, Vec<u8>)> {
        let parameters = self.find(|attribute| match attribute {
            Attribute::EcParams(bytes) => Some(bytes.clone()),
            _ => None,
        })?;
        let point = self.find(|attribute| match attribute {
            Attribute::EcPoint(bytes) => Some(bytes.clone()),
            _ => None,
        })?;
        let algorithm = match parameters.as_slice() {
            OID_SECP256K1 => KeyAlgorithm::Secp256k1,
            OID_P256 => KeyAlgorithm::P256,
            // The curve's name as a PrintableString is the older form of PKCS#11 3.0.
            OID_ED25519 | b"\x13\x0cedwards25519" => KeyAlgorithm::Ed25519,
            _ => return None,
        };
        Some((algorithm, unwrap_octet_string(&point).to_vec()))
    }

    fn rsa_public_key(&self) -> Option<(KeyAlgorithm, Vec<u8>)> {
        let modulus = self.find(|attribute| match attribute {
            Attribute::Modulus(bytes) => Some(BigUint::from_bytes_be(bytes)),
            _ => None,
        })?;
        let exponent = self.find(|attribute| match attribute {
            Attribute::PublicExponent(bytes) => Some(BigUint::from_bytes_be(bytes)),
            _ => None,
        })?;
        let algorithm = match modulus.bits() {
            2048 => KeyAlgorithm::Rsa2048,
            4096 => KeyAlgorithm::Rsa4096,
            _ => return None,
        };
        let key = RsaPublicKey::new(modulus, exponent).ok()?;
        Some((algorithm, key.to_pkcs1_der().ok()?.into_vec()))
    }

    fn secret_algorithm(&self) -> Option<SecretAlgorithm> {
        let length = self.find(|attribute| match attribute {
            Attribute::ValueLen(length) => Some(**length),
            _ => None,
        })?;
        match (self.key_type()?, length) {
            (KeyType::AES, 32) => Some(SecretAlgorithm::Aes256),
            (KeyType::GENERIC_SECRET | KeyType::SHA256_HMAC, 32) => Some(SecretAlgorithm::HmacSha256),
            _ => None,
        }
    }
}

/// `CKA_EC_POINT` is an OCTET STRING by the standard and the bare point from some modules.
fn unwrap_octet_string(point: &[u8]) -> &[u8] {
    match point {
        [0x04, length, inner @ ..]
            if usize::from(*length) == inner.len() && matches!(inner.len(), 32 | 65) =>
        {
            inner
        }
        bare => bare,
    }
}

#[cfg(test)]
mod tests {
    use super::unwrap_octet_string;

    #[test]
    fn points_are_unwrapped_and_bare_points_kept() {
        let mut bare = vec![0x04];
        bare.extend([0x41; 64]);
        assert_eq!(unwrap_octet_string(&bare), bare);
        let mut wrapped = vec![0x04, 65];
        wrapped.extend(&bare);
        assert_eq!(unwrap_octet_string(&wrapped), bare);
        let edwards = [0x20; 32];
        assert_eq!(unwrap_octet_string(&edwards), edwards);
        assert_eq!(unwrap_octet_string(&[&[0x04, 32][..], &edwards].concat()), edwards);
    }
}

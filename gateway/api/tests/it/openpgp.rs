//! OpenPGP with the keys that `gateway-openpgp` tests with, in software: messages are really encrypted and opened.

use std::{convert::Infallible, sync::Arc, time::Duration};

use async_trait::async_trait;
use gateway_domain::{
    Address, Error, OpCtx, Result, Timestamp,
    audit::AuditEvent,
    chain::ChainId,
    changes::{ChangeSet, Write},
    ids::{KeyId, OrganizationId},
    keys::{KeyAlgorithm, KeyPurpose, KeyRecord, KeyState, PublicKey},
    openpgp::{Fingerprint, InspectedKey, InspectedMessage, MessageFault, OpenPgp, OpenPgpFault, Opened},
    payloads::PayloadQuota,
    ports::{Publication, Services, UnitOfWork},
    quota::{Quota, UserQuota},
    registry::{RegistryTarget, RelayerSigner},
    sealed::Sealed,
    verification::VerificationService,
};
use gateway_ipfs::Blocks;
use gateway_openpgp::{
    Content, Message, RsaPublic, SessionKeyDecryptor, inspect_key, inspect_message, open_message,
    read_fingerprint, rsa_key_id, verify_possession,
};
use pgp::{
    composed::{ArmorOptions, Deserializable, MessageBuilder, SignedPublicKey},
    crypto::sym::SymmetricKeyAlgorithm,
};
use rand_08::{RngCore, rngs::OsRng};
use rsa::{
    Pkcs1v15Encrypt, RsaPrivateKey,
    pkcs1::{DecodeRsaPrivateKey, EncodeRsaPublicKey},
};
use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::world::{CHAIN, World};

/// The built-in service's certificate.
pub(crate) const BUILT_IN: &str = include_str!("../../../openpgp/tests/it/fixtures/service.asc");
/// A certificate of somebody outside.
pub(crate) const OUTSIDE: &str = include_str!("../../../openpgp/tests/it/fixtures/gpg-rsa.asc");

/// A certificate that was good once.
const EXPIRED: &str = include_str!("../../../openpgp/tests/it/fixtures/gpg-expired.asc");

/// What surrounds the opening of a message, which takes one decryption of the token.
#[async_trait]
pub(crate) trait Opening: Send + Sync {
    async fn before(&self) {}

    async fn after(&self) {}
}

/// Nothing does.
struct Unwatched;

impl Opening for Unwatched {}

struct Software(Arc<dyn Opening>);

struct DecryptKey(RsaPrivateKey);

/// The built-in service's keys in software, with something around the opening of messages.
pub(crate) fn watched(opening: Arc<dyn Opening>) -> Arc<dyn OpenPgp> {
    Arc::new(Software(opening))
}

pub(crate) fn publication(relayer: Arc<dyn RelayerSigner>) -> Publication {
    Publication {
        openpgp: watched(Arc::new(Unwatched)),
        ipfs: Arc::new(Blocks::new(None)),
        relayer,
        registry: Some(RegistryTarget {
            chain: ChainId::eip155(CHAIN).unwrap(),
            address: Address::repeat_byte(0x99),
            gas_max: 200_000,
            fee_per_gas_max: 100_000_000_000,
            keys: UserQuota { organization: Quota { max: 100, self_registered_max: 50 }, per_user_max: 10 },
            calls: UserQuota {
                organization: Quota { max: 1_000_000, self_registered_max: 1_000_000 },
                per_user_max: 1_000_000,
            },
            wait: Duration::ZERO,
        }),
        payloads: PayloadQuota {
            per_user_max: 1_000_000,
            bytes_max: 1 << 40,
            self_registered_bytes_max: 1 << 40,
        },
    }
}

/// An armored message for the certificate.
pub(crate) fn encrypt(text: &str, certificate: &str) -> String {
    let (key, _) = SignedPublicKey::from_string(certificate).unwrap();
    let mut builder = MessageBuilder::from_bytes("", text.as_bytes().to_vec())
        .seipd_v1(OsRng, SymmetricKeyAlgorithm::AES256);
    builder.encrypt_to_key(OsRng, &key.public_subkeys[0].key).unwrap();
    builder.to_armored_string(OsRng, ArmorOptions::default()).unwrap()
}

/// These bytes in place of a session key, encrypted to the built-in service.
pub(crate) fn encrypt_session_key(bytes: &[u8]) -> Vec<u8> {
    DecryptKey::load().0.to_public_key().encrypt(&mut OsRng, Pkcs1v15Encrypt, bytes).unwrap()
}

impl World {
    /// A service outside, active, without any orion key bound to it.
    pub(crate) async fn outside_service(&self) -> VerificationService {
        insert_service(&self.services, self.organization, (2, OUTSIDE, None)).await
    }

    /// One whose key has expired since it was added.
    pub(crate) async fn expired_service(&self) -> VerificationService {
        insert_service(&self.services, self.organization, (3, EXPIRED, None)).await
    }

    /// The service that this gateway is itself.
    pub(crate) async fn built_in_service(&self) -> VerificationService {
        built_in_service(&self.services, self.organization).await
    }
}

pub(crate) async fn built_in_service(
    services: &Services,
    organization: OrganizationId,
) -> VerificationService {
    let key = KeyRecord {
        id: KeyId::from_uuid(Uuid::new_v4()),
        organization,
        token_id: "test".to_owned(),
        cka_id: Uuid::new_v4().into_bytes(),
        algorithm: KeyAlgorithm::Rsa2048,
        purpose: KeyPurpose::OpenPgpDecrypt,
        kinds: [].into(),
        public_key: Some(PublicKey(DecryptKey::load().der())),
        address: None,
        state: KeyState::Active,
        frozen: false,
        vault: None,
        self_registered: false,
        version: 1,
        created_at: services.clock.now(),
    };
    let id = key.id;
    commit(services, organization, Write::InsertKey(services.sealer.seal(key))).await;
    insert_service(services, organization, (1, BUILT_IN, Some(id))).await
}

async fn insert_service(
    services: &Services,
    organization: OrganizationId,
    (id, certificate, built_in): (u32, &str, Option<KeyId>),
) -> VerificationService {
    let now = services.clock.now();
    let service = VerificationService {
        organization,
        id,
        name: "Orion".to_owned(),
        inbox: Address::repeat_byte(u8::try_from(id).unwrap()),
        public_key: certificate.to_owned(),
        fingerprint: read_fingerprint(certificate).unwrap(),
        description: None,
        usable_until: (certificate == EXPIRED).then_some(now),
        active: true,
        built_in,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let write = Write::InsertVerificationService(services.sealer.seal(service.clone()));
    commit(services, organization, write).await;
    service
}

async fn commit(services: &Services, organization: OrganizationId, write: Write) {
    let ctx = OpCtx::gateway(organization, services.clock.now());
    let event = AuditEvent::new(&ctx, "test.changed", "world".to_owned(), json!({}));
    let store: &dyn UnitOfWork = services.store.as_ref();
    store.commit(ChangeSet::new(event).write(write)).await.unwrap();
}

impl DecryptKey {
    fn load() -> Self {
        let pem = include_str!("../../../openpgp/tests/it/fixtures/decrypt.pem");
        Self(RsaPrivateKey::from_pkcs1_pem(pem).unwrap())
    }

    fn der(&self) -> Vec<u8> {
        self.0.to_public_key().to_pkcs1_der().unwrap().as_bytes().to_vec()
    }
}

#[async_trait]
impl OpenPgp for Software {
    fn inspect_key(&self, armored: &str, now: Timestamp) -> Result<InspectedKey, OpenPgpFault> {
        inspect_key(armored, now)
    }

    fn verify_possession(
        &self,
        certificate: &str,
        signed: (&str, &str),
        now: Timestamp,
    ) -> Result<(), OpenPgpFault> {
        verify_possession(certificate, signed, now)
    }

    fn fingerprint(&self, armored: &str) -> Result<Fingerprint, OpenPgpFault> {
        read_fingerprint(armored)
    }

    fn inspect_message(
        &self,
        armored: &str,
        recipient: &str,
        now: Timestamp,
    ) -> Result<InspectedMessage, MessageFault> {
        inspect_message(armored, recipient, now)
    }

    async fn certificate(&self, _: &str, _: &Sealed<KeyRecord>, _: &Sealed<KeyRecord>) -> Result<String> {
        Ok(BUILT_IN.to_owned())
    }

    async fn open(&self, armored: &str, _: &Sealed<KeyRecord>) -> Result<Opened> {
        self.0.before().await;
        let message = Message::read(armored).map_err(Error::inconsistency)?;
        let Ok(content) = open_message(&message, &DecryptKey::load(), 192 * 1024).await;
        self.0.after().await;
        Ok(match content {
            Content::Data(data) => Opened::Content(data),
            Content::Unopened => Opened::Unopened,
            Content::Unreadable(reason) => Opened::Unreadable(reason),
        })
    }
}

#[async_trait]
impl SessionKeyDecryptor for DecryptKey {
    type Error = Infallible;

    fn modulus_bytes(&self) -> usize {
        256
    }

    fn key_id(&self) -> [u8; 8] {
        let made_at = Timestamp::from_unix_micros(1_790_000_000_000_000);
        rsa_key_id(RsaPublic { der: &self.der(), created_at: made_at }).unwrap()
    }

    async fn decrypt(&self, ciphertext: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, Infallible> {
        Ok(self.0.decrypt(Pkcs1v15Encrypt, ciphertext).ok().map(Zeroizing::new))
    }

    fn random(&self, bytes: &mut [u8]) {
        OsRng.fill_bytes(bytes);
    }
}

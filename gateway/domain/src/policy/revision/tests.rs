use std::collections::BTreeSet;

use alloy_primitives::B256;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    pkcs8::{EncodePublicKey as _, LineEnding},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Examined, PluginRevision, ProvenSignatures, RevisionFault, SignedOther};
use crate::{
    clock::Timestamp,
    ids::{OperatorId, OrganizationId, PluginRevisionId},
    operators::{Charter, Operator, OperatorKey, OperatorRole},
    policy::{RevisionClaims, RevisionSignature, signing_input},
};

type Edit = fn(&mut PluginRevision);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn operator(seed: u8, role: OperatorRole) -> Operator {
    let public = p256::PublicKey::from(key(seed).verifying_key());
    Operator {
        id: OperatorId::from_uuid(Uuid::from_u128(seed.into())),
        name: format!("operator {seed}"),
        public_key: OperatorKey::from_pem(&public.to_public_key_pem(LineEnding::LF).unwrap()).unwrap(),
        roles: BTreeSet::from([role]),
        enrolled_at: Timestamp::from_unix_micros(0),
        revoked_at: None,
    }
}

/// Ann (1) is an author, Bob (2) an approver.
fn charter() -> Charter {
    Charter {
        revision: 1,
        operators: vec![operator(1, OperatorRole::Author), operator(2, OperatorRole::Approver)],
        approvals_required: 2,
        updated_at: Timestamp::from_unix_micros(0),
    }
}

fn unsigned() -> PluginRevision {
    PluginRevision {
        id: PluginRevisionId::from_uuid(Uuid::from_u128(7)),
        organization: OrganizationId::from_uuid(Uuid::from_u128(8)),
        plugin: "velocity".to_owned(),
        component_digest: B256::repeat_byte(9),
        settings: "{\"limit\":\"1\"}".to_owned(),
        grants: BTreeSet::from(["log".to_owned(), "state".to_owned()]),
        examined: Examined::default(),
        signature: None,
        uploaded_by: None,
        created_at: Timestamp::from_unix_micros(0),
    }
}

fn claims(revision: &PluginRevision) -> RevisionClaims {
    RevisionClaims {
        origin: "https://custody.example".to_owned(),
        organization: revision.organization,
        plugin: revision.plugin.clone(),
        subject: revision.subject_digest(),
        iat: 1,
    }
}

fn signed_by(seed: u8, signer: u8) -> PluginRevision {
    let revision = unsigned();
    let input = signing_input(OperatorId::from_uuid(Uuid::from_u128(signer.into())), &claims(&revision));
    PluginRevision { signature: Some(signature_over(&input, seed)), ..revision }
}

fn signature_over(input: &str, seed: u8) -> RevisionSignature {
    let signature: Signature = key(seed).sign(input.as_bytes());
    RevisionSignature::from_stored(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes())))
}

fn check(revision: &PluginRevision, charter: &Charter) -> Result<(), RevisionFault> {
    revision.check_signature(Some(charter), &ProvenSignatures::default())
}

#[test]
fn a_revision_that_an_author_signed_may_judge() {
    assert_eq!(check(&signed_by(1, 1), &charter()), Ok(()));
    let proven = ProvenSignatures::default();
    for _ in 0..2 {
        assert_eq!(signed_by(1, 1).check_signature(Some(&charter()), &proven), Ok(()));
    }
}

#[test]
fn who_signed_is_asked_now() {
    let proven = ProvenSignatures::default();
    let revision = signed_by(1, 1);
    assert_eq!(revision.check_signature(Some(&charter()), &proven), Ok(()));
    let mut revoked = charter();
    revoked.operators[0].revoked_at = Some(Timestamp::from_unix_micros(5));
    assert_eq!(revision.check_signature(Some(&revoked), &proven), Err(RevisionFault::SignerRevoked));
    let mut demoted = charter();
    demoted.operators[0].roles = BTreeSet::from([OperatorRole::Approver]);
    assert_eq!(revision.check_signature(Some(&demoted), &proven), Err(RevisionFault::SignerNotAuthor));
    let mut other_key = charter();
    other_key.operators[0].public_key = operator(3, OperatorRole::Author).public_key;
    assert_eq!(revision.check_signature(Some(&other_key), &proven), Err(RevisionFault::SignatureInvalid));
    // A charter that is gone does not make a signed revision an unsigned one.
    assert_eq!(revision.check_signature(None, &proven), Err(RevisionFault::SignerUnknown));
}

#[test]
fn a_signature_by_anybody_else_is_none() {
    assert_eq!(check(&unsigned(), &charter()), Err(RevisionFault::Unsigned));
    assert_eq!(check(&signed_by(2, 2), &charter()), Err(RevisionFault::SignerNotAuthor));
    assert_eq!(check(&signed_by(3, 3), &charter()), Err(RevisionFault::SignerUnknown));
    assert_eq!(check(&signed_by(2, 1), &charter()), Err(RevisionFault::SignatureInvalid));
}

#[test]
fn a_signature_is_for_one_component_with_its_settings_grants_name_and_tenant() {
    let signed = signed_by(1, 1);
    let same = SignedOther { organization: false, plugin: false, subject: false };
    let subject = SignedOther { subject: true, ..same };
    let edits: [(Edit, SignedOther); 6] = [
        (|revision| revision.component_digest.0[31] ^= 1, subject),
        (|revision| revision.settings.push(' '), subject),
        (|revision| revision.grants.extend(["http:anything".to_owned()]), subject),
        (|revision| revision.grants.clear(), subject),
        (|revision| revision.plugin.push('2'), SignedOther { plugin: true, ..same }),
        (
            |revision| revision.organization = OrganizationId::from_uuid(Uuid::from_u128(9)),
            SignedOther { organization: true, ..same },
        ),
    ];
    let mut all = signed.clone();
    for (number, (edit, other)) in edits.into_iter().enumerate() {
        let mut edited = signed.clone();
        edit(&mut edited);
        edit(&mut all);
        let expected = RevisionFault::SignatureForOther(other);
        assert_eq!(check(&edited, &charter()), Err(expected), "edit {number}");
    }
    assert_eq!(
        check(&all, &charter()).unwrap_err().to_string(),
        "its signature is for another organization, and for another plugin name, and for another component, other \
         settings (byte for byte) or other grants"
    );
}

/// T28: whatever bit of the signature is another, it is no signature.
#[test]
fn no_flipped_bit_of_a_signature_goes_unnoticed() {
    let signed = signed_by(1, 1);
    let text = signed.signature.as_ref().unwrap().as_str().as_bytes().to_vec();
    for position in 0..text.len() {
        for bit in 0..7 {
            let mut flipped = text.clone();
            flipped[position] ^= 1 << bit;
            let flipped = String::from_utf8(flipped).unwrap();
            let revision = PluginRevision {
                signature: Some(RevisionSignature::from_stored(flipped.clone())),
                ..signed.clone()
            };
            assert!(check(&revision, &charter()).is_err(), "{flipped}");
        }
    }
}

#[test]
fn only_the_documented_form_is_read() {
    let revision = unsigned();
    let signer = Uuid::from_u128(1).to_string();
    let (header, payload) = (
        json!({"typ": "countersign-plugin+jwt", "alg": "ES256", "kid": signer}),
        serde_json::to_value(claims(&revision)).unwrap(),
    );
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let checked = |header: &Value, payload: &Value| {
        let signature = signature_over(&format!("{}.{}", part(header), part(payload)), 1);
        check(&PluginRevision { signature: Some(signature), ..revision.clone() }, &charter())
    };
    assert_eq!(checked(&header, &payload), Ok(()));
    for (member, value) in [
        ("typ", json!("countersign-operator+jwt")),
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("kid", json!("ann")),
        ("crit", json!(["exp"])),
    ] {
        let mut edited = header.clone();
        edited[member] = value;
        assert_eq!(checked(&edited, &payload), Err(RevisionFault::SignatureMalformed), "{member}");
    }
    for (member, value) in [("aud", json!("somebody")), ("subject", json!("0x12")), ("iat", Value::Null)] {
        let mut edited = payload.clone();
        edited[member] = value;
        assert_eq!(checked(&header, &edited), Err(RevisionFault::SignatureMalformed), "{member}");
    }
    for text in ["", "a.b", "a.b.c.d", "..", &"x".repeat(10_000)] {
        assert!(RevisionSignature::parse(text).is_err(), "{text}");
    }
}

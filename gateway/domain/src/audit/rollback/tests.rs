use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    pkcs8::{EncodePublicKey as _, LineEnding},
};
use uuid::Uuid;

use super::*;
use crate::{
    clock::Timestamp,
    operators::{Operator, OperatorKey},
};

const AUDIT_KEY: &str = "ab";
const LOST: LogEnd = LogEnd { number: 9, hash: B256::repeat_byte(9) };
const KEPT: LogEnd = LogEnd { number: 7, hash: B256::repeat_byte(7) };

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn operator_id(seed: u8) -> OperatorId {
    OperatorId::from_uuid(Uuid::from_u128(seed.into()))
}

fn operator(seed: u8, role: OperatorRole) -> Operator {
    let pem = key(seed).verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
    Operator {
        id: operator_id(seed),
        name: format!("operator {seed}"),
        public_key: OperatorKey::from_pem(&pem).unwrap(),
        roles: [role].into(),
        enrolled_at: Timestamp::from_unix_micros(0),
        revoked_at: None,
    }
}

/// Author 1, approvers 2, 3 and 4, of whom 4 was revoked.
fn charter() -> Charter {
    let mut operators =
        [2, 3, 4].map(|seed| operator(seed, OperatorRole::Approver)).into_iter().collect::<Vec<_>>();
    operators[2].revoked_at = Some(Timestamp::from_unix_micros(1));
    operators.push(operator(1, OperatorRole::Author));
    Charter { revision: 1, operators, approvals_required: 2, updated_at: Timestamp::from_unix_micros(0) }
}

/// Seconds since 1970.
const NOW: i64 = 1_800_000_000;

fn claims() -> RollbackClaims {
    RollbackClaims { audit_key: AUDIT_KEY.to_owned(), lost: LOST, kept: KEPT, iat: NOW }
}

fn approval(signer: u8, by_key: u8, claims: &RollbackClaims) -> RollbackApproval {
    let input = rollback_signing_input(operator_id(signer), claims);
    let signature: Signature = key(by_key).sign(input.as_bytes());
    RollbackApproval::parse(&format!("{input}.{}\n", URL_SAFE_NO_PAD.encode(signature.to_bytes()))).unwrap()
}

fn agreed(approvals: &[RollbackApproval]) -> Result<BTreeSet<OperatorId>, RollbackRefusal> {
    require_agreement(
        &charter(),
        AUDIT_KEY,
        (LOST, KEPT),
        approvals,
        Timestamp::from_unix_micros(1_000_000 * NOW),
    )
}

#[test]
fn as_many_approvers_as_the_charter_asks_for_agree_and_no_fewer() {
    let (one, other) = (approval(2, 2, &claims()), approval(3, 3, &claims()));
    let too_few = |given| Err(RollbackRefusal::TooFew { required: 2, given });
    assert_eq!(agreed(&[]), too_few(0));
    assert_eq!(agreed(std::slice::from_ref(&one)), too_few(1));
    let twice = RollbackClaims { iat: NOW + 1, ..claims() };
    assert_eq!(agreed(&[one.clone(), approval(2, 2, &twice)]), too_few(1), "one person");
    assert_eq!(agreed(&[one, other]), Ok([operator_id(2), operator_id(3)].into()));
}

#[test]
fn whoever_is_no_approver_or_signed_for_something_else_is_named() {
    let good = approval(2, 2, &claims());
    let against = |other: RollbackApproval| agreed(&[good.clone(), other]).unwrap_err();
    assert_eq!(against(approval(1, 1, &claims())), RollbackRefusal::NoApprover(operator_id(1)));
    assert_eq!(against(approval(4, 4, &claims())), RollbackRefusal::NoApprover(operator_id(4)), "revoked");
    assert_eq!(against(approval(9, 9, &claims())), RollbackRefusal::NoApprover(operator_id(9)));
    assert_eq!(against(approval(3, 2, &claims())), RollbackRefusal::Forged(operator_id(3)));
    for other in [
        RollbackClaims { audit_key: "cd".to_owned(), ..claims() },
        RollbackClaims { lost: LogEnd { number: 8, ..LOST }, ..claims() },
        RollbackClaims { kept: LogEnd { hash: B256::ZERO, ..KEPT }, ..claims() },
        RollbackClaims { lost: KEPT, kept: LOST, ..claims() },
    ] {
        assert_eq!(against(approval(3, 3, &other)), RollbackRefusal::ForOther(operator_id(3)), "{other:?}");
    }
}

#[test]
fn an_agreement_is_good_for_a_week() {
    let good = approval(2, 2, &claims());
    for (iat, is_good) in
        [(NOW - 604_800, true), (NOW - 604_801, false), (NOW + 300, true), (NOW + 301, false)]
    {
        let agreed = agreed(&[good.clone(), approval(3, 3, &RollbackClaims { iat, ..claims() })]);
        let expected = if is_good {
            Ok([operator_id(2), operator_id(3)].into())
        } else {
            Err(RollbackRefusal::Stale(operator_id(3)))
        };
        assert_eq!(agreed, expected, "{iat}");
    }
}

#[test]
fn a_signature_for_something_of_another_kind_is_none() {
    let input = jws::signing_input("countersign-plugin+jwt", operator_id(2), &claims());
    let signature: Signature = key(2).sign(input.as_bytes());
    let text = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()));
    assert_eq!(RollbackApproval::parse(&text), Err(RollbackApprovalMalformed));
    assert_eq!(RollbackApproval::parse("a.b.c"), Err(RollbackApprovalMalformed));
}

#[test]
fn a_checkpoint_is_read_as_it_is_written() {
    assert_eq!(LOST.to_string().parse(), Ok(LOST));
    for text in ["", "9", "9:", ":0x09", "9:0x09", "-1:0x00"] {
        assert_eq!(text.parse::<LogEnd>(), Err(LogEndMalformed), "{text}");
    }
}

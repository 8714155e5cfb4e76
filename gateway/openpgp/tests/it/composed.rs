use gateway_domain::openpgp::Fingerprint;
use gateway_openpgp::{Certificate, inspect_key};

use crate::software::{CERTIFICATE, certificate, now};

#[tokio::test]
async fn the_same_keys_make_the_same_certificate() {
    assert_eq!(certificate().await, CERTIFICATE);
}

/// The fingerprint is what `gpg --show-keys` printed.
#[tokio::test]
async fn a_composed_certificate_can_be_encrypted_to() {
    let certificate = Certificate::read(&certificate().await, now()).unwrap();
    let expected: Fingerprint = include_str!("fixtures/service.fingerprint").trim().parse().unwrap();
    assert_eq!(certificate.fingerprint, expected);
    assert_eq!(inspect_key(CERTIFICATE, now()).unwrap().fingerprint, expected);
}

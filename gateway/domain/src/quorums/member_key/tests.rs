use super::*;

/// A key made by openssl, and its DER in base64 by openssl.
const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAElNYESQKUzTNdjNgQXU/UIAEDmDaQ\nD7x/RnfRdU0LnNPi3LbEn7z8hqZPfclp7DqGDLHHU5f3jmeYzhbqDMKa6g==\n-----END PUBLIC KEY-----\n";

#[test]
fn pem_becomes_the_der_that_openssl_writes() {
    let key = MemberKey::from_pem(PEM).unwrap();
    assert_eq!(
        key.der_base64(),
        concat!(
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAElNYESQKUzTNdjNgQXU/UIAEDmDaQ",
            "D7x/RnfRdU0LnNPi3LbEn7z8hqZPfclp7DqGDLHHU5f3jmeYzhbqDMKa6g=="
        )
    );
    assert_eq!(key.pem(), PEM);
    assert_eq!(MemberKey::from_pem(&format!("\n {PEM}")).unwrap(), key);
}

#[test]
fn other_keys_and_texts_are_refused() {
    let other_curve = "-----BEGIN PUBLIC KEY-----\nMFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAE+tJ9fIhv7TS+TruoKe0Q+eMcBOrYI9qp\n1fIfwNnLR07/xtzZ9dz8rQFuQJ/po2gBuvnpY93dXWrEmP/pMpvU5Q==\n-----END PUBLIC KEY-----\n";
    for text in [
        "",
        "-----BEGIN PUBLIC KEY-----",
        other_curve,
        &PEM.replace("MFk", "MFl"),
        &PEM.replace("PUBLIC", "PRIVATE"),
    ] {
        assert!(MemberKey::from_pem(text).is_err(), "{text}");
    }
}

use std::{
    io::Write,
    process::{Command, Stdio},
};

use hsm::{CsrSubject, HsmError, KeyAlgorithm};

use crate::harness::{generate, isolated};

#[test]
fn requests_verify_with_openssl() {
    isolated("certificate::requests_verify_with_openssl", async |bench| {
        let hsm = bench.start().await;
        let subject = CsrSubject {
            common_name: "vasp.example".into(),
            organization: Some("Example Custody".into()),
            country: Some("DE".into()),
            organizational_unit: Some("Treasury".into()),
            state_or_province: Some("Hessen".into()),
            locality: Some("Frankfurt am Main".into()),
            email: Some("ops@vasp.example".into()),
            alternative_names: vec!["vasp.example".into(), "api.vasp.example".into()],
        };
        let algorithms =
            [KeyAlgorithm::P256, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa2048, KeyAlgorithm::Rsa4096];
        for (number, algorithm) in (1..).zip(algorithms) {
            let key = generate(&hsm, number, algorithm).await;
            let request = hsm.csr(&key, subject.clone()).await.unwrap();
            let text = openssl_verify(&request);
            for told in [
                "C = DE, ST = Hessen, L = Frankfurt am Main, O = Example Custody, OU = Treasury, CN = vasp.example",
                "emailAddress = ops@vasp.example",
                "api.vasp.example",
            ] {
                assert!(text.contains(told), "{algorithm}: no `{told}` in {text}");
            }
        }
        let key = generate(&hsm, 9, KeyAlgorithm::P256).await;
        for odd in [
            CsrSubject { country: Some("D\u{e9}".into()), ..subject.clone() },
            CsrSubject { email: Some("\u{fc}@vasp.example".into()), ..subject.clone() },
        ] {
            let refused = hsm.csr(&key, odd).await;
            assert!(matches!(refused, Err(HsmError::CertificateRequest(_))), "{refused:?}");
        }
        let unnamed = hsm.csr(&key, CsrSubject::default()).await;
        assert!(matches!(unnamed, Err(HsmError::InvalidInput(_))), "{unnamed:?}");
        hsm.shutdown().await;
    });
}

pub(crate) fn openssl_verify(request: &[u8]) -> String {
    let mut openssl = Command::new("openssl")
        .args(["req", "-inform", "DER", "-verify", "-noout", "-text"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(request).unwrap();
    let output = openssl.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.contains("OK"), "{told}");
    String::from_utf8(output.stdout).unwrap()
}

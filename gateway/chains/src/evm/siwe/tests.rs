use proptest::prelude::*;
use time::macros::datetime;

use super::{SignIn, SignInMalformed};

const FULL: &str = "https://app.example.com:8443 wants you to sign in with your Ethereum account:\n\
    0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2\n\nSign in, (please).\n\nURI: https://app.example.com:8443/in?a=%20#b\n\
    Version: 1\nChain ID: 31337\nNonce: k3Jd92LsQ0pXvB7n\nIssued At: 2026-01-05T10:00:00.25+01:00\n\
    Expiration Time: 2026-01-05T10:10:00Z\nNot Before: 2026-01-05T10:00:00Z\nRequest ID: a-b%2F:@\n\
    Resources:\n- ipfs://bafy/x\n- https://example.com";
const LEAST: &str = "localhost wants you to sign in with your Ethereum account:\n\
    0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2\n\n\nURI: x:\nVersion: 1\nChain ID: 1\nNonce: 12345678\n\
    Issued At: 2026-01-05T10:00:00Z";

#[test]
fn every_part_is_read() {
    let read = SignIn::parse(FULL).unwrap();
    assert_eq!(read.scheme.as_deref(), Some("https"));
    assert_eq!(read.domain, "app.example.com:8443");
    assert_eq!(read.address.to_checksum(None), "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2");
    assert_eq!(read.statement.as_deref(), Some("Sign in, (please)."));
    assert_eq!(read.uri, "https://app.example.com:8443/in?a=%20#b");
    assert_eq!((read.chain_id, read.nonce.as_str()), (31_337, "k3Jd92LsQ0pXvB7n"));
    assert_eq!(read.issued_at, datetime!(2026-01-05 9:00:00.25 UTC));
    assert_eq!(read.expiration_time, Some(datetime!(2026-01-05 10:10 UTC)));
    assert_eq!(read.not_before, Some(datetime!(2026-01-05 10:00 UTC)));
    assert_eq!(read.request_id.as_deref(), Some("a-b%2F:@"));
    assert_eq!(read.resources, ["ipfs://bafy/x", "https://example.com"]);
}

#[test]
fn what_may_be_left_out_may_be_left_out() {
    let read = SignIn::parse(LEAST).unwrap();
    assert_eq!((read.scheme, read.statement, read.request_id), (None, None, None));
    assert!(read.resources.is_empty() && read.expiration_time.is_none() && read.not_before.is_none());
    let empty = [LEAST, "\nRequest ID: \nResources:"].concat();
    assert_eq!(SignIn::parse(&empty).unwrap().request_id.as_deref(), Some(""));
}

#[track_caller]
fn check_refused(from: &str, to: &str, why: SignInMalformed) {
    assert!(FULL.contains(from), "`{from}` is not in the message");
    assert_eq!(SignIn::parse(&FULL.replacen(from, to, 1)), Err(why), "`{from}` as `{to}`");
}

#[test]
fn each_departure_from_the_grammar_is_named() {
    use SignInMalformed::{Address, Field, Preamble, Statement, Surplus};
    check_refused("https://app", "1https://app", Preamble);
    check_refused("https://app.example.com:8443 wants", "https:// wants", Preamble);
    check_refused("app.example.com:8443 wants", "app.example.com/x wants", Preamble);
    check_refused("Ethereum account:", "Ethereum account", Preamble);
    check_refused("0xC02a", "0xc02a", Address);
    check_refused("Cc2\n", "Cc\n", Address);
    check_refused("\n\nSign", "\nSign", Statement);
    check_refused("(please)", "\"please\"", Statement);
    check_refused("(please)", "plea%20se", Statement);
    check_refused("please).\n\nURI", "please).\nmore\n\nURI", Statement);
    check_refused("please).\n\nURI", "please).\nURI", Statement);
    check_refused("URI: https", "URI: 1https", Field("URI"));
    check_refused("a=%20", "a=%2", Field("URI"));
    check_refused("a=%20", "a=<", Field("URI"));
    check_refused("URI: ", "Uri: ", Field("URI"));
    check_refused("Version: 1", "Version: 2", Field("Version"));
    check_refused("Version: 1", "Version: 01", Field("Version"));
    check_refused("Chain ID: 31337", "Chain ID: 031337", Field("Chain ID"));
    check_refused("Chain ID: 31337", "Chain ID: 0x1", Field("Chain ID"));
    check_refused("Chain ID: 31337", "Chain ID: 99999999999999999999", Field("Chain ID"));
    check_refused("k3Jd92LsQ0pXvB7n", "k3Jd92L", Field("Nonce"));
    check_refused("k3Jd92LsQ0pXvB7n", "k3Jd92L-Q0pXvB7n", Field("Nonce"));
    check_refused("2026-01-05T10:00:00.25+01:00", "2026-01-05 10:00", Field("Issued At"));
    check_refused("Expiration Time: 2026-01-05", "Expiration Time: 2026-13-05", Field("Expiration Time"));
    check_refused("Not Before: 2026", "Not Before: x2026", Field("Not Before"));
    check_refused("a-b%2F:@", "a b", Field("Request ID"));
    check_refused("- ipfs://bafy/x", "ipfs://bafy/x", Field("Resources"));
    check_refused("- ipfs://bafy/x", "- no uri", Field("Resources"));
    check_refused("Version: 1\nChain ID: 31337", "Chain ID: 31337\nVersion: 1", Field("Version"));
    check_refused("Request ID: a-b%2F:@\n", "Request ID: a\nNot Before: 2026-01-05T10:00:00Z\n", Surplus);
    assert_eq!(SignIn::parse(&[FULL, "\n"].concat()), Err(Surplus));
    assert_eq!(SignIn::parse(&FULL.replace('\n', "\r\n")), Err(Surplus));
    assert_eq!(SignIn::parse(""), Err(Preamble));
}

proptest! {
    /// One byte more, less or other is refused or says something else.
    #[test]
    fn no_two_texts_read_alike(at in 0..FULL.len(), byte in 0_u8..128, kind in 0..3) {
        let mut bytes = FULL.as_bytes().to_vec();
        match kind {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => { bytes.remove(at); }
        }
        let text = String::from_utf8(bytes).unwrap();
        let read = SignIn::parse(&text).ok();
        // Letter case of `T` and `Z`, and zeros at the end of a fraction, mean the same time.
        let times = 0.."2026-01-05T10:00:00.25+01:00".len();
        let in_time = |start: &str| {
            let start = FULL.find(start).unwrap() + start.len();
            (start + times.start..=start + times.end).contains(&at)
        };
        let same_time = ["Issued At: ", "Expiration Time: ", "Not Before: "].iter().any(|start| in_time(start));
        prop_assert!(text == FULL || same_time || read != SignIn::parse(FULL).ok());
    }

    #[test]
    fn no_text_panics(text in "\\PC*\n?\\PC*") {
        let _ = SignIn::parse(&text);
    }
}

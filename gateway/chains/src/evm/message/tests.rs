use super::*;

fn request() -> Request<'static> {
    Request {
        origin: "http://127.0.0.1:8080",
        method: "GET",
        path: "/transactions?limit=5",
        body_hash: "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse().unwrap(),
        timestamp: 1_790_000_000,
    }
}

#[test]
fn request_text_is_six_lines() {
    let expected = "gateway-core-v1\nhttp://127.0.0.1:8080\nGET\n/transactions?limit=5\n\
                    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n1790000000";
    assert_eq!(request_text(&request()).unwrap(), expected);
    assert_eq!(untimed_request_text(&request()).unwrap(), expected.trim_end_matches("1790000000"));
}

#[test]
fn line_that_could_shift_the_others_is_refused() {
    for (name, odd) in [
        ("origin", Request { origin: "http://a\nb", ..request() }),
        ("method", Request { method: "GET\r", ..request() }),
        ("path", Request { path: "/\0", ..request() }),
    ] {
        assert_eq!(request_text(&odd), Err(AmbiguousLine(name)));
        assert_eq!(untimed_request_text(&odd), Err(AmbiguousLine(name)));
    }
}

#[test]
fn own_requests_are_not_signed_in_any_disguise() {
    let own = request_text(&request()).unwrap();
    for text in [own.clone(), format!("\u{feff} \n{own}"), own.to_uppercase(), own.replace('\n', "\r\n")] {
        assert_eq!(screen(text.as_bytes()), Err(MessageRefusal::OwnRequest), "{text:?}");
    }
}

#[test]
fn sign_ins_are_not_signed_in_any_disguise() {
    let text = "app.example wants you to sign in with your Ethereum account:\n\
                0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F\n\n\
                URI: https://app.example\nVersion: 1\nChain ID: 1\nNonce: 32891756\n\
                Issued At: 2026-11-21T22:00:00.000Z";
    let spread = text.replace("sign in", "sign  \t in");
    for disguised in [text.to_owned(), text.to_uppercase(), format!("hello\n{text}"), spread] {
        assert_eq!(screen(disguised.as_bytes()), Err(MessageRefusal::SignIn), "{disguised:?}");
    }
    let binary = [&[0xff, 0xfe][..], text.as_bytes()].concat();
    assert_eq!(screen(&binary), Err(MessageRefusal::SignIn));
}

#[test]
fn other_messages_pass() {
    for message in [&b"hello"[..], b"", &[0xff; 32], "sign in to my ethereum account".as_bytes()] {
        assert_eq!(screen(message), Ok(()));
    }
}

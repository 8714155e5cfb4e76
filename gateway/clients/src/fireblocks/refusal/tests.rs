use super::*;

#[test]
fn only_what_can_never_be_taken_is_final() {
    use Verdict::{Final, NotTaken, Taken, Unknown};
    for (http_status, code, expected) in [
        (200, None, Taken),
        (201, None, Taken),
        // Nobody is followed.
        (301, None, Unknown),
        (307, None, Unknown),
        // A malformed or impossible request, and what policy of the workspace forbids.
        (400, None, Final),
        (400, Some(1427), Final),
        (400, Some(1438), Unknown),
        // An invalid signature, an expired certificate, an expired token, a token of the future.
        (401, Some(-1), NotTaken),
        (401, Some(-5), NotTaken),
        (401, Some(-10), NotTaken),
        (401, Some(-12), NotTaken),
        (401, None, NotTaken),
        (403, None, Final),
        (404, Some(1004), Final),
        (408, None, Unknown),
        (409, None, Unknown),
        (413, None, Final),
        (422, None, Final),
        (425, None, NotTaken),
        (429, None, NotTaken),
        (500, None, Unknown),
        (502, None, Unknown),
        (503, Some(1438), Unknown),
        (504, None, Unknown),
        (520, None, Unknown),
        (100, None, Unknown),
        (999, None, Unknown),
    ] {
        assert_eq!(verdict(http_status, code), expected, "{http_status} {code:?}");
    }
}

/// Whatever is not in the table is not final.
#[test]
fn no_status_outside_the_four_hundreds_is_final_or_not_taken() {
    for status in (0..400).chain(500..=u16::MAX) {
        assert!(matches!(verdict(status, None), Verdict::Taken | Verdict::Unknown), "{status}");
    }
}

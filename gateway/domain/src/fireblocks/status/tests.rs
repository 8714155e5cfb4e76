use super::*;

#[test]
fn every_documented_status_has_its_meaning() {
    use FailureReason::{VendorBlocked, VendorCancelled, VendorFailed, VendorRejected, VendorTimedOut};
    let table = [
        ("SUBMITTED", Meaning::UnderWay),
        ("PENDING_AML_SCREENING", Meaning::UnderWay),
        ("PENDING_ENRICHMENT", Meaning::UnderWay),
        ("PENDING_AUTHORIZATION", Meaning::UnderWay),
        ("QUEUED", Meaning::UnderWay),
        ("PENDING_SIGNATURE", Meaning::UnderWay),
        ("PENDING_3RD_PARTY_MANUAL_APPROVAL", Meaning::UnderWay),
        ("PENDING_3RD_PARTY", Meaning::UnderWay),
        ("PENDING", Meaning::UnderWay),
        ("PENDING_EMAIL_APPROVAL", Meaning::UnderWay),
        ("PENDING_CONSOLE_APPROVAL", Meaning::UnderWay),
        ("BROADCASTING", Meaning::UnderWay),
        ("CONFIRMING", Meaning::UnderWay),
        ("CONFIRMED", Meaning::UnderWay),
        ("PARTIALLY_COMPLETED", Meaning::UnderWay),
        ("COMPLETED", Meaning::Completed),
        ("CANCELLING", Meaning::UnderWay),
        ("CANCELLED", Meaning::Failed(VendorCancelled)),
        ("BLOCKED", Meaning::Failed(VendorBlocked)),
        ("REJECTED", Meaning::Failed(VendorRejected)),
        ("FAILED", Meaning::Failed(VendorFailed)),
        ("TIMEOUT", Meaning::Failed(VendorTimedOut)),
    ];
    for (word, meaning) in table {
        let status = VendorStatus::read(word);
        assert_eq!((status.as_str(), status.meaning()), (word, meaning));
    }
    assert_eq!(table.len(), VendorStatus::ALL.len(), "a status without a row");
}

#[test]
fn a_word_that_is_not_known_ends_nothing() {
    for word in ["", "completed", "FAILED ", "SOMETHING_NEW", "UNKNOWN"] {
        assert_eq!(VendorStatus::read(word), VendorStatus::Unknown, "{word}");
        assert_eq!(VendorStatus::read(word).meaning(), Meaning::UnderWay);
    }
}

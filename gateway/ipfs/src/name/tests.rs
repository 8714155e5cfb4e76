use super::*;

/// Names by `ipfs add` of the Kubo documentation and by the Python package `aleph-cid`, which computes them on its own.
#[test]
fn names_are_those_of_other_implementations() {
    let named = file(b"hello world\n").unwrap();
    assert_eq!(named.cid.to_string(), "bafybeicg2rebjoofv4kbyovkw7af3rpiitvnl6i7ckcywaq6xjcxnc2mby");
    for cid in [
        "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o",
        "bafybeicg2rebjoofv4kbyovkw7af3rpiitvnl6i7ckcywaq6xjcxnc2mby",
        "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4",
    ] {
        assert!(names(cid, b"hello world\n"), "{cid}");
        assert!(!names(cid, b"hello world"), "{cid}");
    }
    let long = vec![b'x'; CONTENT_BYTES_MAX];
    assert!(names("QmbcaCtvxnoA1iPnGSvABvZTddnhoMJv2gNbpHfVmkxPuW", &long));
}

#[test]
fn a_block_gives_back_its_content_and_no_other_block_does() {
    let named = file(b"content").unwrap();
    assert_eq!(content(&named.block, named.digest).unwrap(), b"content");
    assert_eq!(content(&named.block, [0; 32]), None);
    for length in [0, 127, 128, 16_383, 16_384, CONTENT_BYTES_MAX] {
        let bytes = vec![7; length];
        let named = file(&bytes).unwrap();
        assert_eq!(content(&named.block, named.digest).unwrap(), bytes, "{length}");
    }
    assert!(file(&vec![0; CONTENT_BYTES_MAX + 1]).is_err());
}

#[test]
fn what_is_no_cid_names_nothing() {
    for text in ["", "bafy", "Qm", "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5p", "0x00"] {
        assert!(!names(text, b"hello world\n"), "{text}");
    }
}

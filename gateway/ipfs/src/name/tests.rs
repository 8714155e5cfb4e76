use super::*;

/// Names by `ipfs add` of the Kubo documentation and by the Python package `aleph-cid`, which computes them on its own.
#[test]
fn names_are_those_of_other_implementations() {
    let whole = file(b"hello world\n").unwrap();
    assert_eq!(whole.cid.to_string(), "bafybeicg2rebjoofv4kbyovkw7af3rpiitvnl6i7ckcywaq6xjcxnc2mby");
    for cid in [
        "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o",
        "bafybeicg2rebjoofv4kbyovkw7af3rpiitvnl6i7ckcywaq6xjcxnc2mby",
        "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4",
    ] {
        assert!(named(cid, b"hello world\n").is_some(), "{cid}");
        assert!(named(cid, b"hello world").is_none(), "{cid}");
    }
    let long = vec![b'x'; CONTENT_BYTES_MAX];
    assert!(named("QmbcaCtvxnoA1iPnGSvABvZTddnhoMJv2gNbpHfVmkxPuW", &long).is_some());
}

#[test]
fn a_raw_leaf_is_the_content_itself_under_its_own_digest() {
    let name = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4";
    let leaf = named(name, b"hello world\n").unwrap();
    assert_eq!((leaf.cid.to_string().as_str(), leaf.block.as_slice()), (name, &b"hello world\n"[..]));
    assert_ne!(leaf.digest, file(b"hello world\n").unwrap().digest);
    assert_eq!(content(&leaf.block, name, leaf.digest).unwrap(), b"hello world\n");
    assert_eq!(content(&leaf.block, name, [0; 32]), None);
}

#[test]
fn a_block_gives_back_its_content_and_no_other_block_does() {
    let named = file(b"content").unwrap();
    assert_eq!(content(&named.block, &named.cid.to_string(), named.digest).unwrap(), b"content");
    assert_eq!(content(&named.block, &named.cid.to_string(), [0; 32]), None);
    for length in [0, 127, 128, 16_383, 16_384, CONTENT_BYTES_MAX] {
        let bytes = vec![7; length];
        let named = file(&bytes).unwrap();
        assert_eq!(content(&named.block, &named.cid.to_string(), named.digest).unwrap(), bytes, "{length}");
    }
    assert!(file(&vec![0; CONTENT_BYTES_MAX + 1]).is_err());
}

#[test]
fn what_is_no_cid_names_nothing() {
    for text in ["", "bafy", "Qm", "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5p", "0x00"] {
        assert!(named(text, b"hello world\n").is_none(), "{text}");
    }
}

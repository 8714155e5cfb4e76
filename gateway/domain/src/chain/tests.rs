use super::ChainId;

#[test]
fn chain_ids_are_read_and_shown_alike() {
    for text in ["eip155:1", "eip155:31337", "eip155:9223372036854775771"] {
        assert_eq!(text.parse::<ChainId>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "1",
        "eip155",
        "eip155:",
        "eip155:0",
        "eip155:01",
        "eip155:+1",
        "eip155:-1",
        "eip155:1 ",
        "eip155:0x1",
        "EIP155:1",
        "eip155:1:2",
        "eip155:9223372036854775772",
        "eip155:18446744073709551616",
        "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
    ] {
        assert!(text.parse::<ChainId>().is_err(), "{text}");
    }
}

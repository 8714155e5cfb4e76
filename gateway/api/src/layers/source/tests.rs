use super::*;

fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
    let mut headers = HeaderMap::new();
    for line in forwarded {
        headers.append("x-forwarded-for", line.parse().unwrap());
    }
    let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
    client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
}

#[test]
fn a_stranger_cannot_name_an_address() {
    assert_eq!(client("203.0.113.9", &["127.0.0.1"], &["10.0.0.0/8"]), "203.0.113.9");
    assert_eq!(client("203.0.113.9", &["127.0.0.1"], &[]), "203.0.113.9");
}

#[test]
fn a_trusted_proxy_names_the_client_it_saw() {
    assert_eq!(client("10.0.0.1", &["203.0.113.9"], &["10.0.0.0/8"]), "203.0.113.9");
    assert_eq!(client("10.0.0.1", &["127.0.0.1, 203.0.113.9, 10.0.0.2"], &["10.0.0.0/8"]), "203.0.113.9");
    assert_eq!(client("10.0.0.1", &["127.0.0.1", "203.0.113.9"], &["10.0.0.0/8"]), "203.0.113.9");
}

#[test]
fn unreadable_entries_end_the_chain() {
    assert_eq!(client("10.0.0.1", &["127.0.0.1, unknown"], &["10.0.0.0/8"]), "10.0.0.1");
    assert_eq!(client("10.0.0.1", &[], &["10.0.0.0/8"]), "10.0.0.1");
}

#[test]
fn mapped_addresses_are_the_ones_they_map() {
    assert_eq!(client("10.0.0.1", &["::ffff:203.0.113.9"], &["10.0.0.0/8"]), "203.0.113.9");
}

#[test]
fn one_ipv6_subscriber_is_one_bucket() {
    let bucket = |text: &str| Source(Some(text.parse().unwrap())).bucket();
    assert_eq!(bucket("2001:db8:1:2::1"), bucket("2001:db8:1:2:ffff::9"));
    assert_ne!(bucket("2001:db8:1:2::1"), bucket("2001:db8:1:3::1"));
    assert_ne!(bucket("192.0.2.1"), bucket("192.0.2.2"));
}

//! Each source has its share, and gets it back.

use super::*;

#[test]
fn a_source_has_its_share_and_no_more() {
    let shares = Shares::new(2);
    let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
    let places = [shares.enter(one), shares.enter(one)];
    assert!(places.iter().all(Option::is_some));
    assert!(shares.enter(one).is_none());
    assert!(shares.enter(other).is_some());
    drop(places);
    assert!(locked(&shares.taken).is_empty(), "what is not under way takes no memory");
    assert!(shares.enter(one).is_some());
}

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use super::*;

#[test]
fn the_key_stays_and_is_the_users_alone() {
    let folder = tempfile::tempdir().unwrap();
    let first = key(folder.path()).unwrap();
    assert_eq!(key(folder.path()).unwrap(), first);
    let mode = fs::metadata(folder.path().join("key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::write(folder.path().join("key"), "short").unwrap();
    assert!(open_in(folder.path()).is_err());
}

#[test]
fn the_oldest_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..KEPT + 3 {
        let file = fs::File::create(folder.path().join(number.to_string())).unwrap();
        let age = Duration::from_secs(number as u64);
        file.set_modified(SystemTime::UNIX_EPOCH + age).unwrap();
    }
    forget_oldest(folder.path()).unwrap();
    assert_eq!(folder.path().read_dir().unwrap().count(), KEPT);
    assert!(!folder.path().join("2").exists() && folder.path().join("3").exists());
}

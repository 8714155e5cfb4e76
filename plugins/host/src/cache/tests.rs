use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::require_private;

#[test]
fn a_directory_of_another_user_is_refused() {
    let directory = tempfile::TempDir::new().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let owner = fs::metadata(directory.path()).unwrap().uid();
    require_private(directory.path(), owner).unwrap();
    let refusal = require_private(directory.path(), owner + 1).unwrap_err().to_string();
    assert!(
        refusal.contains(&format!("belongs to user {owner}, must be this process's, {}", owner + 1)),
        "{refusal}"
    );
}

//! What holds for the file.

use std::os::unix::fs::PermissionsExt as _;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::record::PasswordHash;
use crate::store::tests::account;

async fn store() -> (TempDir, Sqlite) {
    let directory = TempDir::new().unwrap();
    let store = Sqlite::open(directory.path().join("accounts.db")).await;
    (directory, store.unwrap())
}

#[tokio::test]
async fn a_file_of_an_unknown_schema_version_is_refused_and_left_alone() {
    let (directory, store) = store().await;
    drop(store);
    let path = directory.path().join("accounts.db");
    for version in [schema::VERSION + 1, -1] {
        let connection = Connection::open(&path).unwrap();
        connection
            .pragma_update(None, "user_version", version)
            .unwrap();
        drop(connection);
        let before = std::fs::read(&path).unwrap();
        let refused = Sqlite::open(path.clone()).await.err().unwrap();
        assert!(matches!(refused, StoreError::UnknownVersion { found, .. } if found == version));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[tokio::test]
async fn the_schema_is_the_record_of_the_design_and_an_id() {
    let (_directory, store) = store().await;
    let connection = store.connection.lock().unwrap();
    let mut query = connection
        .prepare("SELECT name FROM pragma_table_info('account')")
        .unwrap();
    let columns: Vec<String> = query
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let design = "id username password email created_at updated_at newsletter has_authenticated \
        has_connected has_ipv6 compression streaming language currency country campaign subscription \
        ipv4 multihop client_version extension_version";
    assert_eq!(columns.join(" "), design);
    let mut query = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .unwrap();
    let tables: Vec<String> = query
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(tables, ["account", "node"]);
}

#[tokio::test]
async fn the_file_is_the_services_alone() {
    let (directory, _store) = store().await;
    let mode = std::fs::metadata(directory.path().join("accounts.db"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn what_was_replaced_or_erased_leaves_no_copy_in_the_files() {
    let (directory, store) = store().await;
    let mut account = account("ann-to-look-for");
    account.password = PasswordHash("$argon2id$password-to-look-for".to_owned());
    store.create(account.clone()).await.unwrap();
    let replace = |account: &mut Account| account.password.0 = "x".to_owned();
    store.edit(account.id, replace).await.unwrap();
    assert!(!is_found(&directory, b"password-to-look-for"));
    assert!(is_found(&directory, b"ann-to-look-for"));
    store.erase(account.id).await.unwrap();
    assert!(!is_found(&directory, b"ann-to-look-for"));
}

fn is_found(directory: &TempDir, marker: &[u8]) -> bool {
    let files = std::fs::read_dir(directory.path()).unwrap();
    let mut bytes = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
    bytes.any(|bytes| bytes.windows(marker.len()).any(|window| window == marker))
}

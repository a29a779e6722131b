use std::os::unix::fs::PermissionsExt as _;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::accounts::{new_account, plain_sign_up};
use crate::record::PasswordHash;

fn store() -> (TempDir, Store) {
    let directory = TempDir::new().unwrap();
    let store = Store::open(&directory.path().join("accounts.db")).unwrap();
    (directory, store)
}

fn account(username: &str) -> Account {
    let sign_up = plain_sign_up(username.to_owned(), "a long password".to_owned());
    new_account(
        sign_up,
        PasswordHash("$argon2id$x".to_owned()),
        1_795_478_999,
    )
    .unwrap()
}

#[test]
fn a_file_of_an_unknown_schema_version_is_refused_and_left_alone() {
    let (directory, store) = store();
    drop(store);
    let path = directory.path().join("accounts.db");
    for version in [schema::VERSION + 1, -1] {
        let connection = Connection::open(&path).unwrap();
        connection
            .pragma_update(None, "user_version", version)
            .unwrap();
        drop(connection);
        let before = std::fs::read(&path).unwrap();
        let refused = Store::open(&path).err().unwrap();
        assert!(matches!(refused, StoreError::UnknownVersion(found) if found == version));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn the_schema_is_the_record_of_the_design_and_an_id() {
    let (_directory, store) = store();
    let connection = store.connection();
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

#[test]
fn the_file_is_the_services_alone() {
    let (directory, _store) = store();
    let mode = std::fs::metadata(directory.path().join("accounts.db"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_name_is_taken_in_either_case() {
    let (_directory, store) = store();
    store.create(&account("ann")).unwrap();
    assert!(matches!(
        store.create(&account("Ann")),
        Err(StoreError::NameTaken)
    ));
    assert!(store.by_name("ANN").unwrap().is_some());
    assert!(store.by_name("bob").unwrap().is_none());
}

#[test]
fn the_hour_of_the_sign_up_is_all_that_is_kept_of_its_time() {
    let account = account("ann");
    assert_eq!(account.created_at.0 % 3600, 0);
    assert_eq!(account.updated_at.0, account.created_at.0);
}

#[test]
fn the_daily_write_sets_its_marks_and_leaves_updated_at() {
    let (_directory, store) = store();
    let account = account("ann");
    store.create(&account).unwrap();
    let mark = Mark {
        authenticated: true,
        connected: false,
        client_version: Some("1.2.3".to_owned()),
    };
    store.mark(&HashMap::from([(account.id, mark)])).unwrap();
    store
        .mark(&HashMap::from([(
            account.id,
            Mark {
                connected: true,
                ..Mark::default()
            },
        )]))
        .unwrap();
    let marked = store.by_name("ann").unwrap().unwrap();
    assert!(marked.has_authenticated.0 && marked.has_connected.0);
    assert_eq!(marked.client_version.as_deref(), Some("1.2.3"));
    assert!(marked.updated_at == account.updated_at);
}

#[test]
fn a_password_that_was_replaced_leaves_no_copy_in_the_files() {
    let (directory, store) = store();
    let mut account = account("ann");
    account.password = PasswordHash("$argon2id$a-marker-to-look-for".to_owned());
    store.create(&account).unwrap();
    store
        .connection()
        .execute("UPDATE account SET password = 'x'", [])
        .unwrap();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(
            !bytes
                .windows(18)
                .any(|window| window == b"a-marker-to-look-f")
        );
    }
}

//! Tests of the SQLite file.

use std::os::unix::fs::PermissionsExt as _;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::core::record::PasswordHash;
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

/// Everything that the store may hold: the account record, an id, hashes of payments until they
/// cannot come again, and the register of nodes.
const POLICY: [(&str, &str); 3] = [
    (
        "account",
        "id username password email created_at updated_at newsletter has_authenticated \
         has_connected has_ipv6 compression streaming language currency country campaign \
         subscription ipv4 multihop client_version extension_version",
    ),
    ("node", "name salt hash drains"),
    ("payment", "hash ends"),
];

#[tokio::test]
async fn the_schema_is_the_policy() {
    let (_directory, store) = store().await;
    let connection = store.connection.lock().unwrap();
    let strings = |query: &str| -> Vec<String> {
        let mut query = connection.prepare(query).unwrap();
        let found = query.query_map([], |row| row.get(0)).unwrap();
        found.map(|row| row.unwrap()).collect()
    };
    let tables = strings("SELECT name FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name");
    assert_eq!(tables, POLICY.map(|(table, _)| table));
    for (table, columns) in POLICY {
        let found = strings(&format!("SELECT name FROM pragma_table_info('{table}')"));
        assert_eq!(found.join(" "), columns, "{table}");
    }
}

#[tokio::test]
async fn a_filled_file_of_version_1_keeps_its_accounts_and_nodes() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("accounts.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(schema::MIGRATIONS[0]).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    let mut ann = account("ann");
    ann.updated_at = Moment(ann.updated_at.0 + 17);
    for account in (0..500)
        .map(|n| account(&format!("user-{n}")))
        .chain([ann.clone()])
    {
        row::insert(&connection, &account).unwrap();
    }
    connection
        .execute(
            "INSERT INTO node VALUES ('node-1', ?1, ?2)",
            params![[1_u8; 16], [2_u8; 32]],
        )
        .unwrap();
    drop(connection);
    let store = Sqlite::open(path.clone()).await.unwrap();
    assert_eq!(store.page(String::new(), 1000).await.unwrap().len(), 501);
    let found = store.by_name("ann".to_owned()).await.unwrap().unwrap();
    assert!(found.id == ann.id && found.password.0 == ann.password.0);
    // The migration drops the minute of an edit.
    assert_eq!(found.updated_at.0, ann.updated_at.0 - 17);
    assert!(store.node("node-1".to_owned()).await.unwrap().is_some());
    let proof = Proof {
        hash: [3; 32],
        ends: Moment(3600),
    };
    assert!(store.pay(proof, "ann".to_owned(), |_| ()).await.unwrap());
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

#[tokio::test]
async fn what_sqlite_moves_about_leaves_no_copy_of_an_erased_account() {
    let (directory, store) = store().await;
    let name = |n: u32| format!("user-{:08x}-to-look-for", n.wrapping_mul(0x9e37_79b1));
    {
        // Without the last step of the erasure, some names would remain in gaps of index pages.
        let mut connection = store.connection.lock().unwrap();
        let transaction = connection.transaction().unwrap();
        for n in 0..5000 {
            row::insert(&transaction, &account(&name(n))).unwrap();
        }
        for n in (1..5000).step_by(2) {
            let delete = "DELETE FROM account WHERE username = ?1";
            let mut delete = transaction.prepare_cached(delete).unwrap();
            delete.execute([name(n)]).unwrap();
        }
        transaction.commit().unwrap();
    }
    let last = store.by_name(name(0)).await.unwrap().unwrap();
    store.erase(last.id).await.unwrap();
    let bytes = std::fs::read(directory.path().join("accounts.db")).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let left = (1..5000)
        .step_by(2)
        .chain([0])
        .filter(|&n| text.contains(&name(n)));
    assert_eq!(left.count(), 0);
    assert!(text.contains(&name(2)));
}

fn is_found(directory: &TempDir, marker: &[u8]) -> bool {
    let files = std::fs::read_dir(directory.path()).unwrap();
    let mut bytes = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
    bytes.any(|bytes| bytes.windows(marker.len()).any(|window| window == marker))
}

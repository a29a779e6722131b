//! Tests of the server's files and settings.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use mayfly_kit::postgres::{Cluster, QUIET, give};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::time::sleep;

use super::*;
use crate::core::record::PasswordHash;
use crate::store::tests::{account, database};

async fn store() -> (&'static Cluster, String, Postgres) {
    let cluster = Cluster::shared();
    let words = cluster.database();
    let store = Postgres::open(&database(&words)).await.unwrap();
    let name = words.rsplit('=').next().unwrap().to_owned();
    (cluster, name, store)
}

#[tokio::test]
async fn tables_of_an_unknown_schema_version_are_refused_and_left_alone() {
    let (cluster, name, store) = store().await;
    store.create(account("ann")).await.unwrap();
    let words = format!(
        "host={} user=mayfly dbname={name}",
        cluster.directory.display()
    );
    for version in [schema::VERSION + 1, -1] {
        cluster.sql(&name, &format!("UPDATE schema SET version = {version}"));
        let refused = Postgres::open(&database(&words)).await.err().unwrap();
        assert!(matches!(refused, StoreError::UnknownVersion { found, .. } if found == version));
        let left = cluster.sql(&name, "SELECT version, username FROM schema, account");
        assert_eq!(left, format!("{version}|ann"));
    }
}

#[tokio::test]
async fn a_filled_database_of_the_first_version_is_brought_forward() {
    let cluster = Cluster::shared();
    let words = cluster.database();
    let name = words.rsplit('=').next().unwrap();
    let first = format!(
        "SET ROLE mayfly; {}
         CREATE TABLE schema (version BIGINT NOT NULL); INSERT INTO schema VALUES (1);
         INSERT INTO account SELECT decode(md5(n::text), 'hex'), 'user' || n, 'x', NULL, 7200, 7201,
             false, false, false, true, false, false, 'de', 'EUR', 'DE', NULL, 9000, NULL, NULL,
             '1.2.3', NULL
         FROM generate_series(1, 1000) n",
        schema::MIGRATIONS[0]
    );
    cluster.sql(name, &first);
    let store = Postgres::open(&database(&words)).await.unwrap();
    let found = store.by_name("user7".to_owned()).await.unwrap().unwrap();
    assert_eq!((found.created_at.0, found.updated_at.0), (7200, 7200));
    assert_eq!(found.client_version.as_deref(), Some("1.2.3"));
    assert!(found.has_ipv6.0 && found.subscription == Some(Moment(9000)));
    let left = cluster.sql(
        name,
        "SELECT version, count(*) FROM schema, account GROUP BY 1",
    );
    assert_eq!(left, format!("{}|1000", schema::VERSION));
}

#[tokio::test]
async fn the_schema_is_the_record_of_the_design_and_an_id() {
    let (cluster, name, _store) = store().await;
    let columns = cluster.sql(
        &name,
        "SELECT string_agg(column_name, ' ' ORDER BY ordinal_position)
         FROM information_schema.columns WHERE table_name = 'account'",
    );
    let design = "id username password email created_at updated_at newsletter has_authenticated \
        has_connected has_ipv6 compression streaming language currency country campaign subscription \
        ipv4 multihop client_version extension_version";
    assert_eq!(columns, design);
    let tables = cluster.sql(
        &name,
        "SELECT string_agg(table_name, ' ' ORDER BY table_name)
         FROM information_schema.tables WHERE table_schema = 'public'",
    );
    assert_eq!(tables, "account node payment schema");
}

#[tokio::test]
async fn what_was_replaced_or_erased_leaves_no_copy_in_the_servers_files() {
    let (cluster, name, store) = store().await;
    let mut ann = account("ann-to-look-for");
    ann.password = PasswordHash("$argon2id$password-to-look-for".to_owned());
    store.create(ann.clone()).await.unwrap();
    store.create(account("bob-who-stays")).await.unwrap();
    cluster.sql(&name, "ANALYZE; CHECKPOINT");
    assert!(cluster.holds(b"password-to-look-for"));
    let replace = |account: &mut Account| account.password.0 = "x".to_owned();
    store.edit(ann.id, replace).await.unwrap();
    store.forget().await.unwrap();
    assert!(!cluster.holds(b"password-to-look-for"));
    assert!(cluster.holds(b"ann-to-look-for"));
    store.erase(ann.id).await.unwrap();
    assert!(!cluster.holds(b"ann-to-look-for"));
    assert!(!cluster.holds(&ann.id.0));
    assert!(cluster.holds(b"bob-who-stays"));
}

#[tokio::test]
async fn a_payments_proof_and_a_nodes_secret_go_as_wholly() {
    let (cluster, name, store) = store().await;
    store.create(account("dora")).await.unwrap();
    let proof = Proof {
        hash: *b"a-hash-of-a-payment-to-look-for!",
        ends: Moment(3600),
    };
    let secret = NodeSecret {
        salt: *b"salt-to-look-for",
        hash: [7; 32],
    };
    store.pay(proof, "dora".to_owned(), |_| ()).await.unwrap();
    store
        .register_node("node-1".to_owned(), secret)
        .await
        .unwrap();
    cluster.sql(&name, "CHECKPOINT");
    let left = || [&b"a-payment-to-look-for"[..], b"salt-to-look-for"].map(|it| cluster.holds(it));
    assert_eq!(left(), [true; 2]);
    store.forget_payments(Moment(3600)).await.unwrap();
    store.forget().await.unwrap();
    assert_eq!(left(), [false, true]);
    assert!(store.revoke_node("node-1".to_owned()).await.unwrap());
    store.forget().await.unwrap();
    assert_eq!(left(), [false; 2]);
}

/// A transaction that can still see what is erased from now on.
async fn onlooker(store: &Postgres) -> Object {
    let client = store.client().await.unwrap();
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1";
    client.batch_execute(begin).await.unwrap();
    client
}

#[tokio::test]
async fn an_erasure_waits_for_those_who_could_still_see_the_row() {
    let (cluster, _, store) = store().await;
    let ann = account("ann-whom-somebody-sees");
    store.create(ann.clone()).await.unwrap();
    let onlooker = onlooker(&store).await;
    let look_away = async {
        sleep(Duration::from_millis(300)).await;
        onlooker.batch_execute("COMMIT").await
    };
    let (erased, looked_away) = tokio::join!(store.erase(ann.id), look_away);
    erased.unwrap();
    looked_away.unwrap();
    assert!(!cluster.holds(b"ann-whom-somebody-sees"));
}

#[tokio::test]
async fn what_somebody_could_see_for_too_long_is_taken_away_the_next_time() {
    let (cluster, _, store) = store().await;
    let ann = account("ann-whom-somebody-watches");
    store.create(ann.clone()).await.unwrap();
    let onlooker = onlooker(&store).await;
    store.erase(ann.id).await.unwrap();
    assert!(cluster.holds(b"ann-whom-somebody-watches"));
    onlooker.batch_execute("COMMIT").await.unwrap();
    store.forget().await.unwrap();
    assert!(!cluster.holds(b"ann-whom-somebody-watches"));
}

#[tokio::test]
async fn a_taken_name_is_no_error_that_the_server_could_write_down() {
    let (cluster, _, store) = store().await;
    store.create(account("cid-to-look-for")).await.unwrap();
    let taken = store.create(account("CID-to-look-for")).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)));
    let told = std::fs::read(cluster.directory.join("log")).unwrap();
    assert!(!String::from_utf8_lossy(&told).contains("to-look-for"));
}

#[tokio::test]
async fn the_daily_write_touches_no_row_that_it_does_not_change() {
    let (cluster, name, store) = store().await;
    let account = account("ann");
    store.create(account.clone()).await.unwrap();
    let mark = Mark {
        connected: true,
        client_version: Some("1.2.3".to_owned()),
        ..Mark::default()
    };
    let write = |mark: &Mark| store.mark(HashMap::from([(account.id, mark.clone())]));
    let version = || cluster.sql(&name, "SELECT xmin, ctid FROM account");
    let before = version();
    write(&mark).await.unwrap();
    let written = version();
    assert_ne!(before, written);
    let other = Mark {
        client_version: None,
        ..mark.clone()
    };
    for mark in [&mark, &other] {
        write(mark).await.unwrap();
        assert_eq!(version(), written);
    }
}

#[tokio::test]
async fn a_server_that_would_leave_traces_is_refused_with_what_to_set() {
    let loud = QUIET
        .replace(
            "track_commit_timestamp = 'off'",
            "track_commit_timestamp = 'on'",
        )
        .replace("wal_recycle = 'off'", "")
        .replace("archive_mode = 'off'", "archive_mode = 'on'")
        .replace("log_connections = 'off'", "log_connections = 'on'");
    let cluster = Cluster::start(&loud);
    let words = cluster.database();
    cluster.sql("postgres", "REVOKE pg_checkpoint FROM mayfly");
    cluster.sql("postgres", "ALTER ROLE mayfly SET log_statement = 'all'");
    let refused = Postgres::open(&database(&words)).await.err().unwrap();
    let told = refused.to_string();
    for wish in [
        "set track_commit_timestamp = 'off'",
        "set wal_recycle = 'off'",
        "set archive_mode = 'off'",
        "set log_connections = 'off'",
        "set log_statement = 'none'",
        "GRANT pg_checkpoint",
    ] {
        assert!(told.contains(wish), "{told}");
    }
    assert!(!told.contains("log_duration"), "{told}");
}

/// A loopback address that nothing else uses.
const FAR: &str = "127.0.0.77";

/// A self-signed certificate for `name` and its key, in files that a server accepts.
fn certify(directory: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let private = fs::Permissions::from_mode(0o600);
    for (file, pem) in [("pem", certificate.pem()), ("key", key.serialize_pem())] {
        let path = directory.join(file);
        fs::write(&path, pem).unwrap();
        fs::set_permissions(&path, private.clone()).unwrap();
        give(&path);
    }
    give(directory);
}

#[tokio::test]
async fn a_server_elsewhere_is_spoken_to_over_tls_and_has_to_be_who_it_should_be() {
    let (directory, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    certify(directory.path(), "db.example");
    certify(other.path(), "db.example");
    let path = directory.path().display();
    let cluster = Cluster::start(&format!(
        "{QUIET}\nlisten_addresses = '{FAR}'\nssl = 'on'\n\
         ssl_cert_file = '{path}/pem'\nssl_key_file = '{path}/key'\n"
    ));
    let name = cluster.database().rsplit('=').next().unwrap().to_owned();
    let open = async |host: &str, authority: &TempDir| {
        let words = format!("host={host} hostaddr={FAR} user=mayfly dbname={name}");
        let mut database = database(&words);
        database.ca = Some(authority.path().join("pem"));
        Postgres::open(&database).await
    };
    let store = open("db.example", &directory).await.unwrap();
    store.create(account("ann")).await.unwrap();
    let spoken = cluster.sql(
        &name,
        "SELECT DISTINCT ssl, version FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
         WHERE usename = 'mayfly'",
    );
    assert_eq!(spoken, "t|TLSv1.3");
    assert!(open("db.example", &other).await.is_err());
    assert!(open("other.example", &directory).await.is_err());
}

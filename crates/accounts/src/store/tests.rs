//! Tests of every back end.

use mayfly_kit::postgres::Cluster;
use tempfile::TempDir;

use super::*;
use crate::config::Database;
use crate::core::record::{Moment, PasswordHash};
use crate::core::sign_up::{new_account, plain_sign_up};

/// An empty store of each back end.
async fn stores() -> (TempDir, [Store; 2]) {
    let directory = TempDir::new().unwrap();
    let sqlite = Sqlite::open(directory.path().join("accounts.db")).await;
    let postgres = Postgres::open(&database(&Cluster::shared().database())).await;
    let stores = [
        Store::Sqlite(sqlite.unwrap()),
        Store::Postgres(Box::new(postgres.unwrap())),
    ];
    (directory, stores)
}

pub(super) fn database(words: &str) -> Database {
    toml::from_str(&format!("postgres = \"{words}\"")).unwrap()
}

pub(super) fn account(username: &str) -> Account {
    let sign_up = plain_sign_up(username.to_owned(), "a long password".to_owned());
    let password = PasswordHash("$argon2id$x".to_owned());
    new_account(sign_up, password, 1_795_478_999).unwrap()
}

async fn ann(store: &Store) -> Account {
    store.by_name("ann".to_owned()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_name_is_taken_in_either_case() {
    let (_directory, stores) = stores().await;
    for store in stores {
        store.create(account("ann")).await.unwrap();
        let taken = store.create(account("Ann")).await;
        assert!(matches!(taken, Err(StoreError::NameTaken)));
        assert!(store.by_name("ANN".to_owned()).await.unwrap().is_some());
        assert!(store.by_name("bob".to_owned()).await.unwrap().is_none());
    }
}

#[test]
fn the_hour_of_the_sign_up_is_all_that_is_kept_of_its_time() {
    let account = account("ann");
    assert_eq!(account.created_at.0 % 3600, 0);
    assert_eq!(account.updated_at.0, account.created_at.0);
}

#[tokio::test]
async fn an_edit_changes_what_it_says_and_gives_back_what_it_found() {
    let (_directory, stores) = stores().await;
    for store in stores {
        let account = account("ann");
        store.create(account.clone()).await.unwrap();
        let change = |account: &mut Account| {
            account.subscription = Some(Moment(1_795_480_000));
            account.email.replace("ann@mail.example".to_owned())
        };
        assert_eq!(store.edit(account.id, change).await.unwrap(), None);
        let edited = ann(&store).await;
        assert!(edited.subscription == Some(Moment(1_795_480_000)));
        assert_eq!(edited.email.as_deref(), Some("ann@mail.example"));
        assert_eq!(edited.password.0, account.password.0);
    }
}

#[tokio::test]
async fn an_edit_cannot_take_anothers_name_or_find_who_is_not_there() {
    let (_directory, stores) = stores().await;
    for store in stores {
        let (ann, bob) = (account("ann"), account("bob"));
        store.create(ann).await.unwrap();
        store.create(bob.clone()).await.unwrap();
        let rename = |account: &mut Account| account.username = "ANN".to_owned();
        let taken = store.edit(bob.id, rename).await;
        assert!(matches!(taken, Err(StoreError::NameTaken)));
        assert!(store.by_name("bob".to_owned()).await.unwrap().is_some());
        let nobody = store.edit(AccountId([9; 16]), |_| ()).await;
        assert!(matches!(nobody, Err(StoreError::NoSuchAccount)));
    }
}

#[tokio::test]
async fn only_accounts_that_have_not_been_erased_are_known() {
    let (_directory, stores) = stores().await;
    for store in stores {
        let (ann, mut bob) = (account("ann"), account("bob"));
        bob.has_connected.0 = true;
        let ids = vec![ann.id, bob.id, AccountId([9; 16])];
        for account in [&ann, &bob] {
            store.create(account.clone()).await.unwrap();
        }
        let known = store.known(ids.clone()).await.unwrap();
        assert_eq!(known, HashMap::from([(ann.id, false), (bob.id, true)]));
        store.erase(bob.id).await.unwrap();
        let known = store.known(ids).await.unwrap();
        assert_eq!(known, HashMap::from([(ann.id, false)]));
        let again = store.erase(bob.id).await;
        assert!(matches!(again, Err(StoreError::NoSuchAccount)));
    }
}

#[tokio::test]
async fn the_daily_write_sets_its_marks_and_leaves_updated_at() {
    let (_directory, stores) = stores().await;
    for store in stores {
        let account = account("ann");
        store.create(account.clone()).await.unwrap();
        let authenticated = Mark {
            authenticated: true,
            connected: false,
            client_version: Some("1.2.3".to_owned()),
            extension_version: Some("4.5".to_owned()),
        };
        let connected = Mark {
            connected: true,
            ..Mark::default()
        };
        for mark in [authenticated, connected] {
            let marks = HashMap::from([(account.id, mark)]);
            store.mark(marks).await.unwrap();
        }
        let marked = ann(&store).await;
        assert!(marked.has_authenticated.0 && marked.has_connected.0);
        assert_eq!(marked.client_version.as_deref(), Some("1.2.3"));
        assert_eq!(marked.extension_version.as_deref(), Some("4.5"));
        assert!(marked.updated_at == account.updated_at);
    }
}

#[tokio::test]
async fn a_node_that_is_registered_again_has_its_new_secret() {
    let (_directory, stores) = stores().await;
    for store in stores {
        for byte in [1, 2] {
            let secret = NodeSecret {
                salt: [byte; 16],
                hash: [byte; 32],
            };
            store
                .register_node("node-1".to_owned(), secret)
                .await
                .unwrap();
        }
        let found = store.node("node-1".to_owned()).await.unwrap().unwrap();
        let found = found.secret;
        assert_eq!((found.salt, found.hash), ([2; 16], [2; 32]));
        assert!(store.node("node-2".to_owned()).await.unwrap().is_none());
    }
}

fn proof(hash: u8, ends: u64) -> Proof {
    Proof {
        hash: [hash; 32],
        ends: Moment(ends),
    }
}

/// Gives ann a day if the payment is new.
async fn pay(store: &Store, proof: Proof) -> Result<bool> {
    let give = |account: &mut Account| {
        let end = account.subscription.map_or(0, |end| end.0);
        account.subscription = Some(Moment(end + 86_400));
    };
    store.pay(proof, "ANN".to_owned(), give).await
}

#[tokio::test]
async fn a_payment_is_known_until_its_end_and_then_forgotten() {
    let (_directory, stores) = stores().await;
    for store in stores {
        store.create(account("ann")).await.unwrap();
        assert!(pay(&store, proof(1, 7200)).await.unwrap());
        assert!(pay(&store, proof(2, 10_800)).await.unwrap());
        store.forget_payments(Moment(7199)).await.unwrap();
        assert!(!pay(&store, proof(1, 7200)).await.unwrap());
        store.forget_payments(Moment(7200)).await.unwrap();
        assert!(pay(&store, proof(1, 14_400)).await.unwrap());
        assert!(!pay(&store, proof(2, 10_800)).await.unwrap());
        assert!(ann(&store).await.subscription == Some(Moment(3 * 86_400)));
    }
}

#[tokio::test]
async fn a_payment_for_nobody_is_not_kept() {
    let (_directory, stores) = stores().await;
    for store in stores {
        let nobody = pay(&store, proof(1, 3600)).await;
        assert!(matches!(nobody, Err(StoreError::NoSuchAccount)));
        store.create(account("ann")).await.unwrap();
        assert!(pay(&store, proof(1, 3600)).await.unwrap());
    }
}

#[tokio::test]
async fn accounts_are_listed_by_name_and_page_by_page() {
    let (_directory, stores) = stores().await;
    for store in stores {
        for name in ["bob", "Ann", "cid", "_x", "Dora"] {
            store.create(account(name)).await.unwrap();
        }
        let mut names: Vec<String> = Vec::new();
        loop {
            let page = store.page(names.last().cloned(), 2).await.unwrap();
            if page.is_empty() {
                break;
            }
            names.extend(page.into_iter().map(|account| account.username));
        }
        assert_eq!(names, ["_x", "Ann", "bob", "cid", "Dora"]);
    }
}

#[tokio::test]
async fn a_revoked_node_is_in_the_register_no_more() {
    let (_directory, stores) = stores().await;
    for store in stores {
        let secret = NodeSecret {
            salt: [1; 16],
            hash: [1; 32],
        };
        store
            .register_node("node-1".to_owned(), secret)
            .await
            .unwrap();
        assert!(store.revoke_node("node-1".to_owned()).await.unwrap());
        assert!(!store.revoke_node("node-1".to_owned()).await.unwrap());
        assert!(store.node("node-1".to_owned()).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_node_drains_until_it_is_told_otherwise_whatever_its_secret() {
    let (_directory, stores) = stores().await;
    for store in stores {
        let secret = |byte| NodeSecret {
            salt: [byte; 16],
            hash: [byte; 32],
        };
        let name = || "node-1".to_owned();
        let drains = async || store.node(name()).await.unwrap().unwrap().drains;
        assert!(!store.drain_node(name(), true).await.unwrap());
        store.register_node(name(), secret(1)).await.unwrap();
        assert!(!drains().await);
        assert!(store.drain_node(name(), true).await.unwrap());
        assert!(drains().await);
        store.register_node(name(), secret(2)).await.unwrap();
        assert!(drains().await);
        assert!(store.drain_node(name(), false).await.unwrap());
        assert!(!drains().await);
    }
}

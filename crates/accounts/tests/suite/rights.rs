//! The rights of an account's owner: copy, rectify, erase.

use crate::common::{self, ANN, PASSWORD, Service};
use serde_json::{Value, json};

#[tokio::test]
async fn an_owner_changes_what_they_said_and_nothing_else() {
    let service = Service::start().await;
    service.create_ann();
    let before = service.get("/v1/account", ANN).await.json();
    let said = json!({"email": "ann@mail.example", "has_ipv6": 1, "streaming": true, "language": "pt-BR",
        "currency": "EUR", "country": "DE", "campaign": "spring"});
    let answer = service.patch(ANN, said).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let after = service.get("/v1/account", ANN).await.json();
    assert_eq!(answer.json(), after);
    let changed: Vec<_> = before
        .as_object()
        .unwrap()
        .iter()
        .filter(|(field, value)| after[*field] != **value)
        .map(|(field, _)| field.as_str())
        .filter(|&field| field != "updated_at")
        .collect();
    assert_eq!(
        changed,
        [
            "campaign",
            "country",
            "currency",
            "email",
            "has_ipv6",
            "language",
            "streaming"
        ]
    );
    assert_eq!(
        (&after["has_ipv6"], &after["streaming"]),
        (&json!(1), &json!(1))
    );
    let answer = service.patch(ANN, json!({"email": null})).await;
    assert_eq!(answer.json()["email"], Value::Null);
    assert_eq!(answer.json()["country"], "DE");
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_with_the_reason() {
    let service = Service::start().await;
    service.create_ann();
    service.program(&["account", "create", "bob"]);
    let wrong = [
        (json!({"email": "ann"}), 400, "invalid-email"),
        (json!({"country": "ZZ"}), 400, "invalid-country"),
        (json!({"currency": "eur"}), 400, "invalid-currency"),
        (json!({"language": "klingon!"}), 400, "invalid-language"),
        (json!({"username": "a b"}), 400, "invalid-username"),
        (json!({"password": "short"}), 400, "invalid-password"),
        (json!({"campaign": ""}), 400, "invalid-campaign"),
        (json!({"username": null}), 400, "body-malformed"),
        (json!({"streaming": 2}), 400, "body-malformed"),
        (json!({"devices": 0}), 400, "body-malformed"),
        (json!({"subscription": null}), 400, "body-malformed"),
        (json!([]), 400, "body-malformed"),
        (json!({"username": "BOB"}), 409, "name-taken"),
    ];
    let before = service.get("/v1/account", ANN).await.json();
    for (body, status, name) in wrong {
        service.patch(ANN, body).await.is_problem(status, name);
    }
    assert_eq!(service.get("/v1/account", ANN).await.json(), before);
}

#[tokio::test]
async fn name_and_password_are_changed_and_the_former_are_gone() {
    let service = Service::start().await;
    service.create_ann();
    let kept = service.get("/v1/account", ANN).await.json();
    let answer = service
        .patch(
            ANN,
            json!({"username": "anna", "password": "another long one"}),
        )
        .await;
    assert_eq!(answer.status, 200);
    for former in [
        ANN,
        Some(("anna", PASSWORD)),
        Some(("ann", "another long one")),
    ] {
        let answer = service.get("/v1/account", former).await;
        answer.is_problem(401, "credentials-wrong");
    }
    let present = Some(("anna", "another long one"));
    assert_eq!(service.get("/v1/account", present).await.status, 200);
    // PostgreSQL keeps the old row until the hour or the next erasure.
    let hash = kept["password"].as_str().unwrap();
    assert!(common::on_postgres() || service.found(hash).is_empty());
}

#[tokio::test]
async fn choices_are_in_the_next_token() {
    let service = Service::start().await;
    service.create_ann();
    service.patch(ANN, json!({"has_ipv6": 1})).await;
    service.program(&["account", "addon", "ann", "multihop", "--days", "1"]);
    let answer = service.post("/v1/tokens", ANN, json!({})).await.json();
    let claims = common::claims(answer["token"].as_str().unwrap());
    assert!(claims.ipv6 && claims.multihop && !claims.streaming && !claims.public_ipv4);
    service
        .patch(ANN, json!({"has_ipv6": 0, "streaming": 1}))
        .await;
    let answer = service.post("/v1/tokens", ANN, json!({})).await.json();
    let claims = common::claims(answer["token"].as_str().unwrap());
    assert!(!claims.ipv6 && claims.streaming);
}

#[tokio::test]
async fn an_erased_account_is_in_no_file_and_reads_like_one_that_never_was() {
    let service = Service::start().await;
    let shop = service.program(&["keys", "shop"]);
    let sign_up = json!({"username": "marker-name", "password": PASSWORD, "email": "marker@mail.example",
        "campaign": "marker-campaign", "country": "DE"});
    assert_eq!(
        service.post("/v1/accounts", None, sign_up).await.status,
        201
    );
    let user = Some(("marker-name", PASSWORD));
    service
        .patch(user, json!({"email": "marker@other.example"}))
        .await;
    let payment =
        json!({"payment": "marker-payment", "username": "marker-name", "subscription_days": 30});
    assert_eq!(service.pay(&shop, payment).await.status, 204);
    assert_eq!(
        service.post("/v1/tokens", user, json!({})).await.status,
        200
    );
    let record = service.get("/v1/account", user).await.json();
    let needles = [
        "marker-name",
        "marker@mail.example",
        "marker@other.example",
        "marker-campaign",
        "marker-payment",
        record["password"].as_str().unwrap(),
    ];
    assert!(!service.found(needles[0]).is_empty());
    assert!(
        common::on_postgres() || service.found(needles[1]).is_empty(),
        "an edit left what was before"
    );
    let answer = service.call("DELETE", "/v1/account", user, "").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    for needle in needles {
        let files = service.found(needle);
        assert!(files.is_empty(), "{needle} in {files:?}");
    }
    let gone = service.get("/v1/account", user).await;
    gone.is_problem(401, "credentials-wrong");
    let never = service
        .get("/v1/account", Some(("never-was", PASSWORD)))
        .await;
    assert_eq!(gone.body, never.body);
}

#[tokio::test]
async fn a_name_is_free_again_once_its_account_is_erased() {
    let service = Service::start().await;
    service.create_ann();
    let answer = service.call("DELETE", "/v1/account", ANN, "").await;
    assert_eq!(answer.status, 204);
    service.create_ann();
    let record = service.get("/v1/account", ANN).await.json();
    assert_eq!(record["has_authenticated"], 0);
}

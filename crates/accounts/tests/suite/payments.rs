//! What a shop sees: each payment counts once.

use crate::common::{ANN, Service};
use serde_json::{Value, json};

fn payment(number: &str) -> Value {
    json!({"payment": number, "username": "ann", "subscription_days": 30, "multihop_days": 10})
}

async fn ends(service: &Service) -> (Value, Value) {
    let record = service.get("/v1/account", ANN).await.json();
    (record["subscription"].clone(), record["multihop"].clone())
}

#[tokio::test]
async fn a_payment_counts_once_however_often_it_is_told() {
    let mut service = Service::start().await;
    service.create_ann();
    let key = service.program(&["keys", "shop"]);
    let before = ends(&service).await;
    assert_eq!(service.pay(&key, payment("payment-1")).await.status, 204);
    let once = ends(&service).await;
    assert!(once.0 != before.0 && once.1 != before.1);
    assert_eq!(service.pay(&key, payment("payment-1")).await.status, 204);
    service.restart().await;
    assert_eq!(service.pay(&key, payment("payment-1")).await.status, 204);
    assert_eq!(ends(&service).await, once);
    assert_eq!(service.pay(&key, payment("payment-2")).await.status, 204);
    assert!(ends(&service).await.0 != once.0);
}

#[tokio::test]
async fn a_payment_that_is_told_twice_at_once_counts_once() {
    let service = Service::start().await;
    service.create_ann();
    let key = service.program(&["keys", "shop"]);
    let tell = || service.pay(&key, payment("payment-1"));
    let answers = tokio::join!(tell(), tell(), tell(), tell());
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        assert_eq!(answer.status, 204);
    }
    let once = ends(&service).await;
    service.pay(&key, payment("payment-1")).await;
    assert_eq!(ends(&service).await, once);
    let multihop = once
        .1
        .as_str()
        .and_then(mayfly_accounts::clock::parse_rfc3339);
    let days = (multihop.unwrap() - mayfly_accounts::clock::unix_now()) / 86_400;
    assert_eq!(days, 10);
}

#[tokio::test]
async fn of_a_payments_number_nothing_is_kept_that_can_be_read() {
    let service = Service::start().await;
    service.create_ann();
    let key = service.program(&["keys", "shop"]);
    service.pay(&key, payment("a-marker-of-a-payment")).await;
    for needle in ["a-marker-of-a-payment", &key] {
        assert!(service.found(needle).is_empty(), "{needle}");
    }
}

#[tokio::test]
async fn only_the_shop_is_heard() {
    let service = Service::start().await;
    service.create_ann();
    service
        .pay("a-guess", payment("payment-1"))
        .await
        .is_problem(401, "shop-key-wrong");
    let former = service.program(&["keys", "shop"]);
    let key = service.program(&["keys", "shop"]);
    // A user is not the shop, and the shop is not a user.
    service
        .post("/v1/payments", ANN, payment("payment-1"))
        .await
        .is_problem(401, "shop-key-wrong");
    let headers = [("authorization", format!("Bearer {key}"))];
    service
        .send("GET", "/v1/account", &headers, "")
        .await
        .is_problem(401, "credentials-missing");
    assert_eq!(service.pay(&former, payment("payment-1")).await.status, 204);
    assert_eq!(service.pay(&key, payment("payment-2")).await.status, 204);
    let alone = service.program(&["keys", "shop", "--alone"]);
    let answer = service.pay(&key, payment("payment-3")).await;
    answer.is_problem(401, "shop-key-wrong");
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    assert_eq!(service.pay(&alone, payment("payment-3")).await.status, 204);
}

#[tokio::test]
async fn what_is_no_payment_is_refused_and_may_be_told_again() {
    let service = Service::start().await;
    let key = service.program(&["keys", "shop"]);
    let unknown = service.pay(&key, payment("payment-1")).await;
    unknown.is_problem(404, "no-such-account");
    service.create_ann();
    let before = ends(&service).await;
    let with = |field: &str, value: Value| {
        let mut payment = payment("payment-2");
        payment[field] = value;
        payment
    };
    let wrong = [
        (with("subscription_days", json!(3661)), "invalid-days"),
        (with("payment", json!("short")), "invalid-payment"),
        (with("payment", json!("with a space")), "invalid-payment"),
        (with("subscription_days", json!(-1)), "body-malformed"),
        (with("price", json!(1)), "body-malformed"),
        (
            json!({"payment": "payment-2", "username": "ann"}),
            "invalid-days",
        ),
    ];
    for (payment, name) in wrong {
        service.pay(&key, payment).await.is_problem(400, name);
    }
    assert_eq!(ends(&service).await, before);
    // The payment for an account that did not exist then.
    assert_eq!(service.pay(&key, payment("payment-1")).await.status, 204);
    assert!(ends(&service).await != before);
}

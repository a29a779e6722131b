//! What clients see: sign-up, the record, tokens, and every refusal.

use crate::common::{self, ANN, PASSWORD, Service, claims};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{ED25519, UnparsedPublicKey};
use rustls::{NamedGroup, ProtocolVersion};
use serde_json::{Value, json};

/// Verifies as a node does: offline, with the key that its settings pin.
fn verifies(service: &Service, token: &str) -> bool {
    let key = STANDARD.decode(service.program(&["keys"])).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(&ED25519, key)
        .verify(signed.as_bytes(), &signature)
        .is_ok()
}

fn altered(token: &str, mut claims: Value) -> String {
    claims["streaming"] = true.into();
    let parts: Vec<_> = token.split('.').collect();
    let body = URL_SAFE_NO_PAD.encode(claims.to_string());
    [parts[0], &body, parts[2]].join(".")
}

#[tokio::test]
async fn a_sign_up_leads_to_a_token_that_a_node_verifies() {
    let service = Service::start().await;
    let body = json!({"username": "ann", "password": PASSWORD, "has_ipv6": true, "country": "DE"});
    assert_eq!(service.post("/v1/accounts", None, body).await.status, 201);
    service
        .post("/v1/tokens", ANN, json!({}))
        .await
        .is_problem(402, "subscription-ended");
    service.program(&["account", "extend", "ann", "--days", "30"]);
    let answer = service
        .post("/v1/tokens", ANN, json!({"client_version": "1.2.3"}))
        .await;
    assert_eq!(answer.status, 200);
    let json = answer.json();
    assert_eq!(json["ca"], service.ca);
    let token = json["token"].as_str().unwrap();
    let header = URL_SAFE_NO_PAD
        .decode(token.split('.').next().unwrap())
        .unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header, json!({"alg": "EdDSA", "typ": "JWT"}));
    let claims = claims(token);
    assert_eq!(json["expires"], claims.exp);
    assert_eq!(claims.exp % 3600, 0);
    assert!(claims.ipv6 && !claims.streaming && !claims.public_ipv4 && !claims.multihop);
    assert!(verifies(&service, token));
    assert!(!verifies(
        &service,
        &altered(token, serde_json::to_value(&claims).unwrap())
    ));
}

#[tokio::test]
async fn a_token_never_outlives_the_subscription() {
    let service = Service::start().await;
    let until = "2026-01-01T00:00:00Z";
    service.program(&["account", "create", "bob", "--until", until]);
    let password = service.program(&["account", "create", "ann", "--subscription-days", "1"]);
    let answer = service
        .post("/v1/tokens", Some(("ann", &password)), json!({}))
        .await;
    let end: Value = serde_json::from_str(&service.program(&["account", "show", "ann"])).unwrap();
    let end = mayfly_accounts::clock::parse_rfc3339(end["subscription"].as_str().unwrap()).unwrap();
    assert!(answer.json()["expires"].as_u64().unwrap() <= end);
    let bob: Value = serde_json::from_str(&service.program(&["account", "show", "bob"])).unwrap();
    assert_eq!(bob["subscription"], until);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_read_the_same() {
    let service = Service::start().await;
    service.create_ann();
    let wrong = service
        .get("/v1/account", Some(("ann", "a wrong password")))
        .await;
    let unknown = service.get("/v1/account", Some(("nobody", PASSWORD))).await;
    wrong.is_problem(401, "credentials-wrong");
    assert_eq!((wrong.status, &wrong.body), (unknown.status, &unknown.body));
    let headers = |answer: &common::Answer| {
        let mut headers = answer.headers.clone();
        headers.remove("date");
        headers
    };
    assert_eq!(headers(&wrong), headers(&unknown));
    service
        .get("/v1/account", None)
        .await
        .is_problem(401, "credentials-missing");
}

#[tokio::test]
async fn the_record_is_the_designs_fields_in_the_designs_order() {
    let service = Service::start().await;
    let body = json!({"username": "ann", "password": PASSWORD, "email": "ann@mail.example", "newsletter": true});
    assert_eq!(service.post("/v1/accounts", None, body).await.status, 201);
    let answer = service.get("/v1/account", ANN).await;
    let text = std::str::from_utf8(&answer.body).unwrap();
    let design = "username password email created_at updated_at newsletter has_authenticated has_connected \
        has_ipv6 compression streaming language currency country devices campaign subscription ipv4 multihop \
        client_version extension_version";
    let mut rest = text;
    for field in design.split(' ') {
        rest = rest
            .split_once(&format!("\"{field}\":"))
            .unwrap_or_else(|| panic!("{field}"))
            .1;
    }
    let json = answer.json();
    assert_eq!(json.as_object().unwrap().len(), design.split(' ').count());
    assert!(json["password"].as_str().unwrap().starts_with("$argon2id$"));
    assert!(json["created_at"].as_str().unwrap().ends_with(":00:00Z"));
    assert_eq!(
        (&json["newsletter"], &json["streaming"], &json["devices"]),
        (&json!(1), &json!(0), &json!(0))
    );
    assert_eq!(
        (&json["subscription"], &json["country"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn every_refusal_is_a_problem_document() {
    let service = Service::start().await;
    service.create_ann();
    service
        .get("/v2", None)
        .await
        .is_problem(404, "no-such-route");
    let wrong_method = service.call("DELETE", "/v1/tokens", ANN, "").await;
    wrong_method.is_problem(405, "no-such-method");
    assert_eq!(wrong_method.headers["allow"], "POST");
    let wrong_method = service.post("/v1/account", ANN, json!({})).await;
    wrong_method.is_problem(405, "no-such-method");
    assert_eq!(wrong_method.headers["allow"], "DELETE, GET, HEAD, PATCH");
    for media_type in ["application/x-www-form-urlencoded", "text/json", ""] {
        let headers = [("content-type", media_type.to_owned())];
        let answer = service.send("POST", "/v1/accounts", &headers, "{}").await;
        answer.is_problem(415, "media-type-wrong");
    }
    let large = " ".repeat(mayfly_wire::MAX_BODY + 1);
    service
        .call("POST", "/v1/accounts", None, &large)
        .await
        .is_problem(413, "body-too-large");
    for body in [
        "",
        "{",
        "[]",
        r#"{"username":"bob","password":"long enough","devices":0}"#,
    ] {
        service
            .call("POST", "/v1/accounts", None, body)
            .await
            .is_problem(400, "body-malformed");
    }
    service
        .post("/v1/tokens", ANN, json!({"more": 1}))
        .await
        .is_problem(400, "body-malformed");
    let short = json!({"username": "bob", "password": "short"});
    service
        .post("/v1/accounts", None, short)
        .await
        .is_problem(400, "invalid-password");
    let taken = json!({"username": "ANN", "password": PASSWORD});
    service
        .post("/v1/accounts", None, taken)
        .await
        .is_problem(409, "name-taken");
    let version = json!({"client_version": "a b"});
    service
        .post("/v1/tokens", ANN, version)
        .await
        .is_problem(400, "invalid-version");
}

#[tokio::test]
async fn no_answer_repeats_what_was_asked() {
    let service = Service::start().await;
    let body = r#"{"username":"a-marker","password":12345678}"#;
    let answer = service.call("POST", "/v1/accounts", None, body).await;
    let text = String::from_utf8_lossy(&answer.body);
    assert!(
        !text.contains("a-marker") && !text.contains("12345678"),
        "{text}"
    );
}

#[tokio::test]
async fn limits_hold_and_say_when_to_come_back() {
    let service = Service::start_with("[limits]\ntokens = 2\nsign_ups = 1\nfailures = 2\n").await;
    service.create_ann();
    for _ in 0..2 {
        assert_eq!(service.post("/v1/tokens", ANN, json!({})).await.status, 200);
    }
    let answer = service.post("/v1/tokens", ANN, json!({})).await;
    answer.is_problem(429, "too-many-tokens");
    assert!(
        answer.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 1000
    );
    let sign_up = |name| json!({"username": name, "password": PASSWORD});
    assert_eq!(
        service
            .post("/v1/accounts", None, sign_up("bob"))
            .await
            .status,
        201
    );
    service
        .post("/v1/accounts", None, sign_up("cid"))
        .await
        .is_problem(429, "too-many-sign-ups");
    for _ in 0..2 {
        let answer = service
            .get("/v1/account", Some(("ann", "wrong password")))
            .await;
        answer.is_problem(401, "credentials-wrong");
    }
    service
        .get("/v1/account", ANN)
        .await
        .is_problem(429, "too-many-failures");
}

#[tokio::test]
async fn the_key_exchange_is_hybrid_and_tls_is_1_3() {
    let service = Service::start().await;
    let tls = service.connect(None).await.unwrap();
    let connection = tls.get_ref().1;
    assert_eq!(
        connection.protocol_version(),
        Some(ProtocolVersion::TLSv1_3)
    );
    let group = connection.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
}

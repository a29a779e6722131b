use std::collections::BTreeSet;

use mayfly_wire::admission::{AdmissionRequest, AdmissionResponse};
use mayfly_wire::payment::Payment;
use mayfly_wire::token::{TokenRequest, TokenResponse};
use mayfly_wire::{MAX_BODY, Problem};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::DOCUMENT;
use crate::core::fields::{check_country, check_currency};
use crate::core::record::Record;
use crate::core::rectify::{RECTIFY_SHAPE, Rectify};
use crate::core::sign_up::{SIGN_UP_SHAPE, SignUp};
use crate::http::routes::table;

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

fn keys(object: &Value) -> Vec<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_document_and_the_routes_name_the_same_paths_and_methods() {
    let document = document();
    let described: BTreeSet<(String, String)> = keys(&document["paths"])
        .into_iter()
        .flat_map(|path| {
            let methods = keys(&document["paths"][&path]);
            methods
                .into_iter()
                .map(move |method| (path.clone(), method))
        })
        .collect();
    let served: BTreeSet<(String, String)> = table()
        .into_iter()
        .flat_map(|(path, methods, _)| {
            let methods = methods.to_lowercase();
            let methods: Vec<_> = methods.split(", ").map(str::to_owned).collect();
            methods
                .into_iter()
                .map(move |method| (path.to_owned(), method))
        })
        .filter(|(_, method)| method != "head")
        .collect();
    assert_eq!(described, served);
}

/// The fields of a type, as serde lists them when it refuses an unknown field.
fn fields<T: DeserializeOwned>() -> BTreeSet<String> {
    let told = serde_json::from_str::<T>(r#"{"?": 0}"#).err().unwrap();
    let told = told.to_string();
    let names = told.split('`').skip(3).step_by(2);
    names.map(str::to_owned).collect()
}

#[test]
fn the_document_and_the_bodies_have_the_same_fields() {
    let document = document();
    let bodies = [
        ("SignUp", fields::<SignUp>()),
        ("Rectify", fields::<Rectify>()),
        ("Payment", fields::<Payment>()),
        ("TokenRequest", fields::<TokenRequest>()),
        ("Token", fields::<TokenResponse>()),
        ("Admission", fields::<AdmissionRequest>()),
        ("Admitted", fields::<AdmissionResponse>()),
        ("Record", Record::FIELDS.map(str::to_owned).into()),
    ];
    for (name, fields) in bodies {
        let schema = &document["components"]["schemas"][name];
        let described: BTreeSet<String> = keys(&schema["properties"]).into_iter().collect();
        assert_eq!(described, fields, "{name}");
        assert_eq!(schema["additionalProperties"], false, "{name}");
    }
}

#[test]
fn what_is_told_of_a_wrong_body_names_every_field() {
    for (shape, fields) in [
        (SIGN_UP_SHAPE, fields::<SignUp>()),
        (RECTIFY_SHAPE, fields::<Rectify>()),
    ] {
        assert!(fields.iter().all(|field| shape.contains(field)), "{shape}");
    }
}

#[test]
fn countries_and_currencies_are_those_that_are_taken() {
    let document = document();
    let codes = |name: &str| document["components"]["schemas"][name]["enum"].clone();
    let (countries, currencies) = (codes("Country"), codes("Currency"));
    assert_eq!(countries.as_array().unwrap().len(), 249);
    for code in countries.as_array().unwrap() {
        assert_eq!(check_country(code.as_str().unwrap()), Ok(()));
    }
    for code in currencies.as_array().unwrap() {
        assert_eq!(check_currency(code.as_str().unwrap()), Ok(()));
    }
}

#[test]
fn every_refusal_is_described_as_a_problem_document() {
    let responses = document()["components"]["responses"].clone();
    for (name, response) in responses.as_object().unwrap() {
        assert_eq!(keys(&response["content"]), [Problem::MEDIA_TYPE], "{name}");
    }
    assert_eq!(MAX_BODY, 16 * 1024);
}

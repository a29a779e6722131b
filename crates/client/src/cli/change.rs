//! One change to the account record, as the user types it.

use std::str::FromStr;

use serde_json::Value;

/// The fields that are 0 or 1. All others are texts.
const CHOICES: [&str; 4] = ["newsletter", "has_ipv6", "compression", "streaming"];

/// `FIELD=VALUE`. The account service knows the fields and their rules.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) field: String,
    pub(crate) value: Value,
}

impl FromStr for Change {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (field, value) = text
            .split_once('=')
            .ok_or("expected FIELD=VALUE, like country=DE")?;
        let value = match value {
            "0" | "1" if CHOICES.contains(&field) => Value::from(u8::from(value == "1")),
            _ if CHOICES.contains(&field) => return Err("this field is 0 or 1"),
            "" => Value::Null,
            text => Value::from(text),
        };
        if field == "password" {
            return Err("other users can read the command line: use `mayfly account password`");
        }
        let field = field.to_owned();
        Ok(Self { field, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_is_a_field_and_a_value() {
        let value = |text: &str| text.parse::<Change>().map(|change| change.value);
        assert_eq!(value("country=DE"), Ok(json!("DE")));
        assert_eq!(value("email="), Ok(Value::Null));
        assert_eq!(value("streaming=1"), Ok(json!(1)));
        assert_eq!(value("username=1"), Ok(json!("1")));
        for wrong in ["country", "streaming=yes", "newsletter=", "password=x"] {
            assert!(value(wrong).is_err(), "{wrong}");
        }
    }
}

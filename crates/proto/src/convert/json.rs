//! Conversion of serde's human-readable form to `google.protobuf.Struct`, and back.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::{Map, Number, Value as Json};

/// Maximum up to which a double represents every whole number (2^53).
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// Converts an object, with its keys in lowerCamelCase at every depth: the domain's field names
/// have underscores.
#[must_use]
pub fn to_struct(object: Map<String, Json>) -> Struct {
    Struct {
        fields: object.into_iter().map(|(key, value)| (camel(&key), to_value(value))).collect(),
    }
}

fn to_value(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(truth) => Kind::BoolValue(truth),
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(to_value).collect() })
        }
        Json::Object(object) => Kind::StructValue(to_struct(object)),
    };
    Value { kind: Some(kind) }
}

/// Converts a struct to JSON. Whole numbers have no fraction, as before their conversion to
/// doubles.
#[must_use]
pub fn from_struct(given: Struct) -> Json {
    let fields = given.fields.into_iter().map(|(key, value)| (key, from_value(value)));
    Json::Object(fields.collect())
}

fn from_value(value: Value) -> Json {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(truth)) => Json::Bool(truth),
        Some(Kind::NumberValue(number)) => from_number(number),
        Some(Kind::StringValue(text)) => Json::String(text),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(from_value).collect(),
        Some(Kind::StructValue(object)) => from_struct(object),
    }
}

fn from_number(number: f64) -> Json {
    if number.fract() == 0.0 && number.abs() <= WHOLE {
        #[allow(clippy::cast_possible_truncation, reason = "whole and in range, as was checked")]
        let whole = number as i64;
        return Json::Number(whole.into());
    }
    Number::from_f64(number).map_or(Json::Null, Json::Number)
}

/// Converts the keys of a value to those of the domain, with underscores: the inverse of what
/// [`to_struct`] does to keys.
pub(super) fn with_domain_keys(value: Json) -> Json {
    match value {
        Json::Object(fields) => {
            let fields = fields.into_iter();
            fields.map(|(key, value)| (snake(&key), with_domain_keys(value))).collect()
        }
        Json::Array(items) => items.into_iter().map(with_domain_keys).collect(),
        scalar @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_)) => scalar,
    }
}

fn snake(key: &str) -> String {
    let mut snake = String::with_capacity(key.len());
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn camel(key: &str) -> String {
    let mut words = key.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut key, word| {
        let mut chars = word.chars();
        key.extend(chars.next().map(|initial| initial.to_ascii_uppercase()));
        key.push_str(chars.as_str());
        key
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_struct_round_trips_except_for_its_keys() {
        let given = json!({
            "data_version": 1, "microdegrees": -77_037_000, "ratio": 0.5, "zone": null,
            "agent": {"peer_address": "127.0.1.1:7401", "witness": false}, "zones": [1, 2],
        });
        let Json::Object(object) = given else { unreachable!("is an object") };
        let expected = json!({
            "dataVersion": 1, "microdegrees": -77_037_000, "ratio": 0.5, "zone": null,
            "agent": {"peerAddress": "127.0.1.1:7401", "witness": false}, "zones": [1, 2],
        });
        assert_eq!(from_struct(to_struct(object)), expected);
    }
}

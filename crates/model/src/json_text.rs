//! Values of any type, as JSON text, so that each key of the output has only one type.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// A value of any type, as JSON text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonText(String);

impl JsonText {
    /// The text of a value; `None` for `null`.
    pub fn of(value: &Value) -> Option<Self> {
        (!value.is_null()).then(|| Self(value.to_string()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl JsonSchema for JsonText {
    fn schema_name() -> Cow<'static, str> {
        "JsonText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "contentMediaType": "application/json" })
    }
}

/// Members of AWS's answer for which this version of dynacrawl has no field, under AWS's names. In
/// the output they are the JSON text of an object, which is `{}` if there are none.
///
/// Tables, indexes and replicas have an `Extra`. It also has the unknown members of the smaller
/// objects inside them, under AWS's name of the object, and those of the elements of a list, under
/// the name of the list and of the element.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extra(Map<String, Value>);

impl Extra {
    /// No members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the unknown members of an object that has no `extra` of its own.
    pub fn keep(&mut self, object: &str, unknown: Map<String, Value>) {
        if !unknown.is_empty() {
            self.merge(object, Value::Object(unknown));
        }
    }

    /// Keeps the unknown members of an element of a list, by the element's name.
    pub fn keep_element(&mut self, list: &str, element: Option<&str>, unknown: Map<String, Value>) {
        if !unknown.is_empty() {
            let name = element.unwrap_or_default().to_owned();
            self.merge(list, Value::Object(Map::from_iter([(name, Value::Object(unknown))])));
        }
    }

    fn merge(&mut self, name: &str, value: Value) {
        match self.0.get_mut(name) {
            None => {
                self.0.insert(name.to_owned(), value);
            }
            Some(kept) => merge(kept, value),
        }
    }
}

/// Adds the members of an object to another. Two values of the same name become a list, so that
/// none is lost.
fn merge(kept: &mut Value, value: Value) {
    match (kept, value) {
        (Value::Object(kept), Value::Object(members)) => {
            for (name, value) in members {
                match kept.get_mut(&name) {
                    None => {
                        kept.insert(name, value);
                    }
                    Some(kept) => merge(kept, value),
                }
            }
        }
        (kept, value) => *kept = Value::Array(vec![kept.take(), value]),
    }
}

impl From<Map<String, Value>> for Extra {
    fn from(members: Map<String, Value>) -> Self {
        Self(members)
    }
}

impl From<Extra> for Map<String, Value> {
    fn from(extra: Extra) -> Self {
        extra.0
    }
}

impl Deref for Extra {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Extra {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Serialize for Extra {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() {
            return serializer.serialize_str("{}");
        }
        serializer.serialize_str(&serde_json::to_string(&self.0).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Extra {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        serde_json::from_str(&text).map(Self).map_err(D::Error::custom)
    }
}

impl JsonSchema for Extra {
    fn schema_name() -> Cow<'static, str> {
        "Extra".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        JsonText::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Extra, JsonText};

    #[test]
    fn values_of_any_type_are_text() {
        assert_eq!(JsonText::of(&Value::Null), None);
        assert_eq!(JsonText::of(&json!("a")).expect("a value").as_str(), "\"a\"");
        let mut extra = Extra::new();
        assert_eq!(serde_json::to_value(&extra).expect("JSON"), "{}");
        extra.insert("New".to_owned(), json!([1]));
        let line = serde_json::to_string(&extra).expect("JSON");
        assert_eq!(line, r#""{\"New\":[1]}""#);
        assert_eq!(serde_json::from_str::<Extra>(&line).expect("extra"), extra);
    }

    #[test]
    fn unknown_members_of_elements_with_one_name_are_all_kept() {
        let members = |value: Value| value.as_object().expect("an object").clone();
        let mut extra = Extra::new();
        extra.keep("Projection", members(json!({})));
        extra.keep_element("KeySchema", Some("a"), members(json!({"New": 1})));
        extra.keep_element("KeySchema", Some("a"), members(json!({"New": 2, "Other": 3})));
        extra.keep_element("KeySchema", None, members(json!({"New": 4})));
        assert_eq!(json!(*extra), json!({"KeySchema": {"a": {"New": [1, 2], "Other": 3}, "": {"New": 4}}}));
    }
}

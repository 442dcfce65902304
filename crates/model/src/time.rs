//! Points in time, as in the records.

use std::borrow::Cow;

use jiff::fmt::temporal::DateTimePrinter;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// A point in time, to the millisecond; written as RFC 3339 in UTC (`2026-01-01T00:00:00.000Z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The current time of the system clock.
    pub fn now() -> Self {
        Self::from_millis(jiff::Timestamp::now().as_millisecond()).unwrap_or(Self(jiff::Timestamp::UNIX_EPOCH))
    }

    /// Milliseconds since the Unix epoch; `None` outside of the years -9999 to 9999.
    pub fn from_millis(millis: i64) -> Option<Self> {
        jiff::Timestamp::from_millisecond(millis).ok().map(Self)
    }

    /// AWS's JSON form: seconds since the Unix epoch, with a fraction.
    pub fn from_epoch_seconds(seconds: f64) -> Option<Self> {
        let millis = (seconds * 1000.0).round();
        // In this range, both i64 and f64 are exact.
        #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
        (millis.is_finite() && millis.abs() < 9e15).then(|| Self::from_millis(millis as i64)).flatten()
    }

    /// The time that is so much earlier, or the earliest representable one.
    pub fn before(self, duration: std::time::Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.as_millis().saturating_sub(millis)).unwrap_or(Self(jiff::Timestamp::MIN))
    }

    /// Milliseconds since the Unix epoch.
    pub fn as_millis(self) -> i64 {
        self.0.as_millisecond()
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&PRINTER.timestamp_to_string(&self.0))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&PRINTER.timestamp_to_string(&self.0))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": r"^-?\d{4,6}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn epoch_seconds_become_rfc_3339_with_milliseconds() {
        let text = |seconds| Timestamp::from_epoch_seconds(seconds).map(|t| t.to_string());
        assert_eq!(text(1_735_689_600.123).as_deref(), Some("2025-01-01T00:00:00.123Z"));
        assert_eq!(text(1_735_689_600.0).as_deref(), Some("2025-01-01T00:00:00.000Z"));
        assert_eq!(text(-0.5).as_deref(), Some("1969-12-31T23:59:59.500Z"));
    }

    #[test]
    fn impossible_times_are_none() {
        for seconds in [f64::NAN, f64::INFINITY, 1e300, -1e15] {
            assert_eq!(Timestamp::from_epoch_seconds(seconds), None);
        }
    }
}

//! Parsers of the values in a query of the state, for the commands and for HTTP. Each parser gets
//! the name of its option or parameter for the error.

use std::time::Duration;

use dynacrawl_model::{AccountId, Escaped, Region, Timestamp};

use crate::settings::SettingError;

/// Parses an account. An invalid one would match nothing, which looks as if there were nothing.
pub fn account(key: &str, text: &str) -> Result<String, SettingError> {
    text.parse::<AccountId>().map_err(|error| SettingError::new(key, error))?;
    Ok(text.to_owned())
}

/// Parses a Region.
pub fn region(key: &str, text: &str) -> Result<String, SettingError> {
    text.parse::<Region>().map_err(|error| SettingError::new(key, error))?;
    Ok(text.to_owned())
}

/// Parses a time, or how long ago it was.
pub fn since(key: &str, text: &str) -> Result<Timestamp, SettingError> {
    let wrong = || {
        let expected = "expected 2026-01-31T00:00:00Z, or how long ago: 90m, 36h, 7d";
        SettingError::new(key, format!("'{}' is not a time; {expected}", Escaped(text)))
    };
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Timestamp::from_millis(time.as_millisecond()).ok_or_else(wrong);
    }
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let unit: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)?;
    Ok(Timestamp::now().before(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use dynacrawl_model::Timestamp;

    use super::{account, region, since};

    #[test]
    fn since_is_a_time_or_how_long_ago_it_was() {
        let at = |text: &str| since("--since", text).map(Timestamp::as_millis).map_err(|error| error.to_string());
        assert_eq!(at("2026-01-31T00:00:00Z"), Ok(1_769_817_600_000));
        let now = Timestamp::now().as_millis();
        let day = now - at("1d").expect("a time");
        assert!((86_390_000..=86_400_000).contains(&day), "{day}");
        for wrong in ["", "yesterday", "5", "5w", "-5h", "99999999999999999999d", "é"] {
            let error = at(wrong).expect_err(wrong);
            assert!(error.contains("--since") && error.contains("36h"), "{error}");
        }
    }

    #[test]
    fn an_invalid_account_or_region_is_an_error_with_its_name() {
        assert_eq!(account("account", "123456789012").expect("one"), "123456789012");
        assert!(account("account", "12345").expect_err("short").to_string().contains("account"));
        assert_eq!(region("region", "eu-west-1").expect("one"), "eu-west-1");
        assert!(region("region", "Ireland").expect_err("none").to_string().contains("region"));
    }
}

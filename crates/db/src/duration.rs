//! Durations in settings: `"30s"`, `"500ms"`, or a number of seconds.
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Seconds(f64),
    Text(String),
}

/// Serializes a duration as text, such as `30s`.
///
/// # Errors
/// The error of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// Deserializes a duration.
///
/// # Errors
/// The value is neither a number of seconds nor a text such as `30s`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).map_err(D::Error::custom);
    match Input::deserialize(deserializer)? {
        Input::Seconds(number) => seconds(number),
        Input::Text(text) => match text.trim().parse() {
            Ok(number) => seconds(number),
            Err(_) => humantime::parse_duration(text.trim())
                .map_err(|_| D::Error::custom(format!("`{text}` is not a duration: write 30s, 500ms or 30"))),
        },
    }
}

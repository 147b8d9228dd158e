//! Deadlines: what the client asks for in `grpc-timeout`, but never more than the policy allows.

use std::time::Duration;

use http::HeaderMap;

/// The deadline of a call: the client's wish, at most `longest`.
#[must_use]
pub fn clamp(headers: &HeaderMap, longest: Duration) -> Duration {
    let wish = headers.get("grpc-timeout").and_then(|value| parse(value.to_str().ok()?));
    wish.map_or(longest, |wish| wish.min(longest))
}

/// Reads `grpc-timeout` as the gRPC protocol writes it: at most eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_can_shorten_but_not_lengthen() {
        let longest = Duration::from_secs(60);
        for (text, expected) in [
            ("5S", Duration::from_secs(5)),
            ("100m", Duration::from_millis(100)),
            ("99999999H", longest),
            ("", longest),
            ("S", longest),
            ("-1S", longest),
            ("123456789S", longest),
            ("5é", longest),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", http::HeaderValue::from_bytes(text.as_bytes()).unwrap());
            assert_eq!(clamp(&headers, longest), expected, "{text}");
        }
    }
}

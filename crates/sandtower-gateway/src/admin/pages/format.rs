//! Times and numbers as people read them.

use std::time::{Duration, SystemTime};

/// A time of so many milliseconds.
pub(super) fn span_ms(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        _ => span_s(ms / 1_000),
    }
}

/// A time of so many seconds: coarse, so that it does not change all the time.
pub(super) fn span_s(s: u64) -> String {
    match s {
        0..120 => format!("{s} s"),
        120..7_200 => format!("{} min", s / 60),
        7_200..172_800 => format!("{} h", s / 3_600),
        _ => format!("{} d", s / 86_400),
    }
}

/// How long ago something was.
pub(super) fn ago_ms(ms: u64) -> String {
    match ms {
        // Not each second another text.
        0..10_000 => String::from("just now"),
        10_000..60_000 => format!("{} s ago", ms / 10_000 * 10),
        _ => format!("{} ago", span_s(ms / 1_000)),
    }
}

/// Seconds with as many digits as matter.
pub(super) fn seconds(s: f64) -> String {
    if s < 1.0 { format!("{:.0} ms", s * 1_000.0) } else { format!("{s:.1} s") }
}

/// A number with a blank between thousands.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            // A narrow blank, at which no line breaks.
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A time of day, with its date, in UTC.
pub(super) fn utc(unix: f64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(unix).unwrap_or_default();
    let text = httpdate::fmt_http_date(time);
    // `Thu, 26 Nov 2026 10:20:03 GMT`
    let (_, date) = text.split_once(", ").unwrap_or(("", &text));
    date.trim_end_matches(" GMT").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_are_readable() {
        for (ms, text) in [
            (7, "7 ms"),
            (1_500, "1.5 s"),
            (65_000, "65 s"),
            (600_000, "10 min"),
            (9_000_000, "2 h"),
        ] {
            assert_eq!(span_ms(ms), text);
        }
        assert_eq!(
            (number(7), number(1_234_567)),
            (String::from("7"), String::from("1\u{202f}234\u{202f}567"))
        );
        assert_eq!(utc(1_795_688_403.5), "26 Nov 2026 10:20:03");
        assert_eq!(
            (ago_ms(900), ago_ms(15_000), ago_ms(180_000)),
            ("just now".into(), "10 s ago".into(), "3 min ago".into())
        );
    }
}

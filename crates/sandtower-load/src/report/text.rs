//! Formats numbers and words for people, and escapes text for a page.

use std::fmt::{self, Write as _};

/// Escapes text from data: no character of it has a meaning in HTML, and none is dropped.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // A parser would reject these, or they would reverse the text that follows.
                '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => f.write_char(' ')?,
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => f.write_char('\u{fffd}')?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// At most this many characters, with an ellipsis if truncated.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// A duration in a suitable unit: `85 ms`, `4.2 s`, `317 s`, `25 min`.
pub(super) fn duration(ms: f64) -> String {
    let ms = finite(ms).max(0.0);
    match ms {
        _ if ms == 0.0 => "0 s".to_owned(),
        _ if ms < 1.0 => format!("{} ms", number(ms)),
        _ if ms < 999.5 => format!("{ms:.0} ms"),
        _ if ms < 9_950.0 => format!("{} s", trimmed(format!("{:.1}", ms / 1e3))),
        _ if ms < 599_500.0 => format!("{:.0} s", ms / 1e3),
        _ if ms < 2.0 * 3.6e6 => format!("{:.0} min", ms / 6e4),
        _ => format!("{} h", trimmed(format!("{:.1}", ms / 3.6e6))),
    }
}

/// A count, or a median of counts; with two decimals at most.
pub(super) fn number(value: f64) -> String {
    trimmed(format!("{:.2}", finite(value)))
}

/// A count in a narrow space: `900`, `15k`, `1.5M`.
pub(super) fn compact(value: f64) -> String {
    let value = finite(value);
    let scaled = |unit: f64, name: &str| {
        let scaled = value / unit;
        let decimals = usize::from(scaled < 10.0);
        let scaled = format!("{scaled:.decimals$}");
        format!("{}{name}", if decimals > 0 { trimmed(scaled) } else { scaled })
    };
    match value {
        _ if value < 1e4 => number(value),
        _ if value < 1e6 => scaled(1e3, "k"),
        _ if value < 1e9 => scaled(1e6, "M"),
        _ if value < 1e12 => scaled(1e9, "G"),
        _ => format!("{value:.0e}"),
    }
}

/// A share in percent; never rounded up to all or down to none.
pub(super) fn percent(part: f64, whole: f64) -> String {
    let share = share(part, whole) * 100.0;
    match share {
        _ if share > 99.0 && share < 100.0 => format!("{:.1} %", share.min(99.9)),
        _ if share > 0.0 && share < 1.0 => format!("{:.1} %", share.max(0.1)),
        _ => format!("{share:.0} %"),
    }
}

/// A part of a whole, from 0 to 1; none of nothing.
pub(super) fn share(part: f64, whole: f64) -> f64 {
    let (part, whole) = (finite(part), finite(whole));
    if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.0 }
}

/// Values that cannot be drawn count as zero.
pub(super) fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

/// "1 call", "2 calls".
pub(super) fn counted(count: f64, one: &str, many: &str) -> String {
    let count = number(count);
    let noun = if count == "1" { one } else { many };
    format!("{count} {noun}")
}

fn trimmed(decimal: String) -> String {
    let trimmed = decimal.trim_end_matches('0').trim_end_matches('.');
    match trimmed {
        "-0" => "0".to_owned(),
        _ => trimmed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_data_is_escaped() {
        let escaped = Escaped("<b title=\"x\" id='y'>&\0\u{202e}").to_string();
        assert_eq!(escaped, "&lt;b title=&quot;x&quot; id=&#39;y&#39;&gt;&amp; \u{fffd}");
    }

    #[test]
    fn durations_are_in_a_suitable_unit() {
        let shown = [0.0, 0.25, 85.4, 999.4, 999.6, 4_240.0, 9_960.0, 317_000.0, 600_000.0, 7.2e6]
            .map(duration);
        assert_eq!(
            shown,
            ["0 s", "0.25 ms", "85 ms", "999 ms", "1 s", "4.2 s", "10 s", "317 s", "10 min", "2 h"]
        );
        assert_eq!(duration(f64::NAN), "0 s");
    }

    #[test]
    fn zero_and_100_percent_mean_none_and_all() {
        let shown = [(0.0, 9.0), (1.0, 9_999.0), (10.0, 32.0), (9_998.0, 9_999.0), (3.0, 3.0)]
            .map(|(part, whole)| percent(part, whole));
        assert_eq!(shown, ["0 %", "0.1 %", "31 %", "99.9 %", "100 %"]);
        assert_eq!(percent(0.0, 0.0), "0 %");
    }

    #[test]
    fn counts_are_whole_unless_they_are_not() {
        assert_eq!([12.0, 11.5, 0.004, -0.001].map(number), ["12", "11.5", "0", "0"]);
        assert_eq!(counted(1.0, "call", "calls"), "1 call");
        assert_eq!(counted(0.0, "call", "calls"), "0 calls");
    }

    #[test]
    fn large_counts_are_short_where_there_is_little_room() {
        let shown = [0.5, 9_999.0, 15_000.0, 200_000.0, 1.5e6, 2e11, 3e15].map(compact);
        assert_eq!(shown, ["0.5", "9999", "15k", "200k", "1.5M", "200G", "3e15"]);
    }

    #[test]
    fn long_text_ends_with_an_ellipsis() {
        assert_eq!(shortened("señor", 5), "señor");
        assert_eq!(shortened("señores", 5), "seño…");
    }
}

use std::str::FromStr;

/// The trace that a request belongs to, as the header field `traceparent` of the
/// [W3C](https://www.w3.org/TR/trace-context/) carries it.
///
/// ```
/// use sandtower_core::TraceParent;
///
/// let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let trace: TraceParent = text.parse()?;
/// assert_eq!(trace.to_string(), text);
/// assert!(trace.is_sampled());
/// assert!("00-00000000000000000000000000000000-b7ad6b7169203331-01".parse::<TraceParent>().is_err());
/// # Ok::<(), sandtower_core::InvalidTraceParent>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

impl TraceParent {
    /// The span `span` of the trace `trace`; `None`: one of them is zero, which is invalid.
    pub const fn new(trace: u128, span: u64, sampled: bool) -> Option<Self> {
        match (trace, span) {
            (0, _) | (_, 0) => None,
            _ => Some(Self { trace, span, flags: sampled as u8 }),
        }
    }

    /// The id of the trace. As text it has 32 hexadecimal digits.
    pub const fn trace_id(&self) -> u128 {
        self.trace
    }

    /// The id of the span that sent the request.
    pub const fn span_id(&self) -> u64 {
        self.span
    }

    /// Whether the trace is recorded.
    pub const fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

impl std::fmt::Display for TraceParent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// A text is no valid `traceparent`: `00-`, 32 lower-case hexadecimal digits, `-`, 16 of them, `-`, 2 of
/// them; neither id is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTraceParent;

impl std::fmt::Display for InvalidTraceParent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a `traceparent` must be `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`")
    }
}

impl std::error::Error for InvalidTraceParent {}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    /// Of a later version, what version 0 has of it is read, and more may follow.
    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let mut parts = text.splitn(5, '-');
        let mut hex = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            is_hex.then(|| u128::from_str_radix(part, 16).ok())?
        };
        let mut read = || Some((hex(2)?, hex(32)?, hex(16)?, hex(2)?));
        let (version, trace, span, flags) = read().ok_or(InvalidTraceParent)?;
        let ends = parts.next().is_none();
        if version == 0xff || (version == 0 && !ends) {
            return Err(InvalidTraceParent);
        }
        let span = u64::try_from(span).map_err(|_| InvalidTraceParent)?;
        Self::new(trace, span, flags & 1 == 1).ok_or(InvalidTraceParent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_parts_are_those_that_it_was_made_of() {
        let trace = TraceParent::new(7, 9, true).unwrap();
        assert_eq!((trace.trace_id(), trace.span_id(), trace.is_sampled()), (7, 9, true));
    }

    #[test]
    fn only_valid_ones_are_read() {
        const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
        const SPAN: &str = "b7ad6b7169203331";
        let parse = |text: String| text.parse::<TraceParent>().ok();
        for invalid in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            format!(" 00-{TRACE}-{SPAN}-01"),
        ] {
            assert_eq!(parse(invalid.clone()), None, "{invalid:?}");
        }
        let later = parse(format!("cc-{TRACE}-{SPAN}-03-more")).unwrap();
        assert_eq!(later.to_string(), format!("00-{TRACE}-{SPAN}-01"));
        assert!(!parse(format!("00-{TRACE}-{SPAN}-00")).unwrap().is_sampled());
    }
}

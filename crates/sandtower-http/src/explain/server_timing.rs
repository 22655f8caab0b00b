use std::fmt::{self, Write as _};
use std::time::Duration;

use http::HeaderValue;
use sandtower_core::{CallStage, Explanation, StageKind};

/// `explanation` as the value of the header field `Server-Timing`, which browsers show beside a response.
///
/// The whole time is the metric `total`; each stage is one of its kind, in milliseconds, with what held
/// the call, or with the number and the status of the attempt, as its description.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use sandtower_core::explained;
/// use sandtower_http::server_timing;
///
/// let (_, explanation) = explained(async { Ok::<_, ()>(()) }).await;
/// assert_eq!(server_timing(&explanation), "total;dur=0.0, attempt;dur=0.0;desc=\"1\"");
/// # }
/// ```
pub fn server_timing(explanation: &Explanation) -> HeaderValue {
    let mut value = String::with_capacity(LENGTH);
    // Writing to a string does not fail.
    let _ = write!(value, "total;dur={}", Millis(explanation.total()));
    for stage in explanation.stages() {
        let _ = write!(value, ", {};dur={}", metric(stage.kind), Millis(stage.took));
        describe(&mut value, stage);
    }
    // Only ASCII was written that is no control character.
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("total"))
}

/// That of a call of one attempt, which is almost all of them.
const LENGTH: usize = 64;

/// Milliseconds, to a tenth. As whole numbers: each response has some, and those with a point cost three times
/// as much.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths =
            self.0.as_secs() * 10_000 + u64::from(self.0.subsec_nanos() + 50_000) / 100_000;
        write!(f, "{}.{}", tenths / 10, tenths % 10)
    }
}

/// Names of metrics are tokens.
fn metric(kind: StageKind) -> &'static str {
    match kind {
        StageKind::HealthCheck => "health-check",
        kind => kind.label(),
    }
}

fn describe(value: &mut String, stage: &CallStage) {
    let is_attempt = stage.kind == StageKind::Attempt;
    let _ = match (&stage.why, stage.status) {
        (Some(why), _) => write!(value, ";desc=\"{}\"", quoted(why.layer())),
        (None, Some(status)) if is_attempt => {
            write!(value, ";desc=\"{}: {status}\"", stage.attempt)
        }
        (None, None) if is_attempt => write!(value, ";desc=\"{}\"", stage.attempt),
        (None, Some(status)) => write!(value, ";desc=\"{status}\""),
        (None, None) => Ok(()),
    };
}

/// What may stand in a quoted string of a header field without an escape.
fn quoted(text: &str) -> String {
    let plain = |letter: char| matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\');
    text.chars().map(|letter| if plain(letter) { letter } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use sandtower_core::{Outcome, Reason, Recording, Rejection, Tick, recording};

    use super::*;

    #[test]
    fn times_are_rounded_to_a_tenth_of_a_millisecond() {
        for (nanos, shown) in [
            (0, "0.0"),
            (49_999, "0.0"),
            (50_000, "0.1"),
            (999_960_000, "1000.0"),
            (61_234_567_890, "61234.6"),
        ] {
            assert_eq!(Millis(Duration::from_nanos(nanos)).to_string(), shown);
        }
    }

    #[test]
    fn every_stage_is_a_metric_and_nothing_breaks_the_field() {
        let mut call = Recording::begin(Tick::ZERO);
        let at = |millis: u64| Tick::from_nanos(millis * 1_000_000);
        {
            let _entered = call.enter();
            recording::joined_queue(at(0));
            recording::held_by(&Rejection::new("my \"gate\"\r\n\u{e9}", "x", Reason::Throttled));
            recording::left_queue(at(20));
            recording::failed(Outcome::Transient, Some(503), StageKind::Backoff, at(30));
            recording::attempt(2, at(40));
            recording::succeeded(StageKind::HealthCheck, at(50));
        }
        let ended = recording::Ended { outcome: Outcome::Success, status: Some(201) };
        let explanation = call.end(ended, None, at(60)).unwrap();
        assert_eq!(
            server_timing(&explanation),
            "total;dur=60.0, queue;dur=20.0;desc=\"my ?gate????\", attempt;dur=10.0;desc=\"1: 503\", \
             backoff;dur=10.0, attempt;dur=10.0;desc=\"2\", health-check;dur=10.0"
        );
    }
}

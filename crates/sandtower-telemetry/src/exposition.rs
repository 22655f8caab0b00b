//! The text that Prometheus reads.

use std::fmt::{self, Write};

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Response};
use serde_json::Value;

use crate::Registry;
use crate::durations::BOUNDS;
use crate::metric::{Kind, Metric};
use crate::reading::{Labels, Series, SeriesValue, series};

/// A format of the exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// OpenMetrics 1.0, which has exemplars.
    OpenMetrics,
    /// Prometheus' older text format.
    Text,
}

impl Format {
    /// The format for a request with these headers: OpenMetrics if it accepts that.
    pub fn accepted(headers: &HeaderMap) -> Self {
        let accepts = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
        if accepts.into_iter().any(|accept| accept.contains("application/openmetrics-text")) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The value of the header `content-type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

impl Registry {
    /// All metrics of all sources as they are now. Reads every source once and blocks for less than
    /// 20 ms; nothing of it is on the path of calls.
    pub fn encode(&self, format: Format) -> String {
        let readings = self.read();
        let mut text = String::with_capacity(64 * 1024);
        for (metric, all) in series(&readings) {
            // Writing to a string does not fail.
            let _ = write_metric(&mut text, format, metric, &all);
        }
        if format == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }

    /// The response to a scrape with these request headers, in the format that they accept.
    pub fn scrape(&self, headers: &HeaderMap) -> Response<String> {
        let format = Format::accepted(headers);
        let mut response = Response::new(self.encode(format));
        let content_type = http::HeaderValue::from_static(format.content_type());
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}

fn write_metric(
    text: &mut String,
    format: Format,
    metric: &Metric,
    all: &[Series<'_>],
) -> fmt::Result {
    let family = match format {
        Format::OpenMetrics => metric.name.strip_suffix("_total").unwrap_or(metric.name),
        Format::Text => metric.name,
    };
    writeln!(text, "# HELP {family} {}", metric.help)?;
    writeln!(text, "# TYPE {family} {}", metric.kind.label())?;
    if let (Format::OpenMetrics, Kind::Gauge | Kind::Histogram, Some(unit)) =
        (format, metric.kind, metric.unit())
    {
        writeln!(text, "# UNIT {family} {unit}")?;
    }
    for series in all {
        match series.value {
            SeriesValue::Number(value) => {
                text.push_str(metric.name);
                write_labels(text, &series.labels, None)?;
                writeln!(text, " {value}")?;
            }
            SeriesValue::Histogram(row) => {
                write_histogram(text, format, metric.name, &series.labels, row)?;
            }
        }
    }
    Ok(())
}

fn write_histogram(
    text: &mut String,
    format: Format,
    name: &str,
    labels: &Labels<'_>,
    row: &Value,
) -> fmt::Result {
    let counts: Vec<u64> =
        row["buckets"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let mut so_far = 0;
    for (at, count) in counts.iter().enumerate() {
        so_far += count;
        let bound = BOUNDS.get(at).map_or_else(|| "+Inf".to_owned(), f64::to_string);
        write!(text, "{name}_bucket")?;
        write_labels(text, labels, Some(&bound))?;
        write!(text, " {so_far}")?;
        if format == Format::OpenMetrics {
            write_exemplar(text, &row["exemplars"][at])?;
        }
        text.push('\n');
    }
    for (suffix, value) in
        [("sum", row["sum"].as_f64().unwrap_or_default()), ("count", so_far as f64)]
    {
        write!(text, "{name}_{suffix}")?;
        write_labels(text, labels, None)?;
        writeln!(text, " {value}")?;
    }
    Ok(())
}

fn write_exemplar(text: &mut String, exemplar: &Value) -> fmt::Result {
    let (Some(trace), Some(value)) = (exemplar["trace_id"].as_str(), exemplar["value"].as_f64())
    else {
        return Ok(());
    };
    write!(text, " # {{trace_id=\"{}\"}} {value}", Escaped(trace))
}

fn write_labels(text: &mut String, labels: &Labels<'_>, le: Option<&str>) -> fmt::Result {
    let all = labels.iter().copied().chain(le.map(|le| ("le", le)));
    for (at, (label, value)) in all.enumerate() {
        let before = if at == 0 { '{' } else { ',' };
        write!(text, "{before}{label}=\"{}\"", Escaped(value))?;
    }
    text.push('}');
    Ok(())
}

/// A label value as both formats want it.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

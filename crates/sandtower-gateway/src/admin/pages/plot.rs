//! Lines and bars as SVG: what a page needs, and no more.

use std::fmt::Write as _;

use maud::{Markup, html};

const WIDTH: usize = 240;
const HEIGHT: f32 = 44.0;

/// The last hour of one number: its course, what it is now and the most it was.
pub(super) fn line(name: &str, points: &[f32], class: &str, show: fn(f32) -> String) -> Markup {
    let drawn = thinned(points);
    let most = points.iter().copied().fold(0.0, f32::max);
    let now = points.last().copied().unwrap_or_default();
    let path = path(&drawn, most);
    let label = format!("{name}: now {}, at most {} within the last hour", show(now), show(most));
    html! {
        figure.plot.(class) {
            figcaption { span.name { (name) } span.value { (show(now)) } }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
                title { (label) }
                @if let Some(path) = path {
                    path.area d={ (path) " V" (HEIGHT) " H0 Z" } {}
                    path.course d=(path) {}
                }
            }
            span.most.muted { "most " (show(most)) }
        }
    }
}

/// At most as many points as are seen: of several the greatest, so that no peak is lost.
fn thinned(points: &[f32]) -> Vec<f32> {
    let each = points.len().div_ceil(WIDTH / 2).max(1);
    points.chunks(each).map(|some| some.iter().copied().fold(0.0, f32::max)).collect()
}

fn path(points: &[f32], most: f32) -> Option<String> {
    let steps = points.len().checked_sub(1).filter(|steps| *steps > 0)?;
    let mut path = String::new();
    for (at, point) in points.iter().enumerate() {
        let x = at * WIDTH / steps;
        let y = HEIGHT - 1.0 - point / most.max(1.0) * (HEIGHT - 4.0);
        // Writing to a string does not fail.
        let _ = write!(path, "{}{x} {y:.1}", if at == 0 { 'M' } else { 'L' });
    }
    Some(path)
}

/// A bar that is filled by a share, with a mark at 80 %.
pub(super) fn bar(share: f64) -> Markup {
    let filled = (share * 100.0).clamp(0.0, 100.0);
    let class = if share >= 0.9 {
        "critical"
    } else if share >= 0.8 {
        "warning"
    } else {
        "ok"
    };
    html! {
        svg.bar.(class) viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label=(format!("{filled:.0} %")) {
            rect.track width="100" height="8" {}
            rect.filled width=(format!("{filled:.1}")) height="8" {}
            line.mark x1="80" x2="80" y1="0" y2="8" {}
        }
    }
}

/// Spans of the last hour, each with its class: the state of a breaker.
pub(super) fn strip(spans: &[(f64, f64, &str)], label: &str) -> Markup {
    html! {
        svg.strip viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label=(label) {
            title { (label) }
            @for (from, to, class) in spans {
                rect.(class) x=(format!("{:.0}", from * 1_000.0)) width=(format!("{:.0}", ((to - from) * 1_000.0).max(2.0))) height="10" {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_course_is_drawn_short_and_keeps_its_peak() {
        let mut points = vec![1.0; 720];
        points[401] = 9.0;
        let drawn = thinned(&points);
        assert!(drawn.len() <= WIDTH / 2 && drawn.contains(&9.0));
        assert!(line("calls", &points, "", |it| it.to_string()).into_string().len() < 4_096);
        assert_eq!(path(&[1.0], 1.0), None);
    }
}

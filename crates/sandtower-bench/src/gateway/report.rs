//! What was measured, as a table, and which goals are met.

use std::fmt::Write as _;

use super::closed_loop::Throughput;
use super::open_loop::Latency;
use super::run::{DISABLED, GATEWAY, NGINX, PLAIN};
use super::streams::Way;
use crate::statistics::{median, min};

/// The samples of each proxy.
pub(super) type Section<T> = Vec<(&'static str, Vec<T>)>;

const MIB: f64 = 1_048_576.0;

/// What was measured so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    text: String,
    goals: String,
}

impl Report {
    pub(super) fn text(self) -> String {
        let Self { text, goals } = self;
        if goals.is_empty() { text } else { format!("{text}goals\n{goals}") }
    }

    pub(super) fn throughput(&mut self, title: &str, section: Section<Throughput>) {
        self.line(format_args!("{title:<34}    min  median  of nginx  us of processor"));
        let rates = |name| samples(&section, name, |it: &Throughput| it.per_second);
        let nginx = rates(NGINX);
        for (name, all) in &section {
            let own = rates(name);
            let processor: Vec<_> = all.iter().map(|it| it.processor).collect();
            self.line(format_args!(
                "  {name:<32}{:>7.0} {:>7.0} {:>9.2} {:>16.1}",
                min(&own),
                median(&own),
                median(&own) / median(&nginx),
                median(&processor),
            ));
        }
        self.line(format_args!(""));
        let own = median(&rates(GATEWAY));
        let what = format!("{title}, of nginx's");
        self.goal(&what, own / median(&nginx), At::Least(0.65));
        for without in [DISABLED, PLAIN] {
            if section.iter().any(|(name, _)| *name == without) {
                let what = format!("{title}, of those of: {without}");
                self.goal(&what, own / median(&rates(without)), At::Least(0.85));
            }
        }
    }

    pub(super) fn latency(&mut self, title: &str, section: Section<Latency>) {
        self.line(format_args!("{title:<46} p50 us  p99 us  (medians of rounds)"));
        let at = |name, of: fn(&Latency) -> f64| median(&samples(&section, name, of));
        for (name, _) in &section {
            let (p50, p99) = (at(name, |it| it.p50), at(name, |it| it.p99));
            self.line(format_args!("  {name:<44}{p50:>7.0} {p99:>7.0}"));
        }
        self.line(format_args!(""));
        let over = |of| at(GATEWAY, of) - at(NGINX, of);
        self.goal("p50 over nginx's, us", over(|it| it.p50), At::Most(250.0));
        self.goal("p99 over nginx's, us", over(|it| it.p99), At::Most(1_000.0));
    }

    pub(super) fn streams(&mut self, title: &str, section: Section<(f64, f64)>) {
        self.line(format_args!("{title:<34} MB/s down: min median    up: min median"));
        let down = |name| samples(&section, name, |it: &(f64, f64)| it.0);
        let up = |name| samples(&section, name, |it: &(f64, f64)| it.1);
        for (name, _) in &section {
            let (down, up) = (down(name), up(name));
            self.line(format_args!(
                "  {name:<32}{:>15.0} {:>6.0} {:>10.0} {:>6.0}",
                min(&down),
                median(&down),
                min(&up),
                median(&up),
            ));
        }
        self.line(format_args!(""));
        let of = |all: [Vec<f64>; 2]| median(&all[0]) / median(&all[1]);
        self.goal("MB/s down, of nginx's", of([down(GATEWAY), down(NGINX)]), At::Least(1.0));
        self.goal("MB/s up, of nginx's", of([up(GATEWAY), up(NGINX)]), At::Least(1.0));
    }

    pub(super) fn growth(&mut self, way: Way, bytes: f64) {
        let way = if way == Way::Down { "down" } else { "up" };
        let what = format!("MiB of memory for a stream of 200 MB {way}");
        self.goal(&what, bytes / MIB, At::Most(2.0));
    }

    pub(super) fn idle(&mut self, count: usize, own: f64, nginx: f64) {
        let each = |bytes: f64| bytes / count as f64 / 1_024.0;
        self.line(format_args!(
            "an idle connection: {:.1} KiB, of nginx {:.1} KiB\n",
            each(own),
            each(nginx),
        ));
        let what = format!("MiB of memory for {count} idle connections");
        self.goal(&what, own / MIB, At::Most(300.0));
    }

    pub(super) fn keys(&mut self, count: usize, bytes: f64) {
        let kib = bytes / 1_024.0;
        self.line(format_args!("a stack for one of {count} API keys: {kib:.1} KiB\n"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{line}");
    }

    fn goal(&mut self, what: &str, is: f64, goal: At) {
        let (is_met, bound) = match goal {
            At::Most(most) => (is <= most, format!("at most {most}")),
            At::Least(least) => (is >= least, format!("at least {least}")),
        };
        let met = if is_met { "met" } else { "MISSED" };
        let _ = writeln!(self.goals, "  {met:<8}{what:<66}{is:>8.2}, {bound}");
    }
}

/// What a goal allows.
#[derive(Clone, Copy, Debug)]
enum At {
    Most(f64),
    Least(f64),
}

fn samples<T>(section: &Section<T>, name: &str, of: impl Fn(&T) -> f64) -> Vec<f64> {
    let all = section.iter().filter(|(own, _)| *own == name);
    all.flat_map(|(_, samples)| samples.iter().map(&of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_compared_by_their_medians() {
        let rate = |per_second| Throughput { per_second, processor: 12.0 };
        let mut report = Report::default();
        report.throughput(
            "requests",
            vec![
                (NGINX, vec![rate(100.0), rate(10.0), rate(120.0)]),
                (GATEWAY, vec![rate(64.0), rate(70.0), rate(1.0)]),
                (PLAIN, vec![rate(80.0)]),
            ],
        );
        let text = report.text();
        for line in [
            "  nginx                                10     100      1.00             12.0\n",
            "  gateway                               1      64      0.64             12.0\n",
            "  MISSED  requests, of nginx's                                                  0.64, at least 0.65\n",
            "  MISSED  requests, of those of: proxy without layers                           0.80, at least 0.85\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn latency_counts_over_that_of_nginx() {
        let at = |p50| vec![Latency { p50, p99: 4.0 * p50 }];
        let mut report = Report::default();
        report.latency("requests", vec![(NGINX, at(200.0)), (GATEWAY, at(300.0))]);
        let text = report.text();
        assert!(text.contains("  met     p50 over nginx's, us "), "{text}");
        assert!(
            text.contains(" 100.00, at most 250\n") && text.contains(" 400.00, at most 1000\n")
        );
    }
}

//! Prometheus' text format, version 0.0.4.

use std::fmt::Write;

/// Writes families of series.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

/// The kind of a family.
#[derive(Debug, Clone, Copy)]
pub(super) enum Type {
    Counter,
    Gauge,
    Histogram,
}

pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    pub(super) fn family(&mut self, name: &str, kind: Type, help: &str) {
        let kind = match kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        };
        // Writing to a String cannot fail; so below.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(super) fn int(&mut self, name: &str, labels: Labels<'_>, value: u64) {
        self.start(name, labels);
        let _ = writeln!(self.text, " {value}");
    }

    pub(super) fn float(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        self.start(name, labels);
        let _ = writeln!(self.text, " {value}");
    }

    /// A family of one integer.
    pub(super) fn one(&mut self, name: &str, kind: Type, help: &str, value: u64) {
        self.family(name, kind, help);
        self.int(name, &[], value);
    }

    /// A histogram from its own counts: `buckets` of (upper bound in microseconds, or none for the last) and counts.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        labels: Labels<'_>,
        buckets: impl Iterator<Item = (Option<u64>, u64)>,
        sum_us: u64,
    ) {
        let mut total = 0;
        for (upper_us, count) in buckets {
            total += count;
            let Some(upper_us) = upper_us else { continue };
            let upper = seconds(upper_us).to_string();
            self.bucket(name, labels, &upper, total);
        }
        self.bucket(name, labels, "+Inf", total);
        self.float(&format!("{name}_sum"), labels, seconds(sum_us));
        self.int(&format!("{name}_count"), labels, total);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.text.into_bytes()
    }

    fn bucket(&mut self, name: &str, labels: Labels<'_>, upper: &str, count: u64) {
        self.text.push_str(name);
        self.text.push_str("_bucket{");
        self.labels(labels);
        if !labels.is_empty() {
            self.text.push(',');
        }
        let _ = writeln!(self.text, "le=\"{upper}\"}} {count}");
    }

    fn start(&mut self, name: &str, labels: Labels<'_>) {
        self.text.push_str(name);
        if !labels.is_empty() {
            self.text.push('{');
            self.labels(labels);
            self.text.push('}');
        }
    }

    fn labels(&mut self, labels: Labels<'_>) {
        for (index, (name, value)) in labels.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.text.push_str(name);
            self.text.push_str("=\"");
            for each in value.chars() {
                match each {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
    }
}

/// Microseconds in the unit of Prometheus.
pub(super) fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_escaped_and_buckets_cumulate() {
        let mut page = Page::default();
        page.int("a_total", &[("name", "x\"\\\ny")], 3);
        page.histogram(
            "h",
            &[("l", "v")],
            [(Some(1_000), 2), (Some(2_500), 1), (None, 1)].into_iter(),
            1_500_000,
        );
        assert_eq!(
            String::from_utf8(page.into_bytes()).unwrap(),
            "a_total{name=\"x\\\"\\\\\\ny\"} 3\n\
             h_bucket{l=\"v\",le=\"0.001\"} 2\n\
             h_bucket{l=\"v\",le=\"0.0025\"} 3\n\
             h_bucket{l=\"v\",le=\"+Inf\"} 4\n\
             h_sum{l=\"v\"} 1.5\n\
             h_count{l=\"v\"} 4\n"
        );
    }
}

//! The report as people read it.

use std::fmt::{self, Display, Formatter};

use crate::report::{Report, Row, Section, Target, Verdict};

/// Widths of the columns behind the label.
const LABEL: usize = 32;

/// The head of all tables.
pub(crate) struct Header;

/// What all sections say about the targets.
pub(crate) struct Verdicts<'a>(pub(crate) &'a Report);

/// Microseconds in a unit that fits.
struct Time(f64);

impl Display for Header {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:LABEL$} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>7} {:>7} {:>8} {:>7}",
            "", "calls/s", "p50", "p90", "p99", "max", "errors", "started", "cpu s", "cpu/call", "rss MB"
        )
    }
}

impl Display for Section {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  (others used {:.0} % of the machine just before)", self.title, self.busy_before * 100.0)?;
        for row in &self.rows {
            writeln!(f, "{row}")?;
        }
        for row in &self.rows {
            if let Some(error) = row.first_error() {
                writeln!(f, "  first error of {}: {error}", row.label)?;
            }
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))
    }
}

impl Display for Row {
    /// Medians of the windows; the maximum, errors and what the server used are those of all windows.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let label = format!("  {}", self.label);
        write!(f, "{label:LABEL$} {:8.0}", self.median(|window| window.calls_per_second))?;
        for time in [self.median(|w| w.p50_us), self.median(|w| w.p90_us), self.median(|w| w.p99_us), self.max_us()] {
            write!(f, " {:>8}", Time(time))?;
        }
        write!(f, " {:6}", self.errors())?;
        let used: Vec<_> = self.windows.iter().filter_map(|window| window.server.as_ref()).collect();
        if used.is_empty() {
            return Ok(());
        }
        let started: u64 = used.iter().map(|server| server.started).sum();
        let cpu: f64 = used.iter().map(|server| server.cpu_seconds).sum();
        let per_call = self.median(|window| window.cpu_us_per_call().unwrap_or(f64::NAN));
        write!(f, " {started:7} {cpu:7.2} {:>8} {:7.1}", Time(per_call), self.rss_mb())
    }
}

impl Display for Verdicts<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.verdicts.iter().try_for_each(|verdict| writeln!(f, "{verdict}"))?;
        let (all, misses) = (self.0.verdicts.len(), self.0.misses());
        write!(f, "{} of {all} targets met", all - misses)
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = if self.pass { "PASS" } else { "MISS" };
        let (sign, bound) = match self.target {
            Target::AtMost(most) => ("≤", most),
            Target::AtLeast(least) => ("≥", least),
        };
        let unit = self.unit;
        let target = format!("(target {sign} {bound} {unit}");
        write!(f, "{word}  {:64} {:8.2} {unit:3} {})", self.what, self.figure, target.trim_end())
    }
}

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            us if us.is_nan() => "-".to_owned(),
            us if us < 9_999.5 => format!("{us:.0} us"),
            us if us < 999_950.0 => format!("{:.1} ms", us / 1e3),
            us => format!("{:.2} s", us / 1e6),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sample::Window;
    use crate::usage::Usage;

    #[test]
    fn times_fit_their_columns() {
        let shown = [f64::NAN, 87.4, 9_999.0, 12_345.0, 1_234_567.0].map(|us| Time(us).to_string());
        assert_eq!(shown, ["-", "87 us", "9999 us", "12.3 ms", "1.23 s"]);
    }

    #[test]
    fn rows_stand_below_their_heads() {
        let mut window = Window::default();
        window.add(vec![Duration::from_micros(1_500); 10], 1, Some("why".to_owned()));
        window.close(Duration::from_secs(1));
        window.server = Some(Usage { cpu_seconds: 0.5, rss_mb: 20.0, started: 3 });
        let row = Row::of("hearth, 1 client", window.into_figures());
        let text = row.to_string();
        assert_eq!(text.split_whitespace().nth(3), Some("10"));
        assert_eq!(text.chars().count(), Header.to_string().chars().count());
        let rows = vec![row];
        let section = Section { name: "x", title: "X".to_owned(), busy_before: 0.25, rows, notes: Vec::new() };
        assert!(section.to_string().ends_with("first error of hearth, 1 client: why\n"), "{section}");
    }

    #[test]
    fn verdicts_say_what_was_wanted() {
        let mut report = Report::new(true, 2);
        report.judge("throughput", 0.5, "x", Target::AtLeast(0.6));
        let text = Verdicts(&report).to_string();
        assert!(text.starts_with("MISS  throughput ") && text.contains("0.50 x"), "{text}");
        assert!(text.ends_with("(target ≥ 0.6 x)\n0 of 1 targets met"), "{text}");
    }
}

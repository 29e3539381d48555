//! What was found out: rows of figures, and what they say about the targets.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use hearth_models::Timestamp;
use serde::Serialize;

use crate::sample::{Figures, median};

/// The format of the result file; raised when a reader of the last one would misread it.
const VERSION: u32 = 1;

/// All results of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    version: u32,
    begun: Timestamp,
    quick: bool,
    machine: Machine,
    pub(crate) sections: Vec<Section>,
    pub(crate) verdicts: Vec<Verdict>,
}

#[derive(Debug, Serialize)]
struct Machine {
    cpus: usize,
    kernel: String,
}

/// One scenario.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) title: String,
    /// The share of the processors that others used before it began. What they use meanwhile is not known.
    pub(crate) busy_before: f64,
    pub(crate) rows: Vec<Row>,
    pub(crate) notes: Vec<String>,
}

/// One load on one thing, measured several times.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) windows: Vec<Figures>,
}

/// A figure that should be in some bounds.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) figure: f64,
    pub(crate) unit: &'static str,
    pub(crate) target: Target,
    pub(crate) pass: bool,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

// === impl Report ===

impl Report {
    pub(crate) fn new(quick: bool, cpus: usize) -> Self {
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        Self {
            version: VERSION,
            begun: Timestamp::now(),
            quick,
            machine: Machine { cpus, kernel },
            sections: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    /// Writes `results.json` and a copy of it that later runs leave alone.
    pub(crate) fn store(&self, directory: &Path) -> Result<PathBuf> {
        let json = serde_json::to_vec_pretty(self)?;
        let latest = directory.join("results.json");
        let dated = directory.join(format!("results-{}.json", self.begun.to_string().replace(':', "-")));
        for path in [&latest, &dated] {
            fs::write(path, &json).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(dated)
    }

    pub(crate) fn misses(&self) -> usize {
        self.verdicts.iter().filter(|verdict| !verdict.pass).count()
    }

    pub(crate) fn judge(&mut self, what: impl Into<String>, figure: f64, unit: &'static str, target: Target) {
        self.verdicts.push(Verdict { what: what.into(), figure, unit, target, pass: target.is_met(figure) });
    }
}

// === impl Row ===

impl Row {
    pub(crate) fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), windows: Vec::new() }
    }

    pub(crate) fn of(label: impl Into<String>, figures: Figures) -> Self {
        Self { label: label.into(), windows: vec![figures] }
    }

    pub(crate) fn median(&self, figure: fn(&Figures) -> f64) -> f64 {
        median(self.windows.iter().map(figure))
    }

    /// How `figure` compares with that of `base`: the median over the pairs of windows that were measured one after
    /// the other, so that what slows the whole machine down for a while slows both.
    pub(crate) fn against(&self, base: &Self, figure: fn(&Figures) -> f64) -> f64 {
        median(self.windows.iter().zip(&base.windows).map(|(ours, theirs)| figure(ours) / figure(theirs)))
    }

    pub(crate) fn errors(&self) -> usize {
        self.windows.iter().map(|window| window.errors).sum()
    }

    /// Containers that were started during the windows.
    pub(crate) fn started(&self) -> u64 {
        self.windows.iter().filter_map(|window| window.server.as_ref()).map(|server| server.started).sum()
    }

    pub(crate) fn first_error(&self) -> Option<&str> {
        self.windows.iter().find_map(|window| window.first_error.as_deref())
    }

    pub(crate) fn max_us(&self) -> f64 {
        self.windows.iter().map(|window| window.max_us).fold(f64::NAN, f64::max)
    }

    pub(crate) fn rss_mb(&self) -> f64 {
        let all = self.windows.iter().filter_map(|window| window.server.as_ref());
        all.map(|server| server.rss_mb).fold(f64::NAN, f64::max)
    }
}

// === impl Target ===

impl Target {
    /// What is not a number meets no target.
    fn is_met(self, figure: f64) -> bool {
        match self {
            Self::AtMost(most) => figure <= most,
            Self::AtLeast(least) => figure >= least,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sample::Window;

    fn row(rates: &[u32]) -> Row {
        let figures = |rate: &u32| {
            let mut window = Window::default();
            window.add((0..*rate).map(|_| Duration::from_millis(1)).collect(), 0, None);
            window.close(Duration::from_secs(1));
            window.into_figures()
        };
        Row { label: String::new(), windows: rates.iter().map(figures).collect() }
    }

    #[test]
    fn rows_are_compared_window_by_window() {
        // The machine was slow in the second round.
        let ratio = row(&[60, 6, 70]).against(&row(&[100, 10, 100]), |figures| figures.calls_per_second);
        assert!((ratio - 0.6).abs() < 1e-9, "{ratio}");
    }

    #[test]
    fn a_figure_that_is_missing_misses_its_target() {
        let mut report = Report::new(true, 2);
        report.judge("a", 1.0, "x", Target::AtMost(1.0));
        report.judge("b", 1.0, "x", Target::AtLeast(1.0));
        report.judge("c", f64::NAN, "x", Target::AtMost(1.0));
        report.judge("d", f64::NAN, "x", Target::AtLeast(1.0));
        assert_eq!(report.verdicts.iter().map(|verdict| verdict.pass).collect::<Vec<_>>(), [true, true, false, false]);
        assert_eq!(report.misses(), 2);
    }

    #[test]
    fn results_are_stored_twice() {
        let directory = tempfile::tempdir().unwrap();
        let report = Report::new(true, 2);
        let dated = report.store(directory.path()).unwrap();
        let latest = fs::read(directory.path().join("results.json")).unwrap();
        assert_eq!(fs::read(dated).unwrap(), latest);
        let value: serde_json::Value = serde_json::from_slice(&latest).unwrap();
        assert_eq!(value["version"], 1);
    }
}

//! What is kept of a call, as API v1 shows it.

use serde_json::Value;

/// The nine measures of a sample.
pub(crate) const MEASURES: [&str; 9] =
    ["cpu_kernel", "cpu_total", "cpu_user", "disk_read", "disk_write", "mem_limit", "mem_usage", "net_rx", "net_tx"];

/// The record of a call with its log.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) call: Value,
    pub(crate) log: String,
}

impl Record {
    pub(crate) fn text(&self, key: &str) -> &str {
        self.call[key].as_str().unwrap_or_default()
    }

    /// Holds it to a call that was answered.
    #[track_caller]
    pub(crate) fn is_success(&self) {
        assert_eq!(self.text("status"), "success", "{self:?}");
        assert!(self.call.get("reason").is_none() && self.call.get("error").is_none(), "{self:?}");
        self.has_times(true);
    }

    /// Holds it to a call that ended for `reason` while it ran.
    #[track_caller]
    pub(crate) fn is_failure(&self, status: &str, reason: &str, error: &str) {
        assert_eq!((self.text("status"), self.text("reason"), self.text("error")), (status, reason, error), "{self:?}");
        self.has_times(true);
    }

    /// Holds it to a call that ended before it ran.
    #[track_caller]
    pub(crate) fn never_ran(&self, status: &str, reason: &str, error: &str) {
        assert_eq!((self.text("status"), self.text("reason"), self.text("error")), (status, reason, error), "{self:?}");
        assert_eq!(self.text("started_at"), "0001-01-01T00:00:00.000Z");
        assert_eq!((self.points().len(), self.log.as_str()), (0, ""), "{self:?}");
        self.has_times(false);
    }

    /// All times are in their order. They have a form that sorts as text.
    #[track_caller]
    fn has_times(&self, started: bool) {
        let mut times = vec![self.text("created_at"), self.text("completed_at")];
        if started {
            times.insert(1, self.text("started_at"));
        }
        assert!(times.iter().all(|time| time.len() == 24 && time.ends_with('Z') && time.starts_with("20")), "{self:?}");
        assert!(times.is_sorted(), "{self:?}");
        assert_eq!(self.text("type"), "sync");
    }

    pub(crate) fn points(&self) -> &[Value] {
        self.call["stats"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// Holds its histogram to the contract: at least so many points, in order and of the time of the call, with the
    /// nine measures each.
    #[track_caller]
    pub(crate) fn has_curve(&self, points: usize, memory_mb: u64) {
        let curve = self.points();
        assert!((points..=240).contains(&curve.len()), "{} points: {self:?}", curve.len());
        for point in curve {
            let measures = point["metrics"].as_object().unwrap();
            assert!(measures.keys().map(String::as_str).eq(MEASURES), "{point}");
            assert!(measures.values().all(Value::is_u64), "{point}");
            assert_eq!(measures["mem_limit"], memory_mb << 20);
            assert!(measures["mem_usage"].as_u64().unwrap() > 0, "{point}");
        }
        let mut times = vec![self.text("started_at")];
        times.extend(curve.iter().map(|point| point["timestamp"].as_str().unwrap()));
        times.push(self.text("completed_at"));
        assert!(times.is_sorted(), "{times:?}");
    }

    /// The greatest value of one measure.
    pub(crate) fn most(&self, measure: &str) -> u64 {
        self.points().iter().map(|point| point["metrics"][measure].as_u64().unwrap()).max().unwrap_or(0)
    }
}

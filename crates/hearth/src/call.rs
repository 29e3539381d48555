//! `hearth call`: what is recorded of a call, for people: its record, what it used, its log.

use std::fmt::Write as _;
use std::io::Write as _;

use clap::Args;
use hearth_models::{Stat, Timestamp};
use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::units::human;

/// Which call.
#[derive(Args, Debug)]
pub(crate) struct CallArgs {
    /// The name of the app
    app: String,
    /// The id of the call; the header Fn_call_id of its answer has it
    id: String,
    /// Where the server is
    #[arg(long, env = "API_URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
}

#[derive(Debug, Deserialize)]
struct CallReply {
    call: Call,
}

#[derive(Debug, Deserialize)]
struct Call {
    id: String,
    status: String,
    app_name: String,
    path: String,
    created_at: Timestamp,
    started_at: Timestamp,
    completed_at: Timestamp,
    #[serde(default)]
    stats: Vec<Stat>,
    reason: Option<String>,
    error: Option<String>,
    #[serde(rename = "type")]
    call_type: String,
    attempts: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct LogReply {
    log: Log,
}

#[derive(Debug, Deserialize)]
struct Log {
    log: String,
}

#[derive(Debug, Deserialize)]
struct ErrorReply {
    error: Message,
}

#[derive(Debug, Deserialize)]
struct Message {
    message: String,
}

/// Fetches the call and prints it.
pub(crate) async fn call(args: &CallArgs) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().timeout(std::time::Duration::from_secs(30)).build()?;
    let record: CallReply = get(&client, &args.url, &["v1", "apps", &args.app, "calls", &args.id]).await?;
    let log: LogReply = get(&client, &args.url, &["v1", "apps", &args.app, "calls", &args.id, "log"]).await?;
    let mut out = std::io::stdout().lock();
    out.write_all(shown(&record.call, &log.log.log)?.as_bytes())?;
    Ok(())
}

async fn get<T: DeserializeOwned>(client: &reqwest::Client, base: &Url, path: &[&str]) -> anyhow::Result<T> {
    let mut url = base.clone();
    match url.path_segments_mut() {
        Ok(mut segments) => drop(segments.pop_if_empty().extend(path)),
        Err(()) => anyhow::bail!("{base} is no URL of a server; expected the form http://host:port"),
    }
    let response = client.get(url).send().await?;
    let status = response.status();
    if status.is_success() {
        return Ok(response.json().await?);
    }
    match response.json::<ErrorReply>().await {
        Ok(reply) => anyhow::bail!("{}", reply.error.message),
        Err(_) => anyhow::bail!("{base} answers with {status}, which no Hearth would"),
    }
}

/// What is printed.
fn shown(call: &Call, log: &str) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let status = match &call.reason {
        Some(reason) => format!("{} ({reason})", call.status),
        None => call.status.clone(),
    };
    let attempts = call.attempts.map(|attempts| attempts.to_string());
    for (name, value) in [
        ("call", Some(call.id.as_str())),
        ("app", Some(&call.app_name)),
        ("route", Some(&call.path)),
        ("type", Some(&call.call_type)),
        ("status", Some(&status)),
        ("error", call.error.as_deref()),
        ("attempts", attempts.as_deref()),
        ("accepted", Some(&call.created_at.to_string())),
        ("started", since(call.started_at, call.created_at).as_deref()),
        ("ended", since(call.completed_at, call.started_at.max(call.created_at)).as_deref()),
    ] {
        if let Some(value) = value {
            writeln!(text, "{name:<10} {value}")?;
        }
    }
    measures(&mut text, &call.stats)?;
    if log.is_empty() {
        writeln!(text, "\nno log")?;
    } else {
        let line_end = if log.ends_with('\n') { "" } else { "\n" };
        write!(text, "\nlog, {}\n{log}{line_end}", human(log.len() as u64))?;
    }
    Ok(text)
}

/// A moment, and how long it came after another. None when it has not come.
fn since(moment: Timestamp, before: Timestamp) -> Option<String> {
    let later = moment.as_millis().saturating_sub(before.as_millis());
    (moment != Timestamp::ZERO).then(|| format!("{moment}, {later} ms later"))
}

/// The least, the average, the median and the greatest of each measure.
fn measures(text: &mut String, stats: &[Stat]) -> std::fmt::Result {
    let Some(first) = stats.first() else {
        return writeln!(text, "\nno samples were taken of it");
    };
    let samples = if stats.len() == 1 { "1 sample".to_owned() } else { format!("{} samples", stats.len()) };
    writeln!(text, "\n{samples:<12} {:>12} {:>12} {:>12} {:>12}", "min", "average", "median", "max")?;
    for (at, (name, _)) in first.metrics.named().iter().enumerate() {
        let mut values: Vec<u64> = stats.iter().map(|stat| stat.metrics.named()[at].1).collect();
        values.sort_unstable();
        let [min, average, median, max] =
            summary(&values).map(|value| if name.starts_with("cpu") { format!("{value} %") } else { human(value) });
        writeln!(text, "{name:<12} {min:>12} {average:>12} {median:>12} {max:>12}")?;
    }
    Ok(())
}

/// Of values in their order; all zero where there is none.
fn summary(values: &[u64]) -> [u64; 4] {
    let (Some(min), Some(max)) = (values.first(), values.last()) else {
        return [0; 4];
    };
    let mean = |values: &[u64]| {
        let sum: u128 = values.iter().map(|value| u128::from(*value)).sum();
        u64::try_from(sum / values.len().max(1) as u128).unwrap_or(u64::MAX)
    };
    let middle = &values[(values.len() - 1) / 2..=values.len() / 2];
    [*min, mean(values), mean(middle), *max]
}

#[cfg(test)]
mod tests {
    use hearth_models::Metrics;

    use super::*;

    fn stat(cpu_total: u64, mem_usage: u64) -> Stat {
        Stat { timestamp: Timestamp::ZERO, metrics: Metrics { cpu_total, mem_usage, ..Metrics::default() } }
    }

    #[test]
    fn a_summary_has_the_middle_of_odd_and_even_numbers_of_values() {
        assert_eq!(summary(&[]), [0; 4]);
        assert_eq!(summary(&[7]), [7, 7, 7, 7]);
        assert_eq!(summary(&[1, 2, 9]), [1, 4, 2, 9]);
        assert_eq!(summary(&[1, 2, 4, 9]), [1, 4, 3, 9]);
        assert_eq!(summary(&[u64::MAX, u64::MAX]), [u64::MAX; 4]);
    }

    #[test]
    fn a_call_is_shown_with_its_times_its_measures_and_its_log() {
        let mut call: Call = serde_json::from_str(
            r#"{"id":"01M7ZQN1PR4HN0600000000000","status":"error","app_name":"demo","path":"/hello",
            "completed_at":"2026-11-21T18:59:42.718Z","created_at":"2026-11-21T18:59:42.425Z",
            "started_at":"2026-11-21T18:59:42.435Z","reason":"bad_exit","error":"container exit code 3","type":"sync"}"#,
        )
        .unwrap();
        call.stats = vec![stat(10, 1 << 20), stat(200, 3 << 19)];
        let text = shown(&call, "one\ntwo").unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..9],
            [
                "call       01M7ZQN1PR4HN0600000000000",
                "app        demo",
                "route      /hello",
                "type       sync",
                "status     error (bad_exit)",
                "error      container exit code 3",
                "accepted   2026-11-21T18:59:42.425Z",
                "started    2026-11-21T18:59:42.435Z, 10 ms later",
                "ended      2026-11-21T18:59:42.718Z, 283 ms later",
            ]
        );
        assert_eq!(lines[10], "2 samples             min      average       median          max");
        assert_eq!(lines[12], "cpu_total            10 %        105 %        105 %        200 %");
        assert_eq!(lines[17], "mem_usage         1.0 MiB      1.2 MiB      1.2 MiB      1.5 MiB");
        assert_eq!(lines[20..], ["", "log, 7 B", "one", "two"]);
    }

    #[test]
    fn a_call_that_waits_has_neither_start_nor_end() {
        let call: Call = serde_json::from_str(
            r#"{"id":"i","status":"queued","app_name":"a","path":"/","completed_at":"0001-01-01T00:00:00.000Z",
            "created_at":"2026-11-21T18:59:42.425Z","started_at":"0001-01-01T00:00:00.000Z","type":"async"}"#,
        )
        .unwrap();
        let text = shown(&call, "").unwrap();
        assert!(!text.contains("started") && !text.contains("ended"), "{text}");
        assert!(text.ends_with("\nno samples were taken of it\n\nno log\n"), "{text}");
    }
}

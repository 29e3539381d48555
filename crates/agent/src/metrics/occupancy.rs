//! What the agent holds at the moment. Asked anew each time, so that the figures of one look belong together, and what is
//! gone is not shown any more.
//!
//! It is told twice: under Hearth's names, and under those by which dashboards of API v2 know it (v2 contract B.8.1), as
//! gauges, which they are, whatever their names end in.

use hearth_models::{AppId, FnId};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntGauge, IntGaugeVec, Opts, Registry};

use super::Labels;
use crate::agent::{Agent, Occupancy};
use crate::slots::Containers;

/// The containers and waiting calls of one slot key.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) labels: Labels,
    pub(crate) owner: Owner,
    pub(crate) containers: Containers,
    pub(crate) waiting: usize,
}

/// Whose containers they are, in the words of API v2.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) app_id: AppId,
    pub(crate) fn_id: FnId,
    pub(crate) image_name: String,
}

struct Collected {
    agent: Agent,
    descriptions: Vec<Desc>,
}

/// Makes `/metrics` tell what `agent` holds.
///
/// # Errors
/// When `registry` has some of these names already.
pub fn register_occupancy(registry: &Registry, agent: Agent) -> prometheus::Result<()> {
    let metrics = metrics(&Occupancy::default(), &[])?;
    let descriptions = metrics.iter().flat_map(|metric| metric.desc()).cloned().collect();
    registry.register(Box::new(Collected { agent, descriptions }))
}

impl Collector for Collected {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (occupancy, held) = self.agent.held();
        // Their names and labels were good when they were registered, and are the same now.
        let metrics = metrics(&occupancy, &held).unwrap_or_default();
        metrics.iter().flat_map(|metric| metric.collect()).collect()
    }
}

fn metrics(occupancy: &Occupancy, held: &[Held]) -> prometheus::Result<Vec<Box<dyn Collector>>> {
    let mut all = ours(occupancy, held)?;
    all.extend(contracts(occupancy, held)?);
    Ok(all)
}

fn ours(occupancy: &Occupancy, held: &[Held]) -> prometheus::Result<Vec<Box<dyn Collector>>> {
    let Occupancy { waiting, starting, busy, idle, .. } = *occupancy;
    let containers = gauges("hearth_containers", "Containers by what they do", &["state"])?;
    for (state, count) in [("starting", starting), ("busy", busy), ("idle", idle)] {
        containers.with_label_values(&[state]).set(integer(count));
    }
    let calls = IntGauge::new("hearth_calls_waiting", "Calls that wait for a container")?;
    calls.set(integer(waiting));

    let of_function = ["app", "function", "state"];
    let function_containers = gauges("hearth_function_containers", "Containers of a function", &of_function)?;
    let function_calls = gauges("hearth_function_calls_waiting", "Calls of a function that wait", &of_function[..2])?;
    for Held { labels: Labels { app, function, .. }, containers, waiting, .. } in held {
        let Containers { starting, busy, idle } = *containers;
        for (state, count) in [("starting", starting), ("busy", busy), ("idle", idle)] {
            function_containers.with_label_values(&[&**app, &**function, state]).add(integer(count));
        }
        function_calls.with_label_values(&[app, function]).add(integer(*waiting));
    }

    let Occupancy { memory_reserved, memory_idle, memory_capacity, cpu_reserved_millis, cpu_capacity_millis, .. } =
        *occupancy;
    Ok(vec![
        Box::new(containers),
        Box::new(calls),
        Box::new(function_containers),
        Box::new(function_calls),
        whole("hearth_memory_reserved_bytes", "Memory that containers have reserved", memory_reserved)?,
        whole("hearth_memory_idle_bytes", "The part of it that idle containers have reserved", memory_idle)?,
        whole("hearth_memory_capacity_bytes", "Memory that containers may reserve", memory_capacity)?,
        cores("hearth_cpu_reserved_cores", "CPU limits of all containers together", cpu_reserved_millis)?,
        cores("hearth_cpu_capacity_cores", "CPUs of the node", cpu_capacity_millis)?,
    ])
}

fn contracts(occupancy: &Occupancy, held: &[Held]) -> prometheus::Result<Vec<Box<dyn Collector>>> {
    let Occupancy { memory_reserved, memory_capacity, cpu_reserved_millis, cpu_capacity_millis, .. } = *occupancy;
    let labels = ["app_id", "fn_id", "image_name"];
    let mut all: Vec<Box<dyn Collector>> = Vec::new();
    for (name, help, count) in [
        ("fn_container_start_total", "Containers that are starting", (|of| of.starting) as fn(&Containers) -> usize),
        ("fn_container_busy_total", "Containers that run a call", |of| of.busy),
        ("fn_container_idle_total", "Containers that wait for a call", |of| of.idle),
    ] {
        let gauge = gauges(name, help, &labels)?;
        for Held { owner: Owner { app_id, fn_id, image_name }, containers, .. } in held {
            // Several slot keys may have these labels: a function's configuration is in none of them.
            let labels = [&app_id.to_string(), &fn_id.to_string(), image_name];
            gauge.with_label_values(&labels).add(integer(count(containers)));
        }
        all.push(Box::new(gauge));
    }
    for (name, help, value) in [
        ("fn_util_mem_used", "Bytes that containers have reserved", memory_reserved),
        ("fn_util_mem_avail", "Bytes that are left for others", memory_capacity.saturating_sub(memory_reserved)),
        ("fn_util_cpu_used", "CPU limits of all containers together, in thousandths of a core", cpu_reserved_millis),
        ("fn_util_cpu_avail", "What is left of the CPUs", cpu_capacity_millis.saturating_sub(cpu_reserved_millis)),
    ] {
        all.push(whole(name, help, value)?);
    }
    Ok(all)
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(Opts::new(name, help), labels)
}

fn whole(name: &str, help: &str, value: u64) -> prometheus::Result<Box<dyn Collector>> {
    let gauge = IntGauge::new(name, help)?;
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    Ok(Box::new(gauge))
}

fn cores(name: &str, help: &str, millis: u64) -> prometheus::Result<Box<dyn Collector>> {
    let gauge = Gauge::new(name, help)?;
    gauge.set(f64::from(u32::try_from(millis).unwrap_or(u32::MAX)) / 1000.0);
    Ok(Box::new(gauge))
}

fn integer(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

//! What the agent holds at the moment. Asked anew each time, so that the figures of one look belong together, and what is
//! gone is not shown any more.

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
    pub(crate) containers: Containers,
    pub(crate) waiting: usize,
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
    for Held { labels: Labels { app, function, .. }, containers, waiting } in held {
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
        bytes("hearth_memory_reserved_bytes", "Memory that containers have reserved", memory_reserved)?,
        bytes("hearth_memory_idle_bytes", "The part of it that idle containers have reserved", memory_idle)?,
        bytes("hearth_memory_capacity_bytes", "Memory that containers may reserve", memory_capacity)?,
        cores("hearth_cpu_reserved_cores", "CPU limits of all containers together", cpu_reserved_millis)?,
        cores("hearth_cpu_capacity_cores", "CPUs of the node", cpu_capacity_millis)?,
    ])
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(Opts::new(name, help), labels)
}

fn bytes(name: &str, help: &str, value: u64) -> prometheus::Result<Box<dyn Collector>> {
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

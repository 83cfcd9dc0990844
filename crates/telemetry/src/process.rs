//! Metric families of the process itself, read from `/proc` at each scrape.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};

/// Memory and files as the kernel counts them. What cannot be read is left out rather than reported as zero.
#[derive(Debug)]
pub(super) struct Collector {
    started_at: f64,
}

impl Collector {
    /// Takes the present as the start of the process.
    pub(super) fn new() -> Self {
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Self { started_at }
    }
}

impl prometheus_client::collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: Option<f64>| match value {
            None => Ok(()),
            Some(value) => {
                ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
            }
        };
        gauge("process_start_time_seconds", "When the process started, since 1970", Some(self.started_at))?;
        gauge("process_resident_memory_bytes", "Memory in RAM", status_line("VmRSS:"))?;
        gauge("process_open_fds", "Open file descriptors", open_files())
    }
}

/// A line of `/proc/self/status` that is in KiB, in bytes: unlike `statm` it does not depend on the size of a page.
fn status_line(name: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u32 = kib.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(f64::from(kib) * 1024.0)
}

fn open_files() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    u32::try_from(count).ok().map(f64::from)
}

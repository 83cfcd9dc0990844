//! What the kernel says of processes and of the machine, and on which core they run.

use std::{fs, process::Command};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Ticks in a second of processor time, the same on every Linux.
const TICKS: f64 = 100.0;

/// The processors this process may use.
pub fn processors() -> Vec<usize> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = field(&status, "Cpus_allowed_list:").expect("Linux tells the processors of a process");
    list.split(',')
        .flat_map(|range| {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            from.parse::<usize>().unwrap()..=to.parse().unwrap()
        })
        .collect()
}

/// Has this process, with all its threads, run on one processor from now on.
pub fn pin(processor: usize) {
    let own = std::process::id().to_string();
    let done =
        Command::new("taskset").args(["--all-tasks", "--cpu-list", "--pid", &processor.to_string(), &own]).output();
    assert!(done.is_ok_and(|done| done.status.success()), "taskset (util-linux) is needed");
}

/// The process and those it started.
pub fn family(of: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, stat(&fs::read_to_string(entry.path().join("stat")).ok()?)?.parent))
        })
        .collect();
    let mut family = vec![of];
    for at in 0.. {
        let Some(&parent) = family.get(at) else { break };
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
    }
    family
}

struct Stat {
    parent: u32,
    seconds: f64,
}

/// The fields after the name, which may hold anything.
fn stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some(Stat { parent: fields.get(1)?.parse().ok()?, seconds: (ticks(11)? + ticks(12)?) / TICKS })
}

/// Processor time of processes so far, user's and system's, in seconds.
pub fn processor_time(of: &[u32]) -> f64 {
    of.iter().map(|pid| seconds(&format!("/proc/{pid}/stat"))).sum()
}

/// The same of the calling thread.
pub fn own_thread_time() -> f64 {
    seconds("/proc/thread-self/stat")
}

/// Processor time of a `stat` file, in seconds.
pub fn seconds(file: &str) -> f64 {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}; has the process ended?"));
    stat(&text).unwrap_or_else(|| panic!("{file} cannot be read")).seconds
}

/// Processor time that everybody on the machine has had so far, in seconds.
pub fn machine_time() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap();
    let fields: Vec<f64> = text.lines().next().unwrap().split_whitespace().filter_map(|f| f.parse().ok()).collect();
    // user, nice, system, idle, waiting, interrupts (two), stolen
    [0, 1, 2, 5, 6, 7].iter().map(|&at| fields.get(at).unwrap_or(&0.0)).sum::<f64>() / TICKS
}

/// Resident memory of a server in MiB. What several processes have in common counts once; a server of one process has all of
/// its memory counted, although others may run the same program.
pub fn memory(of: &[u32]) -> f64 {
    let name = if of.len() == 1 { "Rss:" } else { "Pss:" };
    let kib = of.iter().map(|pid| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        field(&rollup, name).and_then(|kib| kib.split_whitespace().next()?.parse::<f64>().ok()).unwrap()
    });
    kib.sum::<f64>() / 1024.0
}

/// The kind of processor.
pub fn model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(": ")).map_or("an unknown processor", |(_, model)| model).to_owned()
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Processor time of this process and of all that it started and that has ended, in seconds.
pub fn time_with_children() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = text.rsplit_once(')').unwrap().1.split_whitespace();
    fields.skip(11).take(4).map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS
}

/// How many processors the machine has.
pub fn processors_in_all() -> usize {
    fs::read_to_string("/proc/cpuinfo").unwrap_or_default().lines().filter(|line| line.starts_with("processor")).count()
}

/// Lets this process have as many files open as it may; its connections are many.
pub fn raise_open_files() {
    let allowed = getrlimit(Resource::Nofile).maximum;
    // where it is refused, a connection will tell
    let _ = setrlimit(Resource::Nofile, Rlimit { current: allowed, maximum: allowed });
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is computed from whole numbers")]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process_is_read_whatever_its_name_holds() {
        let read = stat("17 (a) b (c) S 4 17 17 0 -1 4194304 90 0 0 0 150 50 7 8 20 0 1 0 123 1 1").unwrap();
        assert_eq!((read.parent, read.seconds), (4, 2.0));
        assert!(stat("17 (cut short) S 4").is_none());
    }

    #[test]
    fn the_family_of_this_process_has_what_it_started() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let family = family(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(family.contains(&std::process::id()) && family.contains(&child.id()), "{family:?}");
    }
}

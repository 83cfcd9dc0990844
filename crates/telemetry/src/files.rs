//! How many files, and so how many connections, the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets the process have as many files open as it is allowed to ask for, and says how many these are. Container runtimes start
/// it with 1,024, which is for programs that use `select`.
#[must_use]
pub fn as_many_as_allowed() -> usize {
    let allowed = getrlimit(Resource::Nofile).maximum;
    // where it is refused, what there is has to do
    let _ = setrlimit(Resource::Nofile, Rlimit { current: allowed, maximum: allowed });
    getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX)
}

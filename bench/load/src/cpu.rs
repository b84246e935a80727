//! What processes have used of the processors, as the scheduler counts it.

use std::fs;

/// Nanoseconds that all present threads of a process have run; 0 if there is none.
///
/// `/proc/PID/task/*/schedstat` counts in nanoseconds, where utime and stime count ticks of 4 ms.
pub(crate) fn run_time(process: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return 0 };
    let of_task = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path().join("schedstat")).ok()?;
        text.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    tasks.flatten().filter_map(of_task).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_work_is_seen() {
        let before = run_time(std::process::id());
        let mut value = 1_u64;
        while run_time(std::process::id()) < before + 1_000_000 {
            value = std::hint::black_box(value.wrapping_mul(31));
        }
        assert_eq!(run_time(0), 0);
    }
}

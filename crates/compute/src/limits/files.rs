//! What the files of a cgroup say, as text. Both versions; see the kernel's `cgroup-v1` and `cgroup-v2` pages.

/// CPU time of `cpu.stat` (version 2), microseconds.
#[must_use]
pub fn cpu_stat(text: &str) -> Option<u64> {
    value(text, "usage_usec")
}

/// CPU time of `cpuacct.usage` (version 1), microseconds.
#[must_use]
pub fn cpuacct_usage(text: &str) -> Option<u64> {
    text.trim().parse::<u64>().ok().map(|nanoseconds| nanoseconds / 1000)
}

/// What `memory.stat` tells, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryStat {
    /// What the kernel cannot drop: anonymous and shared memory.
    pub held: u64,
    /// Files that were not used for long: the kernel drops them first.
    pub inactive_file: u64,
}

/// Reads `memory.stat`. Version 1 has the sums with those of the groups below as `total_…`.
#[must_use]
pub fn memory_stat(text: &str) -> MemoryStat {
    let (mut stat, mut total) = (MemoryStat::default(), MemoryStat::default());
    for line in text.lines() {
        let Some((name, number)) = line.split_once(' ') else { continue };
        let Ok(bytes) = number.trim().parse::<u64>() else { continue };
        match name {
            "anon" | "shmem" => stat.held += bytes,
            "inactive_file" => stat.inactive_file = bytes,
            "total_rss" | "total_shmem" => total.held += bytes,
            "total_inactive_file" => total.inactive_file = bytes,
            _ => {}
        }
    }
    // In version 1 only the totals count: there `shmem` is this group's own share of them.
    if text.contains("\ntotal_rss ") { total } else { stat }
}

/// The time in which some process stood still, of a `….pressure` file, microseconds since the group was made.
#[must_use]
pub fn pressure(text: &str) -> Option<u64> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    some.split(' ').find_map(|field| field.strip_prefix("total="))?.parse().ok()
}

/// Processors of `cpu.max` (version 2); infinite when there is no limit.
#[must_use]
pub fn cpu_max(text: &str) -> Option<f64> {
    let mut fields = text.split_whitespace();
    let (quota, period) = (fields.next()?, fields.next()?);
    if quota == "max" { Some(f64::INFINITY) } else { ratio(quota, period) }
}

/// Processors of `cpu.cfs_quota_us` and `cpu.cfs_period_us` (version 1).
#[must_use]
pub fn cfs_quota(quota: &str, period: &str) -> Option<f64> {
    if quota.trim().starts_with('-') { Some(f64::INFINITY) } else { ratio(quota, period) }
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    (period > 0.0).then(|| quota / period)
}

fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_is_read() {
        let stat = "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\nnr_periods 0\n";
        assert_eq!(cpu_stat(stat), Some(1_234_567));
        let memory =
            "anon 4096\nfile 999\nkernel 5\nshmem 100\ninactive_anon 1\ninactive_file 7\nactive_file 8\n";
        assert_eq!(memory_stat(memory), MemoryStat { held: 4196, inactive_file: 7 });
        let text = "some avg10=0.00 avg60=0.12 avg300=0.00 total=4242\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(pressure(text), Some(4242));
        assert_eq!((cpu_max("max 100000\n"), cpu_max("5000 20000\n")), (Some(f64::INFINITY), Some(0.25)));
        assert_eq!((cpu_stat(""), pressure("x"), cpu_max("")), (None, None, None));
    }

    #[test]
    fn version_1_is_read() {
        assert_eq!(cpuacct_usage("1234567890\n"), Some(1_234_567));
        let memory = "cache 50\nrss 1\nshmem 3\ninactive_file 2\ntotal_cache 60\ntotal_rss 10\ntotal_shmem 20\ntotal_inactive_file 30\n";
        assert_eq!(memory_stat(memory), MemoryStat { held: 30, inactive_file: 30 });
        assert_eq!(
            (cfs_quota("-1\n", "100000\n"), cfs_quota("50000\n", "20000\n")),
            (Some(f64::INFINITY), Some(2.5))
        );
    }
}

//! How many interrupts disks have raised to Linux's own driver, by Linux's count.

use std::fs;

use anyhow::Context;

/// Interrupts of all queues of virtio disks so far.
///
/// Lines of /proc/interrupts: number, a count for each processor, the controller, and the name that the driver gave.
pub fn count() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/interrupts").context("/proc/interrupts")?;
    Ok(text.lines().filter(|line| is_queue(line)).map(sum).sum())
}

fn is_queue(line: &str) -> bool {
    line.contains("-req.")
}

fn sum(line: &str) -> u64 {
    line.split_whitespace()
        .skip(1)
        .map_while(|word| word.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::{is_queue, sum};

    #[test]
    fn counts_of_all_processors() {
        let linux = " 27:     10       5  IR-PCI-MSI-0000:00:02.0    1-edge      virtio0-req.0";
        let other = "  4:    900       0  IR-IO-APIC    4-edge      ttyS0";
        assert!(is_queue(linux) && !is_queue(other));
        assert_eq!(sum(linux), 15);
    }
}

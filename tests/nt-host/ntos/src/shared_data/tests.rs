use std::time::Duration;

use super::*;
use crate::sched;
use crate::testing::{clean, start};

fn read(offset: usize, width: u8) -> u64 {
    mmio::access(ADDRESS + offset, width, None).expect("the page answers")
}

#[test]
fn the_page_tells_the_kernels_time_and_version() {
    start(1);
    clean(|| {
        sched::block_until("time", Some(Duration::from_secs(2)), Box::new(|| false));
        assert_eq!(read(0x8, 8), time::interrupt());
        assert_eq!(
            read(0x10, 4),
            time::interrupt() >> 32,
            "the upper half once more"
        );
        assert_eq!(read(0x14, 8), time::system());
        assert_eq!(read(0x320, 8), 20_000_000 / time::INCREMENT);
        assert_eq!(
            (read(0x26c, 4), read(0x270, 4), read(0x260, 2)),
            (10, 0, 14393)
        );
        assert_eq!(
            (read(0x320, 4) * read(0x4, 4)) >> 24,
            2000,
            "in milliseconds"
        );
    });
}

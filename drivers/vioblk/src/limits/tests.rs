use super::*;
use crate::config::Topology;

fn config(seg_max: Option<u32>, size_max: Option<u32>) -> Config {
    Config {
        block_size: 512,
        blocks: 1 << 20,
        size_max,
        seg_max,
        topology: Topology::default(),
        queues: 1,
        discard: None,
        write_zeroes: None,
        zeroes_unmap: false,
        lifetime: false,
        cache_mode: false,
    }
}

fn limits(queue: u16, seg_max: Option<u32>, size_max: Option<u32>) -> Result<Limits, Refusal> {
    Limits::new(&config(seg_max, size_max), queue)
}

/// Descriptors that a scatter list needs.
fn needed(elements: &[u32], segment_bytes: u32) -> u32 {
    elements.iter().map(|len| len.div_ceil(segment_bytes)).sum()
}

#[test]
fn one_mebibyte_at_any_alignment_when_the_device_allows() {
    for (queue, seg_max) in [
        (1024, Some(1022)),
        (512, Some(510)),
        (1024, None),
        (32768, None),
    ] {
        let l = limits(queue, seg_max, None).unwrap();
        assert_eq!(
            (l.segments, l.max_transfer, l.breaks, l.bounce),
            (257, 1 << 20, 257, false)
        );
    }
}

#[test]
fn the_chain_never_exceeds_the_queue() {
    for queue in [4u16, 8, 16, 32, 64, 128, 256, 1024] {
        for seg_max in [
            None,
            Some(1),
            Some(2),
            Some(126),
            Some(1022),
            Some(u32::MAX),
        ] {
            let l = limits(queue, seg_max, None).unwrap();
            assert!(l.segments + FIXED_DESCRIPTORS <= u32::from(queue));
            assert!(l.segments <= seg_max.unwrap_or(u32::MAX));
        }
    }
}

#[test]
fn queue_size_8_gives_five_pages() {
    let l = limits(8, Some(6), None).unwrap();
    assert_eq!((l.max_transfer, l.breaks, l.bounce), (5 * PAGE, 6, false));
}

#[test]
fn one_segment_needs_a_bounce_page() {
    let l = limits(128, Some(1), None).unwrap();
    assert_eq!(
        (l.segments, l.max_transfer, l.breaks, l.bounce),
        (1, PAGE, 2, true)
    );
}

#[test]
fn devices_that_cannot_hold_a_page_are_refused() {
    assert_eq!(limits(2, None, None), Err(Refusal::QueueTooSmall(2)));
    assert_eq!(limits(0, None, None), Err(Refusal::QueueTooSmall(0)));
    assert_eq!(
        limits(128, Some(1), Some(4095)),
        Err(Refusal::PageDoesNotFit {
            segments: 1,
            size_max: 4095
        })
    );
    assert_eq!(
        limits(8, None, Some(512)),
        Err(Refusal::PageDoesNotFit {
            segments: 6,
            size_max: 512
        })
    );
    assert!(limits(16, None, Some(512)).unwrap().max_transfer == PAGE);
    assert!(limits(128, None, Some(1)).is_err());
}

/// The promise itself: whatever frames a transfer of the promised size is made of, it fits, or it is a page that
/// the bounce page takes.
#[test]
fn the_worst_case_fits() {
    for queue in [4u16, 8, 64, 128, 256, 1024] {
        for seg_max in [None, Some(1), Some(2), Some(3), Some(9), Some(126)] {
            for size_max in [
                None,
                Some(512),
                Some(1000),
                Some(1024),
                Some(4095),
                Some(4096),
                Some(4097),
                Some(65536),
            ] {
                let Ok(l) = limits(queue, seg_max, size_max) else {
                    continue;
                };
                for offset in [0u32, 1, 4, 511, 512, 1000, 2048, 4092, 4095] {
                    let mut rest = l.max_transfer;
                    let mut elements = vec![];
                    let mut room = PAGE - offset;
                    while rest > 0 {
                        let len = room.min(rest);
                        elements.push(len);
                        rest -= len;
                        room = PAGE;
                    }
                    assert!(elements.len() as u32 <= l.breaks);
                    let n = needed(&elements, l.segment_bytes);
                    assert!(
                        n <= l.segments || l.bounce,
                        "{queue} {seg_max:?} {size_max:?} {offset}: {n} > {}",
                        l.segments
                    );
                    // Through the bounce page it is one contiguous page.
                    assert!(needed(&[l.max_transfer.min(PAGE)], l.segment_bytes) <= l.segments);
                }
            }
        }
    }
}

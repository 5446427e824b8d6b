use super::*;

fn cut(segments: &[(u64, u32)], bytes: u32, max: u32) -> Vec<(u64, u32)> {
    let segments = segments
        .iter()
        .map(|&(address, len)| Segment { address, len });
    Parts::new(segments, bytes, max)
        .map(|part| (part.address.get(), part.len))
        .collect()
}

#[test]
fn segments_pass_unchanged_when_they_fit() {
    let list = [(0x1000, 512), (0x8000, 4096), (0x3000, 8)];
    assert_eq!(cut(&list, 4616, u32::MAX), list);
}

#[test]
fn long_segments_are_cut() {
    assert_eq!(
        cut(&[(0x1000, 1000), (0x9000, 1024)], 2024, 512),
        [(0x1000, 512), (0x1200, 488), (0x9000, 512), (0x9200, 512)]
    );
    assert_eq!(cut(&[(7, 3)], 3, 1), [(7, 1), (8, 1), (9, 1)]);
}

#[test]
fn nothing_beyond_the_request_is_shown_to_the_device() {
    assert_eq!(
        cut(&[(0, 4096), (8192, 4096)], 4608, u32::MAX),
        [(0, 4096), (8192, 512)]
    );
    assert_eq!(cut(&[(0, 4096)], 0, u32::MAX), []);
}

#[test]
fn empty_segments_make_no_part() {
    assert_eq!(
        cut(&[(0, 0), (64, 8), (128, 0), (256, 8)], 16, 8),
        [(64, 8), (256, 8)]
    );
}

#[test]
fn a_list_that_is_too_short_shows_in_the_measure() {
    let list = [Segment {
        address: 0,
        len: 512,
    }];
    let measure = measure(Parts::new(list.into_iter(), 4096, 128));
    assert_eq!(
        measure,
        Measure {
            parts: 4,
            bytes: 512
        }
    );
}

#[test]
fn a_limit_of_zero_does_not_hang() {
    assert_eq!(cut(&[(0, 2)], 2, 0).len(), 2);
}

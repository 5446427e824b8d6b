use super::*;

fn pieces(lba: u64, blocks: u32, limits: RangeLimits) -> Vec<(u64, u32)> {
    Pieces::new(Extent { lba, blocks }, &limits)
        .map(|piece| (piece.lba, piece.blocks))
        .collect()
}

const LIMITS: RangeLimits = RangeLimits {
    blocks: 20,
    segments: 4,
    alignment: 8,
};

#[test]
fn what_the_device_takes_whole_is_not_cut() {
    assert_eq!(pieces(3, 20, LIMITS), [(3, 20)]);
    assert_eq!(pieces(3, 0, LIMITS), []);
}

#[test]
fn cuts_lie_on_multiples_of_the_alignment() {
    assert_eq!(
        pieces(3, 50, LIMITS),
        [(3, 13), (16, 16), (32, 16), (48, 5)]
    );
}

#[test]
fn an_alignment_longer_than_a_piece_does_not_stop_it() {
    let limits = RangeLimits {
        alignment: 1000,
        ..LIMITS
    };
    assert_eq!(pieces(30, 45, limits), [(30, 20), (50, 20), (70, 5)]);
}

#[test]
fn pieces_cover_the_extent_once_and_obey_the_limit() {
    for alignment in 1..40 {
        for blocks in 1..30 {
            for (lba, len) in [(0, 1), (7, 100), (u64::MAX - 200, 199), (1 << 40, 333)] {
                let limits = RangeLimits {
                    blocks,
                    segments: 1,
                    alignment,
                };
                let mut at = lba;
                for (start, count) in pieces(lba, len, limits) {
                    assert_eq!(start, at);
                    assert!((1..=blocks).contains(&count));
                    at += u64::from(count);
                }
                assert_eq!(at, lba + u64::from(len));
            }
        }
    }
}

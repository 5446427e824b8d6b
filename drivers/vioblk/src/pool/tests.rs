use super::*;

fn number(n: u8) -> NonZeroU8 {
    NonZeroU8::new(n).unwrap()
}

fn block(len: usize) -> Dma {
    crate::ffi::dma::made_up(0x1000, len)
}

#[test]
fn every_piece_is_given_out_once() {
    let mut pool = Pool::new(block(16 * 64), 64);
    let mut taken: Vec<NonZeroU8> = std::iter::from_fn(|| pool.take()).collect();
    taken.sort_unstable();
    assert_eq!(taken, (1..=16).map(number).collect::<Vec<_>>());
    for again in [5, 1, 16] {
        pool.give(number(again));
        assert_eq!((pool.take(), pool.take()), (Some(number(again)), None));
    }
}

#[test]
fn pieces_lie_side_by_side() {
    let pool = Pool::new(block(3 * 64 + 63), 64);
    let places: Vec<u64> = (1..5)
        .filter_map(|n| pool.piece(number(n)))
        .map(|piece| piece.address())
        .collect();
    assert_eq!(places, [0x1000, 0x1040, 0x1080]);
    assert!((1..4).all(|n| pool.piece(number(n)).is_some_and(|piece| piece.len() == 64)));
}

#[test]
fn no_more_pieces_than_fit() {
    let count = |len, piece| {
        let mut pool = Pool::new(block(len), piece);
        std::iter::from_fn(move || pool.take()).count()
    };
    assert_eq!(count(63, 64), 0);
    assert_eq!(count(64, 64), 1);
    assert_eq!(count(100 * 64, 64), MAX_PIECES);
    assert_eq!(count(64, 0), 0);
    assert_eq!(Pool::EMPTY.piece(number(1)), None);
}

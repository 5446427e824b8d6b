use super::*;
use core::ptr::NonNull;

fn piece(n: usize) -> Dma {
    Dma { va: NonNull::dangling(), address: n as u64, len: 16 }
}

#[test]
fn every_piece_is_given_out_once() {
    let mut pool = Pool::EMPTY;
    assert_eq!(pool.take(), None);
    for n in 0..MAX_PIECES {
        assert!(pool.add(piece(n)));
    }
    assert!(!pool.add(piece(99)));
    let mut taken: Vec<u8> = std::iter::from_fn(|| pool.take()).collect();
    for n in &taken {
        assert_eq!(pool.piece(*n), Some(piece(usize::from(*n))));
    }
    taken.sort_unstable();
    assert_eq!(taken, (0..MAX_PIECES as u8).collect::<Vec<_>>());
    pool.give(5);
    assert_eq!((pool.take(), pool.take()), (Some(5), None));
}

use super::*;

fn totals(published: u32, completed: u32) -> Totals {
    Totals {
        published,
        completed,
    }
}

fn sums(counters: &Counters) -> (u64, u64) {
    (counters.published.sum, counters.completed.sum)
}

#[test]
fn what_the_ring_counts_is_widened_over_its_end() {
    let mut counters = Counters::ZERO;
    counters.look(totals(u32::MAX, u32::MAX - 3));
    counters.look(totals(u32::MAX, u32::MAX - 3));
    assert_eq!(sums(&counters), (0xffff_ffff, 0xffff_fffc));
    counters.look(totals(5, 1));
    assert_eq!(sums(&counters), (0x1_0000_0005, 0x1_0000_0001));
}

#[test]
fn another_ring_goes_on_where_the_last_one_ended() {
    let mut counters = Counters::ZERO;
    counters.look(totals(7, 5));
    counters.restart();
    counters.look(totals(0, 0));
    assert_eq!(sums(&counters), (7, 5));
    counters.look(totals(2, 1));
    assert_eq!(sums(&counters), (9, 6));
}

#[test]
fn pairs_lie_in_memory_in_their_order() {
    assert_eq!(pair(1, 2).as_bytes(), [1, 0, 0, 0, 2, 0, 0, 0]);
}

//! How long an interrupt may be put off: until three quarters of what is in flight are done.

use crate::event::delay;

#[test]
fn every_number_in_flight_waits_for_three_quarters() {
    for in_flight in 0..=u16::MAX {
        let wanted = (0_u32..)
            .find(|done| 4 * done >= 3 * u32::from(in_flight))
            .unwrap();
        // The buffer that makes it so many is the one with this many before it.
        let before = wanted.saturating_sub(1);
        assert_eq!(u32::from(delay(in_flight)), before, "{in_flight} in flight");
        assert!(in_flight == 0 || delay(in_flight) < in_flight);
    }
}

//! The lies of a device, and how far they have come.

use std::collections::BTreeMap;

use super::lies::{Lie, RingLie, What};
use crate::{Field, common};

/// A lie, and how far it has come.
#[derive(Debug)]
struct Course {
    lie: Lie,
    /// How often what it is about has happened.
    count: u64,
    /// How often it was told. What is true after all does not count.
    told: u64,
}

/// The lies of a device.
#[derive(Debug, Default)]
pub(super) struct Liar {
    lies: Vec<Course>,
    accesses: u64,
    fields: BTreeMap<Field, u64>,
    /// What the driver has written to the device status last.
    status: Option<u8>,
}

impl Liar {
    pub(super) fn new(lies: &[Lie]) -> Self {
        let course = |lie: &Lie| Course {
            lie: *lie,
            count: 0,
            told: 0,
        };
        Self {
            lies: lies.iter().map(course).collect(),
            ..Self::default()
        }
    }

    pub(super) fn accesses(&self) -> u64 {
        self.accesses
    }

    /// How often each lie was told.
    pub(super) fn told(&self) -> impl Iterator<Item = (String, u64)> {
        self.lies
            .iter()
            .map(|course| (course.lie.to_string(), course.told))
    }

    /// Counts a register access and says what happens at it.
    pub(super) fn access(&mut self) -> Vec<What> {
        self.accesses += 1;
        let mut due = Vec::new();
        for course in &mut self.lies {
            use What::{Interrupt, NeedsReset, Resize, Vanish};
            let what = course.lie.what;
            let at_access = matches!(what, Vanish | NeedsReset | Interrupt(_) | Resize(_));
            if at_access && course.lie.due(self.accesses) {
                course.told += 1;
                due.push(what);
            }
        }
        due
    }

    /// Notes what the driver has written to the device status.
    pub(super) fn status_written(&mut self, value: u8) {
        self.status = Some(value);
        for course in &mut self.lies {
            if matches!(course.lie.what, What::Status(..)) {
                course.count = 0;
            }
        }
    }

    /// What a read of a common configuration register gives instead of the truth.
    pub(super) fn common(&mut self, at: u64, truth: u64) -> u64 {
        let status = self.status.filter(|_| at == common::DEVICE_STATUS);
        let about = |what: &What, count: u64| match *what {
            What::Common(place, value) if place == at => Some(value),
            What::Status(written, value) if status == Some(written) => Some(value.into()),
            What::Generation if at == common::CONFIG_GENERATION => Some(count & 0xff),
            _ => None,
        };
        self.tell(about, truth)
    }

    /// Counts a read of a field of the device configuration.
    pub(super) fn count(&mut self, field: Field) {
        *self.fields.entry(field).or_default() += 1;
    }

    /// How often each field was read.
    pub(super) fn fields(&self) -> Vec<(Field, u64)> {
        self.fields
            .iter()
            .map(|(field, count)| (*field, *count))
            .collect()
    }

    /// What a read of a byte of the device configuration gives instead of the truth.
    pub(super) fn field(&mut self, at: u64, truth: u8) -> u8 {
        let about = |what: &What, _| match *what {
            What::Field(place, value) if place == at => Some(value.into()),
            _ => None,
        };
        self.tell(about, truth.into()) as u8
    }

    /// What a read gives: the truth, or what a lie that is about it has instead.
    fn tell(&mut self, about: impl Fn(&What, u64) -> Option<u64>, truth: u64) -> u64 {
        let mut said = truth;
        for course in &mut self.lies {
            let Some(value) = about(&course.lie.what, course.count + 1) else {
                continue;
            };
            course.count += 1;
            let due = match course.lie.what {
                // Its count begins anew, so that only what was told says how often it lies.
                What::Status(..) => {
                    course.count >= course.lie.at
                        && (course.lie.times == 0 || course.told < course.lie.times)
                }
                _ => course.lie.due(course.count),
            };
            if due {
                said = value;
                course.told += u64::from(value != truth);
            }
        }
        said
    }

    /// The sectors that the disk has once the `number`th request is finished.
    pub(super) fn grow(&mut self, number: u64) -> Option<u64> {
        self.lies
            .iter_mut()
            .find_map(|course| match course.lie.what {
                What::Grow(sectors) if course.lie.due(number) => {
                    course.told += 1;
                    Some(sectors)
                }
                _ => None,
            })
    }

    /// How the device finishes its `number`th request wrongly.
    pub(super) fn ring(&self, number: u64) -> Option<RingLie> {
        self.lies.iter().find_map(|course| match course.lie.what {
            What::Ring(what) if course.lie.due(number) => Some(what),
            _ => None,
        })
    }

    /// Notes that it has told this lie so many times.
    pub(super) fn told_ring(&mut self, lie: RingLie, times: u64) {
        let same = |course: &&mut Course| course.lie.what == What::Ring(lie);
        // Of two of a kind none says which: either is told.
        for course in self.lies.iter_mut().filter(same) {
            course.told += times;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn liar(lies: &[&str]) -> Liar {
        let lies: Vec<Lie> = lies.iter().map(|lie| Lie::parse(lie).unwrap()).collect();
        Liar::new(&lies)
    }

    fn told(liar: &Liar) -> Vec<u64> {
        liar.told().map(|(_, told)| told).collect()
    }

    #[test]
    fn lies_come_when_they_are_due() {
        let mut liar = liar(&["common=14:40@2x2", "vanish@3", "never@2x0"]);
        let said: Vec<u64> = (0..4).map(|_| liar.common(0x14, 15)).collect();
        assert_eq!(said, [15, 0x40, 0x40, 15]);
        assert_eq!(liar.common(0x15, 1), 1);
        let acts: Vec<usize> = (0..4).map(|_| liar.access().len()).collect();
        assert_eq!(acts, [0, 0, 1, 0]);
        assert_eq!(
            [1, 2, 9].map(|n| liar.ring(n).is_some()),
            [false, true, true]
        );
        liar.told_ring(RingLie::Never, 2);
        liar.told_ring(RingLie::IdTwice, 1);
        assert_eq!(told(&liar), [2, 1, 2]);
    }

    #[test]
    fn what_is_true_or_never_asked_for_was_not_told() {
        let mut liar = liar(&[
            "common=1c:0@1x0",
            "common=18:10@3",
            "field=0:7@1",
            "grow=9@4",
        ]);
        for _ in 0..2 {
            liar.common(0x1c, 0);
            liar.common(0x18, 8);
        }
        assert_eq!(liar.field(0, 7), 7);
        assert_eq!(liar.grow(3), None);
        assert_eq!(told(&liar), [0, 0, 0, 0]);
        liar.common(0x18, 8);
        assert_eq!(liar.grow(4), Some(9));
        assert_eq!(told(&liar), [0, 1, 0, 1]);
    }

    #[test]
    fn a_lie_about_the_status_counts_from_what_was_written() {
        let mut liar = liar(&["status=b:3@2", "status=f:4f@1x0"]);
        let status = |liar: &mut Liar, truth| liar.common(common::DEVICE_STATUS, truth);
        assert_eq!(status(&mut liar, 11), 11);
        for (written, said) in [(11, [11, 3]), (15, [0x4f, 0x4f]), (11, [11, 11])] {
            liar.status_written(written);
            let read = [(); 2].map(|()| status(&mut liar, written.into()));
            assert_eq!(read, said, "{written:#x}");
        }
        // Another register is not meant.
        liar.status_written(15);
        assert_eq!(liar.common(common::CONFIG_GENERATION, 0), 0);
        assert_eq!(told(&liar), [1, 2]);
    }
}

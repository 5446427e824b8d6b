//! The buffers that a device holds, by id and in the order in which it took them.

use std::collections::{BTreeMap, HashMap};

use crate::{Memory, Violation};

/// A buffer in the device's hands, with what its descriptors were when it was taken.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) id: u16,
    /// Descriptors that it takes in the ring.
    pub(crate) descriptors: u16,
    /// Device address and content of each piece of memory that the driver must leave alone.
    pub(crate) frozen: Vec<(u64, Vec<u8>)>,
}

impl Held {
    /// Fails if the driver has changed what it had lent.
    pub(crate) fn check_unchanged(&self, memory: &impl Memory) -> Result<(), Violation> {
        for (address, content) in &self.frozen {
            let mut now = vec![0; content.len()];
            memory.read(*address, &mut now)?;
            if let Some(at) = now.iter().zip(content).position(|(now, then)| now != then) {
                return Err(Violation::Changed {
                    address: address + (at as u64 & !15),
                    id: self.id,
                });
            }
        }
        Ok(())
    }
}

/// All buffers held.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    by_age: BTreeMap<u64, Held>,
    age_of: HashMap<u16, u64>,
    next_age: u64,
}

impl Ledger {
    pub(crate) fn contains(&self, id: u16) -> bool {
        self.age_of.contains_key(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_age.len()
    }

    pub(crate) fn insert(&mut self, held: Held) {
        self.age_of.insert(held.id, self.next_age);
        self.by_age.insert(self.next_age, held);
        self.next_age += 1;
    }

    /// The buffer `id`, which with `in_order` has to be the oldest.
    pub(crate) fn take(&mut self, id: u16, in_order: bool) -> Result<Held, Violation> {
        let oldest = self.by_age.first_key_value().map(|(age, _)| *age);
        match self.age_of.get(&id) {
            Some(age) if !in_order || Some(*age) == oldest => {
                let held = self.by_age.remove(age).ok_or(Violation::NotHeld { id })?;
                self.age_of.remove(&id);
                Ok(held)
            }
            _ => Err(Violation::NotHeld { id }),
        }
    }

    /// All buffers up to and including `last`, oldest first.
    pub(crate) fn take_up_to(&mut self, last: u16) -> Result<Vec<Held>, Violation> {
        let age = *self
            .age_of
            .get(&last)
            .ok_or(Violation::NotHeld { id: last })?;
        let younger = self.by_age.split_off(&(age + 1));
        let taken = std::mem::replace(&mut self.by_age, younger);
        let taken: Vec<Held> = taken.into_values().collect();
        for held in &taken {
            self.age_of.remove(&held.id);
        }
        Ok(taken)
    }

    pub(crate) fn ids(&self) -> Vec<u16> {
        self.by_age.values().map(|held| held.id).collect()
    }
}

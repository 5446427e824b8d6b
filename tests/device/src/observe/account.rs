//! Who has each buffer, as far as the driver can know.
//!
//! A driver takes the nth used entry with an id for its nth buffer of that name, and uses the name again only then. So the buffers of a
//! name that it must not touch are those beyond as many as there were entries with it. Whatever a device lies, an entry too many touches
//! one buffer at a time: the one that it is taken for, then, when the device really gives that one back, the next of the name.

use super::Chain;

/// The account of all queues.
#[derive(Default)]
pub(super) struct Account {
    outstanding: Vec<Chain>,
    /// Chains that the device has, and that an entry was about which the driver had to take for theirs.
    deceived: Vec<Chain>,
    /// Queue and id of entries that are about the next buffer of that name.
    early: Vec<(usize, u32)>,
    /// Chains that the device may or may not have, as entries were overwritten unseen.
    doubtful: Vec<Chain>,
}

impl Account {
    /// The chains that the device certainly has, and that the driver has no reason to take for given back.
    pub(super) fn outstanding(&self) -> &[Chain] {
        &self.outstanding
    }

    /// Takes in a buffer that was made available. False: the driver may take it for given back at once.
    pub(super) fn published(&mut self, chain: Chain) -> bool {
        let (queue, id) = (usize::from(chain.queue), u32::from(chain.head));
        // A head that is used again has been given back.
        self.doubtful.retain(|other| !is_named(other, queue, id));
        let early = self.early.iter().position(|early| *early == (queue, id));
        match early {
            Some(at) => {
                self.early.swap_remove(at);
                self.deceived.push(chain);
            }
            None => self.outstanding.push(chain),
        }
        early.is_none()
    }

    /// Takes in an entry with this id. False: the device had no such buffer. Then it is about the next one, by [`Self::expect`].
    pub(super) fn returned(&mut self, queue: usize, id: u32) -> bool {
        let next = take_oldest(&mut self.outstanding, queue, id);
        let early = take_oldest(&mut self.deceived, queue, id).is_some();
        match (next, early) {
            // The device gives back what it was taken to have given back, and the entry is taken for that of the one behind.
            (Some(next), true) => self.deceived.push(next),
            (None, true) => self.expect(queue, id),
            (Some(_), false) => {}
            (None, false) => return take_oldest(&mut self.doubtful, queue, id).is_some(),
        }
        true
    }

    /// Forgets a buffer that was taken for given back when it was made available, in a ring where its own entry is known for none.
    pub(super) fn forget_deceived(&mut self, queue: usize, id: u32) {
        take_oldest(&mut self.deceived, queue, id);
    }

    /// The next buffer of this name counts as given back.
    pub(super) fn expect(&mut self, queue: usize, id: u32) {
        self.early.push((queue, id));
    }

    /// Claims no longer of any chain of a queue that the device has it.
    pub(super) fn doubt(&mut self, queue: usize) {
        for chains in [&mut self.outstanding, &mut self.deceived] {
            let of_queue = chains.extract_if(.., |chain| usize::from(chain.queue) == queue);
            self.doubtful.extend(of_queue);
        }
    }
}

fn is_named(chain: &Chain, queue: usize, id: u32) -> bool {
    usize::from(chain.queue) == queue && u32::from(chain.head) == id
}

/// Removes the oldest of these chains that has this name.
fn take_oldest(chains: &mut Vec<Chain>, queue: usize, id: u32) -> Option<Chain> {
    let named = chains.iter().enumerate();
    let named = named.filter(|(_, chain)| is_named(chain, queue, id));
    let (at, _) = named.min_by_key(|(_, chain)| chain.number)?;
    Some(chains.swap_remove(at))
}

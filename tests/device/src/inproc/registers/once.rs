//! What the device does wrong at one time of its life, and whether that time has come.

use super::Registers;
use crate::inproc::Config;

/// The properties that say so, each with how often it was done.
pub(super) struct Once(Vec<(&'static str, u64)>);

impl Once {
    pub(super) fn new(config: &Config) -> Self {
        let planned = [
            ("early-used", config.early_used > 0),
            ("early-area", config.early_area > 0),
            ("late-ring", config.late_ring > 0),
            ("gone-after-write", config.gone_after_write.is_some()),
        ];
        let planned = planned.into_iter().filter(|(_, planned)| *planned);
        Self(planned.map(|(name, _)| (name, 0)).collect())
    }

    /// Notes that it was done.
    pub(super) fn done(&mut self, name: &str) {
        for (_, times) in self.0.iter_mut().filter(|(known, _)| *known == name) {
            *times += 1;
        }
    }
}

impl Registers {
    /// All that the device was told to do wrong at some time, and how often it has.
    pub(in crate::inproc) fn told(&self) -> Vec<(String, u64)> {
        let once = self.once.0.iter();
        let once = once.map(|(name, times)| ((*name).to_owned(), *times));
        self.liar.told().chain(once).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_planned_is_told_of() {
        let mut config = Config::new(std::path::Path::new(""));
        config.set("late-ring", "4").unwrap();
        let mut once = Once::new(&config);
        once.done("early-used");
        assert_eq!(once.0, [("late-ring", 0)]);
        once.done("late-ring");
        assert_eq!(once.0, [("late-ring", 1)]);
    }
}

//! What the lies of a plan are to blame for, and not the driver: each lie for what it leads to and for nothing else.

use test_device::inproc::{Config, Lie, RingLie, What};

use super::enumerate::TELLING;
use super::plan::{Judgement, Plan, SIZE};
use super::rows::Verdict;

/// What can come of a plan's faults for requests and for the start, at worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// Nothing.
    None,
    /// The device is reset or given up: requests are cut off, or there is no device.
    CutOff,
    /// Anything that is told properly.
    Any,
}

/// What all faults of a plan, whose device has this configuration, can do.
pub fn harm(plan: &Plan, config: &Config) -> Harm {
    let lies = plan.lies.iter().map(|lie| of_lie(lie.what));
    // What cannot be told to the log or to event tracing is no reason to do anything else.
    let matters = |fault: &host_ntos::inject::Fault| !TELLING.contains(&&*fault.call);
    let call = plan.calls.iter().any(matters).then_some(Harm::Any);
    let row = matches!(plan.judgement, Judgement::Row(_)).then_some(Harm::Any);
    let silent = config.hang > 0 || config.needs_reset_every > 0;
    let silent = silent.then_some(Harm::CutOff);
    let fails = (!config.faults.is_empty()).then_some(Harm::Any);
    let faults = [call, row, silent, fails].into_iter().flatten();
    lies.chain(faults).max().unwrap_or(Harm::None)
}

/// The register access at which the device asks for a reset, of a plan in which it does so once and nothing else does harm.
pub fn one_reset(plan: &Plan, config: &Config) -> Option<u64> {
    let asks = |lie: &Lie| lie.what == What::NeedsReset;
    let mut requests = plan.lies.iter().filter(|lie| asks(lie));
    let one = requests.next()?;
    let mut rest = plan.clone();
    rest.lies.retain(|lie| !asks(lie));
    let alone = one.times == 1 && requests.next().is_none() && harm(&rest, config) == Harm::None;
    alone.then_some(one.at)
}

fn of_lie(lie: What) -> Harm {
    use RingLie::{
        DescriptorZeros, EntryChanges, EveryInterrupt, IdNotOutstanding, IdTwice, IndexAhead,
        IndexBack, NextUsed, NoWrite, NotDone, OtherId, RequestOnes, StatusReserved,
        StatusUnwritten, StrayFlags, TooShort,
    };
    match lie {
        What::Interrupt(_) | What::Ring(EveryInterrupt | NotDone | RequestOnes) => Harm::None,
        What::Ring(EntryChanges | NoWrite | StrayFlags) => Harm::None,
        // What is called done here was not; zeros are used descriptors of the buffer 0 in every second lap.
        What::Ring(NextUsed | DescriptorZeros) => Harm::Any,
        // The request fails, or another one does, which the device has not looked at yet.
        What::Ring(
            IdNotOutstanding | IdTwice | IndexAhead | IndexBack | OtherId | StatusReserved
            | StatusUnwritten | TooShort,
        ) => Harm::Any,
        What::Ring(_) | What::NeedsReset | What::Vanish | What::Generation => Harm::CutOff,
        // An honest device: all that the workload uses stays where it is.
        What::Resize(sectors) | What::Grow(sectors) if sectors >= SIZE / 512 => Harm::None,
        What::Common(..) | What::Status(..) | What::Field(..) => Harm::Any,
        What::Resize(_) | What::Grow(_) => Harm::Any,
    }
}

/// Whether a lie of the plan leads to this violation of a rule, whatever the driver does.
pub fn explains(plan: &Plan, rule: &str, what: &str) -> bool {
    match rule {
        "device" => led_to(plan, what),
        // Zeros over a used descriptor that the driver has not come to are another one for it, of buffer 0, which the observer, who has read
        // the first, cannot know of. From then on it reads at other places than the device writes to, where another lie may have left
        // what looks used.
        "early-completion" => {
            let others =
                |lie: &Lie| !matches!(lie.what, What::Ring(lie) if lie != RingLie::DescriptorZeros);
            names_buffer_0(plan)
                && (what.contains("still holds its chain 0 of") || !plan.lies.iter().all(others))
        }
        // A device that never says that it has stopped cannot be waited for.
        "dma-after-stop" => {
            let forever = |lie: &Lie| {
                lie.times == 0
                    && matches!(lie.what, What::Common(STATUS, value) if value as u8 != 0)
            };
            let never = ("reset-reads".to_owned(), "none".to_owned());
            plan.lies.iter().any(forever) || plan.device.contains(&never)
        }
        _ => false,
    }
}

/// Whether zeros are a used descriptor of buffer 0. In a split ring nobody reads what the driver wrote there but the device.
fn names_buffer_0(plan: &Plan) -> bool {
    let packed = ("packed".to_owned(), "on".to_owned());
    let zeros = |lie: &Lie| lie.what == What::Ring(RingLie::DescriptorZeros);
    plan.device.contains(&packed) && plan.lies.iter().any(zeros)
}

/// Whether the driver has no way to know that data is not what a status says. Where it has to find the lie out, it has.
pub fn spoils_data(plan: &Plan) -> bool {
    let found_out = plan.judgement == Judgement::Row(Verdict::Closed);
    !found_out && (plan.lies.iter().any(|lie| lie.what.spoils_data()) || names_buffer_0(plan))
}

/// Registers of the common configuration. // Virtio 1.3 §4.1.4.3
const DEVICE_FEATURE: u64 = 0x04;
const NUM_QUEUES: u64 = 0x12;
const STATUS: u64 = 0x14;
const QUEUE_SIZE: u64 = 0x18;
const QUEUE_NOTIFY_OFF: u64 = 0x1e;

/// What the device and its observer find when they follow rings that a lie has changed, or a driver that believes one.
fn led_to(plan: &Plan, what: &str) -> bool {
    use RingLie::{
        AvailOnes, DescriptorOnes, DescriptorZeros, IdAllOnes, IdNotOutstanding, IdOutOfRange,
        IdTwice, IndexAhead, IndexFar, NextUsed, OtherId, UsedOnes,
    };
    let consequence = |lie: What| -> &[&str] {
        match lie {
            What::Ring(IdTwice | IndexAhead | IndexFar) => &["the device gave back"],
            What::Ring(IdOutOfRange | IdAllOnes | IdNotOutstanding | OtherId | UsedOnes) => {
                &["the device gave back"]
            }
            What::Ring(NextUsed) => &["the device gave back"],
            // Its own reading of what it has overwritten.
            What::Ring(AvailOnes) => &["index 65535 of", "driver's event suppression of"],
            // In a packed ring a driver may believe that buffer 0 was used, and use its id again.
            What::Ring(DescriptorZeros) => &[
                "the device gave back",
                "of a chain is not available",
                "buffer id 0 is in flight already",
            ],
            What::Ring(DescriptorOnes) => {
                &["INDIRECT together with NEXT", "which was not negotiated"]
            }
            What::Common(DEVICE_FEATURE, _) => &["which were not offered"],
            What::Common(NUM_QUEUES, _) => &["which does not exist"],
            What::Common(STATUS, _) | What::Status(..) => &[
                "before the reset was done",
                "before FEATURES_OK",
                "without FEATURES_OK",
                "skips a step",
                "cleared status bits",
            ],
            What::Common(QUEUE_SIZE, _) => &["entries, it has"],
            What::Common(QUEUE_NOTIFY_OFF, _) => {
                &["notified with", "notified queue", "was not notified"]
            }
            // What is in flight when a disk becomes shorter, and what a driver sends that takes it for longer.
            What::Resize(sectors) if sectors < SIZE / 512 => &["§5.2.6.1: sectors "],
            What::Field(0..8, _) => &["§5.2.6.1: sectors "],
            What::Field(8..12, _) => &["§5.2.3: a segment of "],
            What::Field(12..16, _) => &[" segments, seg_max is "],
            _ => &[],
        }
    };
    plan.lies
        .iter()
        .flat_map(|lie| consequence(lie.what))
        .any(|words| what.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(lies: &[&str]) -> Plan {
        Plan {
            lies: lies.iter().map(|lie| Lie::parse(lie).unwrap()).collect(),
            ..Plan::whole_life()
        }
    }

    #[test]
    fn a_lie_explains_what_it_leads_to_and_nothing_else() {
        let far = plan(&["index-far@20"]);
        let led = "Virtio 1.3 §2.7.8: the device gave back 25 buffers on queue 0, whose size is 16";
        let own = "Virtio 1.3 §2.7.6.1: avail.idx went from 3 to 300, the size is 16";
        assert!(explains(&far, "device", led));
        assert!(!explains(&far, "device", own));
        assert!(!explains(&plan(&["interrupt=1@3"]), "device", led));
        assert!(!explains(&plan(&["index-ahead@20"]), "device", own));
        let long = "Virtio 1.3 §5.2.3: a segment of 4351 bytes, size_max is 4096";
        assert!(explains(&plan(&["field=9:ff@1"]), "device", long));
        assert!(!explains(&plan(&["field=d:ff@1"]), "device", long));
        // Of each request the observer of the rings knows whether a lie made the driver complete it.
        for (lie, _) in test_device::inproc::RING_LIES {
            let lie = format!("{lie}@3");
            assert!(!explains(&plan(&[&lie]), "early-completion", ""), "{lie}");
        }
        assert!(explains(&plan(&["common=14:ff@3x0"]), "dma-after-stop", ""));
        for stops in ["common=14:ff@3", "common=14:0@3x0", "needs-reset@3x0"] {
            assert!(!explains(&plan(&[stops]), "dma-after-stop", ""), "{stops}");
        }
        let beyond = "Virtio 1.3 §5.2.6.1: sectors 4000+8 of 2048";
        assert!(explains(&plan(&["resize=1@3"]), "device", beyond));
        assert!(!explains(&plan(&["resize=4096@3"]), "device", beyond));
        assert!(!explains(&plan(&["vanish@3"]), "device", beyond));
        let silent = "Virtio 1.3 §2.8.21.2: queue 0: the device was not notified of what it asked to be notified of";
        assert!(explains(&plan(&["common=1e:ffff@1x0"]), "device", silent));
        assert!(!explains(&plan(&["too-far@3"]), "device", silent));
        let partial = "Virtio 1.3 §2.8.17: packed queue 0: descriptor 3 of a chain is not available though the first one is";
        assert!(explains(&plan(&["descriptor-zeros@3"]), "device", partial));
        assert!(!explains(&plan(&["next-used@3"]), "device", partial));
        let again = |id| {
            format!("Virtio 1.3 §2.8.21.1: packed queue 0: buffer id {id} is in flight already")
        };
        let zeros = plan(&["descriptor-zeros@3"]);
        assert!(explains(&zeros, "device", &again(0)));
        // No other id is in zeros.
        assert!(!explains(&zeros, "device", &again(10)));
    }

    #[test]
    fn zeros_explain_an_early_completion_of_buffer_0_in_packed_rings_only() {
        let explained = |packed: bool, lie: &str, chain: u16| {
            let mut plan = plan(&[lie]);
            if packed {
                plan.device.push(("packed".into(), "on".into()));
            }
            let what = format!(
                "SRB 0x1000 is completed while the device still holds its chain {chain} of queue 1"
            );
            explains(&plan, "early-completion", &what)
        };
        assert!(explained(true, "descriptor-zeros@20", 0));
        assert!(!explained(true, "descriptor-zeros@20", 1));
        assert!(!explained(true, "descriptor-zeros@20", 10));
        assert!(!explained(false, "descriptor-zeros@20", 0));
        assert!(!explained(true, "id-twice@20", 0));

        let mut both = plan(&["descriptor-zeros@20", "interrupt=0@9"]);
        both.device.push(("packed".into(), "on".into()));
        let nine = "still holds its chain 9 of queue 0";
        assert!(!explains(&both, "early-completion", nine));
        both.lies.push(Lie::parse("other-lap@55x0").unwrap());
        assert!(explains(&both, "early-completion", nine));
        assert!(spoils_data(&both));
        assert!(!spoils_data(&plan(&["descriptor-zeros@20"])));
    }

    #[test]
    fn what_names_a_request_to_come_spoils_data_and_what_names_none_does_not() {
        for lie in ["id-not-outstanding@12", "id-twice@12", "index-ahead@12"] {
            assert!(spoils_data(&plan(&[lie])), "{lie}");
        }
        for lie in ["id-out-of-range@12", "id-all-ones@12", "index-far@12"] {
            assert!(!spoils_data(&plan(&[lie])), "{lie}");
        }
        let mut row = plan(&["id-not-outstanding@12"]);
        row.judgement = Judgement::Row(Verdict::Closed);
        assert!(!spoils_data(&row));
        row.judgement = Judgement::Row(Verdict::Survived);
        assert!(spoils_data(&row));
    }

    #[test]
    fn one_reset_is_one_and_nothing_else() {
        let config = Config::new(std::path::Path::new(""));
        let at = |lies: &[&str]| one_reset(&plan(lies), &config);
        assert_eq!(at(&["needs-reset@7"]), Some(7));
        assert_eq!(at(&["interrupt=1@3", "needs-reset@7"]), Some(7));
        assert_eq!(at(&["interrupt=1@3"]), None);
        assert_eq!(at(&["needs-reset@7x2"]), None);
        assert_eq!(at(&["needs-reset@7", "needs-reset@9"]), None);
        assert_eq!(at(&["needs-reset@7", "vanish@9"]), None);
        let mut hangs = config.clone();
        hangs.hang = 1;
        assert_eq!(one_reset(&plan(&["needs-reset@7"]), &hangs), None);
    }

    #[test]
    fn the_worst_fault_says_what_may_happen() {
        let config = Config::new(std::path::Path::new(""));
        let harm = |lies: &[&str]| harm(&plan(lies), &config);
        assert_eq!(harm(&[]), Harm::None);
        assert_eq!(harm(&["interrupt=1@3", "every-interrupt@1x0"]), Harm::None);
        // A disk that grows and is never smaller than it was at first lies about nothing.
        assert_eq!(harm(&["grow=2112@12", "grow=2048@23"]), Harm::None);
        assert_eq!(harm(&["resize=4096@12"]), Harm::None);
        assert_eq!(harm(&["grow=2047@12"]), Harm::Any);
        assert_eq!(harm(&["resize=1@12"]), Harm::Any);
        assert_eq!(harm(&["interrupt=1@3", "id-all-ones@4"]), Harm::CutOff);
        assert_eq!(harm(&["id-all-ones@4", "too-short@9"]), Harm::Any);
        let mut hangs = config.clone();
        hangs.hang = 1;
        assert_eq!(super::harm(&plan(&[]), &hangs), Harm::CutOff);
    }
}

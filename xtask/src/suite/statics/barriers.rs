//! ORDER_PLATFORM on ARM64: the barriers that a hardware device needs are in the driver that is packed.
//!
//! The compiler has no name for them, so that no test on another processor sees whether they are there.

use anyhow::{Context as _, Result, ensure};

use super::super::{Context, Outcome};
use winpv::drivers::Arch;

/// `DMB ISH`, `DMB OSH`, `DMB OSHLD`. // Arm ARM DDI 0487 §C6.2, DMB: the option in bits 8 to 11
const DMB_ISH: u32 = 0xd503_3bbf;
const DMB_OSH: u32 = 0xd503_33bf;
const DMB_OSHLD: u32 = 0xd503_31bf;
const NOP: u32 = 0xd503_201f;
/// `LDRB`, `LDRH` and `LDR` of a word, without offset: a register access, which has a barrier of its own. // §C6.2
const LOADS: [u32; 3] = [0x3940_0000, 0x7940_0000, 0xb940_0000];
/// `LDARH`: the look at what a device has used. // §C6.2
const LDARH: u32 = 0x48df_fc00;
/// Bits of these that are no register number.
const OPCODE: u32 = 0xffff_fc00;
/// Words between an access and its barrier, which the feature makes conditional.
const NEAR: usize = 5;
/// Words between the barrier before a buffer is shown and the fence after it.
const SHOWN: usize = 8;
/// Code for split and packed rings stands side by side, wherever it is inlined.
const FORMATS: usize = 2;
/// Least number of looks: in each, in order and not.
const LOOKS: usize = 4;

/// The checks.
pub fn all(context: &Context) -> Result<Vec<Outcome>> {
    let driver = winpv::drivers::packages()
        .find(|driver| driver.name == "vioblk")
        .context("vioblk is not in the pack")?;
    let sys = std::fs::read(context.dist.join(driver.file(Arch::Arm64, "sys")))?;
    let words: Vec<u32> = sys
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        .collect();
    let ours = barriers(&words);
    Ok(vec![
        Outcome::of("vioblk arm64 has the barriers of ORDER_PLATFORM", || {
            judge(&words)
        }),
        Outcome::of("vioblk arm64: a barrier less is found", || {
            ensure!(!ours.is_empty(), "there is none");
            for at in &ours {
                let mut less = words.clone();
                less[*at] = NOP;
                ensure!(judge(&less).is_err(), "not the one at {:#x}", at * 4);
            }
            Ok(())
        }),
    ])
}

/// Where the rings' barriers are, without those of registers.
fn barriers(words: &[u32]) -> Vec<usize> {
    let of_register = |at: usize| LOADS.contains(&(words[at - 1] & OPCODE));
    (1..words.len())
        .filter(|&at| words[at] == DMB_OSH || words[at] == DMB_OSHLD && !of_register(at))
        .collect()
}

/// Whether each full fence of a ring and each look has its barrier, and there are enough.
fn judge(words: &[u32]) -> Result<()> {
    let near = |at: usize, barrier| words[at..].iter().take(NEAR).any(|word| *word == barrier);
    let places = |matches: &dyn Fn(u32) -> bool| -> Vec<usize> {
        (0..words.len()).filter(|at| matches(words[*at])).collect()
    };
    let fences = places(&|word| word == DMB_ISH);
    let looks = places(&|word| word & OPCODE == LDARH);
    let all = places(&|word| word == DMB_OSH);
    // Others are not the rings': for Windows, LLVM ends sequentially consistent accesses with a full fence.
    let rings = fences.iter().filter(|at| near(**at, DMB_OSH));
    // Publishing has one more, before a buffer is shown; arming has not.
    let shows = |at: &usize| words[at.saturating_sub(SHOWN)..*at].contains(&DMB_OSH);
    let (publish, arm): (Vec<usize>, Vec<usize>) = rings.partition(|at| shows(at));
    let (publish, arm) = (publish.len(), arm.len());
    let whole = |count: usize| count >= FORMATS && count.is_multiple_of(FORMATS);
    ensure!(
        whole(publish) && whole(arm) && all.len() == 2 * publish + arm && looks.len() >= LOOKS,
        "{} full fences of which {publish} publish and {arm} arm, {} full barriers, {} looks",
        fences.len(),
        all.len(),
        looks.len()
    );
    for at in looks {
        ensure!(near(at, DMB_OSHLD), "look at {:#x} without", at * 4);
    }
    Ok(())
}

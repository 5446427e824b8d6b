//! Every target over its corpus, and over random changes of it: the same ones in every run.

use std::fs;
use std::path::Path;

use virtio_fuzz::{TARGETS, Target};

/// Changed inputs for each target.
const CHANGES: u64 = if cfg!(miri) { 3 } else { 20_000 };
/// Longest input that changes lead to, in bytes.
const LONGEST: usize = 512;

/// Random numbers from a counter. // Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// The target's inputs, in the order of their names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// An input like some that are there.
fn change(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(4) {
            0 if at < input.len() => input[at] = random.next() as u8,
            1 if at < input.len() => input[at] ^= 1 << random.below(8),
            2 => input.insert(at, random.next() as u8),
            // The front of one, the end of another.
            _ => {
                let other = &corpus[random.below(corpus.len())];
                input.truncate(at);
                input.extend(&other[random.below(other.len() + 1)..]);
            }
        }
    }
    input.truncate(LONGEST);
    input
}

/// Shows the input that made a target panic.
struct Shown<'a>(&'static str, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.1.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("target {} panics at input {hex}", self.0);
        }
    }
}

fn run((name, target): Target) {
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "no corpus for {name}");
    let mut random = Random(0);
    let changes = (0..CHANGES).map(|_| change(&corpus, &mut random));
    let inputs: Vec<_> = if cfg!(miri) {
        corpus.iter().take(8).cloned().chain(changes).collect()
    } else {
        corpus.iter().cloned().chain(changes).collect()
    };
    for input in inputs {
        let shown = Shown(name, &input);
        target(&input);
        drop(shown);
    }
}

/// One test for each target.
macro_rules! targets {
    ($($name:ident),+) => {
        $(#[test]
        fn $name() {
            let target = TARGETS.into_iter().find(|(name, _)| *name == stringify!($name));
            run(target.unwrap());
        })+

        #[test]
        fn every_target_is_run() {
            assert_eq!(TARGETS.map(|(name, _)| name), [$(stringify!($name)),+]);
        }
    };
}
targets!(split, packed, capability, modern, legacy);

//! Memory, its placements and its guard pages.

use super::*;

fn ram(mib: usize) -> Ram {
    Ram::new(mib << 20, 7).expect("memory")
}

fn adjacent(block: &Block) -> usize {
    block
        .pages()
        .windows(2)
        .filter(|pair| pair[1] == pair[0] + PAGE as u64)
        .count()
}

#[test]
fn a_block_and_the_device_see_the_same_bytes() {
    let ram = ram(8);
    for placement in [
        Placement::Contiguous,
        Placement::Scattered,
        Placement::Random,
    ] {
        let block = ram.alloc(10 * PAGE + 1, placement).expect("block");
        assert_eq!(block.len(), 11 * PAGE);
        for offset in (0..block.len()).step_by(1021) {
            let va = block.va().wrapping_add(offset);
            // SAFETY: inside the block.
            unsafe { va.write(offset as u8 ^ 0x5a) };
            let (address, left) = ram.device_address(va).expect("mapped");
            assert!(left >= PAGE - offset % PAGE);
            assert_eq!(
                address,
                block.pages()[offset / PAGE] + (offset % PAGE) as u64
            );
            let seen = ram.device_slice(address, 1).expect("in memory");
            // SAFETY: inside the memory.
            assert_eq!(unsafe { seen.read() }, offset as u8 ^ 0x5a);
        }
        assert_eq!(
            ram.device_address(block.va().wrapping_add(block.len())),
            None
        );
        assert_eq!(ram.device_address(block.va().wrapping_sub(1)), None);
    }
}

#[test]
fn placements_are_what_they_say() {
    let ram = ram(16);
    let contiguous = ram.alloc(64 * PAGE, Placement::Contiguous).expect("block");
    assert_eq!(adjacent(&contiguous), 63);
    assert_eq!(
        ram.device_address(contiguous.va().wrapping_add(5))
            .expect("mapped")
            .1,
        64 * PAGE - 5
    );
    let scattered = ram.alloc(512 * PAGE, Placement::Scattered).expect("block");
    assert_eq!(adjacent(&scattered), 0);
    assert_eq!(
        ram.device_address(scattered.va().wrapping_add(5))
            .expect("mapped")
            .1,
        PAGE - 5
    );
    let random = ram.alloc(512 * PAGE, Placement::Random).expect("block");
    assert!(
        (64..500).contains(&adjacent(&random)),
        "{}",
        adjacent(&random)
    );
    for block in [contiguous, scattered, random] {
        assert!(block.pages().iter().all(|&page| page >= 2 << 20));
    }
}

#[test]
fn frames_come_back_and_addresses_do_not() {
    let ram = ram(4);
    let free = ram.free();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..1000 {
        let block = ram.alloc(free, Placement::Random).expect("all of it");
        assert!(seen.insert(block.va() as usize));
        assert!(ram.alloc(1, Placement::Contiguous).is_none());
    }
    assert_eq!(ram.free(), free);
    assert_eq!(ram.device_slice(4 << 20, 1), None);
    assert_eq!(ram.device_slice(u64::MAX, 2), None);
    assert!(ram.device_slice((4 << 20) - 1, 1).is_some());
}

#[test]
fn the_same_seed_gives_the_same_frames() {
    let pages = |seed| {
        let ram = Ram::new(8 << 20, seed).expect("memory");
        let kept = ram.alloc(100 * PAGE, Placement::Random).expect("block");
        drop(ram.alloc(100 * PAGE, Placement::Scattered));
        let last = ram.alloc(100 * PAGE, Placement::Scattered).expect("block");
        [kept.pages(), last.pages()].concat()
    };
    assert_eq!(pages(1), pages(1));
    assert_ne!(pages(1), pages(2));
}

#[test]
fn too_many_mappings_are_refused_and_not_fatal() {
    let ram = ram(400);
    let mut blocks = Vec::new();
    while let Some(block) = ram.alloc(1000 * PAGE, Placement::Scattered) {
        blocks.push(block);
    }
    assert!(blocks.len() >= 45, "{}", blocks.len());
    blocks.pop();
    assert!(ram.alloc(1000 * PAGE, Placement::Scattered).is_some());
}

#[test]
fn another_process_can_open_the_file() {
    let ram = ram(4);
    let block = ram.alloc(1, Placement::Contiguous).expect("block");
    // SAFETY: inside the block.
    unsafe { block.va().cast::<u32>().write(0x1234_5678) };
    let mut file = File::open(ram.path()).expect("open");
    io::Seek::seek(&mut file, io::SeekFrom::Start(block.pages()[0])).expect("seek");
    let mut bytes = [0; 4];
    io::Read::read_exact(&mut file, &mut bytes).expect("read");
    assert_eq!(u32::from_le_bytes(bytes), 0x1234_5678);
}

#[test]
fn renewed_memory_is_like_new() {
    let pages = |ram: &Ram| {
        let blocks: Vec<_> = [(1, Placement::Contiguous), (3, Placement::Scattered)]
            .into_iter()
            .cycle()
            .take(200)
            .map(|(pages, placement)| ram.alloc(pages * PAGE, placement).expect("block"))
            .collect();
        let pages: Vec<u64> = blocks
            .iter()
            .flat_map(|block| block.pages().to_vec())
            .collect();
        let zero = |block: &Block| {
            // SAFETY: the block's own bytes, which nobody writes meanwhile.
            let bytes = unsafe { std::slice::from_raw_parts(block.va(), block.len()) };
            bytes.iter().all(|byte| *byte == 0)
        };
        assert!(blocks.iter().all(zero));
        for block in &blocks {
            // SAFETY: the block's own bytes.
            unsafe { block.va().write_bytes(0xa5, block.len()) };
        }
        let last = pages.last().expect("a page") + 5;
        let linear = ram.device_slice(last, 1).expect("in memory");
        // SAFETY: inside the memory.
        assert_eq!(unsafe { linear.read() }, 0xa5);
        // The device writes where no block is, too.
        let elsewhere = ram.device_slice(0x1000, 1).expect("in memory");
        // SAFETY: inside the memory.
        assert_eq!(unsafe { elsewhere.replace(1) }, 0);
        pages
    };
    let mut ram = ram(16);
    for seed in [1, 2, 1, 2, 3] {
        ram = ram.renew(seed).expect("the only handle");
        assert_eq!(
            pages(&ram),
            pages(&Ram::new(16 << 20, seed).expect("memory"))
        );
    }
}

#[test]
fn memory_that_somebody_has_is_not_renewed() {
    let ram = ram(4);
    let block = ram.alloc(1, Placement::Contiguous).expect("block");
    assert!(ram.clone().renew(1).is_none());
    assert!(ram.renew(1).is_none());
    drop(block);
}

#[test]
fn addresses_are_given_out_once_in_a_life_of_the_memory() {
    let mut ram = ram(4);
    for seed in 0..20 {
        ram = ram.renew(seed).expect("the only handle");
        let mut seen = std::collections::HashSet::new();
        for _ in 0..2000 {
            let block = ram.alloc(1, Placement::Contiguous).expect("block");
            assert!(seen.insert(block.va() as usize));
        }
    }
}

#[test]
fn what_is_dropped_or_hidden_cannot_be_touched() {
    let mut ram = ram(4);
    for seed in 0..3 {
        ram = ram.renew(seed).expect("the only handle");
        let mut stale = Vec::new();
        for hidden in [false, true] {
            for pages in [1, 2] {
                let block = ram
                    .alloc(pages * PAGE, Placement::Scattered)
                    .expect("block");
                assert!(accessible(block.va()));
                if hidden {
                    block.protect(Protection::None);
                    assert!(!accessible(block.va()));
                }
                stale.push(block.va());
                let other = ram
                    .alloc_hidden(pages * PAGE, Placement::Scattered)
                    .expect("block");
                assert!(!accessible(other.va()));
                other.protect(Protection::Read);
                assert!(accessible(other.va()));
                stale.push(other.va());
            }
        }
        assert!(stale.into_iter().all(|va| !accessible(va)));
    }
}

/// Whether a byte can be read there.
fn accessible(va: *const u8) -> bool {
    let vector = libc::iovec {
        iov_base: va.cast_mut().cast(),
        iov_len: 1,
    };
    let mut byte = 0_u8;
    let local = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let process = std::process::id().cast_signed();
    // SAFETY: reads into `byte` by a system call that fails where nothing can be read.
    let read =
        unsafe { libc::process_vm_readv(process, &raw const local, 1, &raw const vector, 1, 0) };
    read == 1
}

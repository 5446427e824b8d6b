//! The data is right: what one client writes the other reads, and the file has it.

use std::cell::RefCell;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use perf_report::Test;
use test_device::image::Image;
use test_device::vhost_user::{Daemon, Medium};

use crate::load::{BLOCK, BLOCKS, Once, pattern};
use crate::native::{Memory, Wake};
use crate::sample::Sample;
use crate::{driver, native};

/// Blocks that are written and read.
const COUNT: u64 = 200;
const DEPTH: u32 = 16;

/// A test for each number of queues, and for each way of the native client to wait.
pub fn tests(sys: &Path) -> Vec<Test> {
    let cases = [
        (1, Wake::Interrupts),
        (2, Wake::Polling),
        (4, Wake::Interrupts),
    ];
    cases
        .into_iter()
        .map(|(queues, wake)| {
            let result = both(sys, queues, wake).map_err(|error| format!("{error:#}"));
            let name = format!("both clients read what the other wrote: {queues} queues, {wake:?}");
            (name, result)
        })
        .collect()
}

fn both(sys: &Path, queues: u16, wake: Wake) -> Result<()> {
    let image = Image::new(BLOCKS * BLOCK as u64)?;
    let medium = Medium::Raw(image.path().to_owned());
    let daemon = Rc::new(RefCell::new(Daemon::start(&medium, queues)?));

    let mut windows = driver::Client::start(sys, &daemon, queues, false)?;
    let (_, sample) = windows.run(Once::new(COUNT, true, 1), DEPTH)?;
    counted(&sample, true)?;
    windows.end().context("after writing")?;
    same(&image, 1)?;

    let mut memory = Memory::new(queues)?;
    let mut client = native::Client::start(&daemon, &mut memory)?;
    let mut load = Once::new(COUNT, false, 1);
    let sample = client.run(&mut load, DEPTH, wake)?;
    counted(&sample, wake == Wake::Interrupts)?;
    load.verdict(COUNT).context("the native client read")?;
    client.run(&mut Once::new(COUNT, true, 2), DEPTH, wake)?;
    drop(client);
    same(&image, 2)?;

    let mut windows = driver::Client::start(sys, &daemon, queues, false)?;
    let (load, _) = windows.run(Once::new(COUNT, false, 2), DEPTH)?;
    windows.end().context("after reading")?;
    load.verdict(COUNT).context("vioblk.sys read")
}

/// The daemon was notified and has interrupted, never more often than there were requests.
fn counted(sample: &Sample, interrupts: bool) -> Result<()> {
    let fine = |each: f64| each > 0.0 && each <= 1.0;
    ensure!(fine(sample.kicks), "{} kicks a request", sample.kicks);
    ensure!(
        fine(sample.interrupts) || !interrupts,
        "{} interrupts a request",
        sample.interrupts
    );
    Ok(())
}

/// The file holds the pattern of this generation.
fn same(image: &Image, generation: u8) -> Result<()> {
    for block in Once::blocks(COUNT) {
        let (mut found, mut expected) = ([0; BLOCK], [0; BLOCK]);
        image
            .file()
            .read_exact_at(&mut found, block * BLOCK as u64)?;
        pattern(block, generation, &mut expected);
        ensure!(
            found == expected,
            "block {block} of the file has other data"
        );
    }
    Ok(())
}

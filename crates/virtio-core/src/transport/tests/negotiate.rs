//! Reset, status and features.

use super::device::{Device, Fault, OFFERED, TestClock, start};
use crate::spec::blk;
use crate::spec::features::Features;
use crate::spec::pci::{Isr, Status};
use crate::testing::stopped;
use crate::transport::{ConfigSpace, How, TransportError, stop_bus_mastering};

/// What the tests accept.
const FEATURES: Features = Features::VERSION_1
    .union(Features::EVENT_IDX)
    .union(Features::INDIRECT_DESC)
    .union(blk::F_FLUSH);

#[test]
fn initialisation_takes_the_steps_in_order() {
    let device = Device::new();
    let transport = device.transport();
    let stopped = transport.reset(&TestClock::default(), 1000).unwrap();
    assert_eq!(stopped.how(), How::Reset);
    let offered = transport.acknowledge(stopped).unwrap();
    assert_eq!(offered.bits(), OFFERED);
    transport.accept(FEATURES).unwrap();
    transport.driver_ok().unwrap();
    let writes = device.common_writes();
    let status: std::vec::Vec<_> = writes.iter().filter(|w| w.0 == 20).map(|w| w.1).collect();
    // Virtio 1.3 §3.1.1: reset, ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK.
    assert_eq!(status, [0, 1, 3, 11, 15]);
    // The features are complete before FEATURES_OK.
    let position = |want| writes.iter().position(|&write| write == want).unwrap();
    assert!(position((8, 1)) < position((20, 11)));
    assert_eq!(device.0.borrow().accepted, FEATURES.bits());
    assert_eq!(
        transport.status().unwrap(),
        Status::ACKNOWLEDGE | Status::DRIVER | Status::FEATURES_OK | Status::DRIVER_OK
    );
}

#[test]
fn only_offered_and_implemented_features_are_accepted() {
    let device = Device::new();
    let transport = device.acknowledged();
    device.log();
    let missing = Features::ACCESS_PLATFORM | blk::F_RO;
    assert_eq!(
        transport.accept(FEATURES | missing),
        Err(TransportError::NotOffered(missing))
    );
    let legacy = FEATURES.difference(Features::VERSION_1);
    assert_eq!(transport.accept(legacy), Err(TransportError::NotModern));
    device.0.borrow_mut().offered = u64::MAX;
    for bit in (24..50).map(|bit| Features::from_bits_retain(1 << bit)) {
        start(&transport);
        let result = transport.accept(Features::VERSION_1 | bit);
        if bit == Features::ACCESS_PLATFORM {
            // This driver's addresses are not translated.
            assert_eq!(result, Err(TransportError::NotOffered(bit)));
        } else if Features::IMPLEMENTED.contains(bit) {
            assert_eq!(result, Ok(()));
        } else {
            assert_eq!(result, Err(TransportError::NotImplemented(bit)));
        }
    }
    // Bits of the device type are the driver's own affair.
    for bit in (0..24).chain(50..64) {
        let bit = Features::from_bits_retain(1 << bit);
        start(&transport);
        transport.accept(Features::VERSION_1 | bit).unwrap();
    }
}

#[test]
fn refused_features_are_noticed() {
    let device = Device::with(Fault::RefuseFeatures);
    let transport = device.acknowledged();
    let error = transport.accept(FEATURES).unwrap_err();
    assert_eq!(error, TransportError::FeaturesRefused(FEATURES));
    transport.fail();
    assert_eq!(device.0.borrow().status & 128, 128);
}

#[test]
fn reset_waits_until_the_status_is_zero() {
    for reads in [0, 1, 5, 50] {
        let device = Device::with(Fault::SlowReset(reads));
        let clock = TestClock::default();
        let proof = device.transport().reset(&clock, 1_000_000).unwrap();
        assert_eq!(proof.how(), How::Reset);
        assert_eq!(clock.waits.get(), reads);
    }
}

#[test]
fn reset_ends_at_its_deadline() {
    for timeout_us in [0, 1, 100, 5_000_000] {
        let device = Device::with(Fault::StuckReset);
        let clock = TestClock::default();
        let error = device.transport().reset(&clock, timeout_us).unwrap_err();
        let status = 0x0f;
        assert_eq!(error, TransportError::ResetTimeout { status, timeout_us });
        assert!(clock.now.get() >= timeout_us);
        assert!(clock.now.get() <= timeout_us + 1000, "overslept");
    }
}

#[test]
fn device_that_is_gone_is_stopped_and_stays_so() {
    let device = Device::with(Fault::Gone);
    let transport = device.transport();
    let clock = TestClock::default();
    let proof = transport.reset(&clock, 1_000_000).unwrap();
    assert_eq!(proof.how(), How::Gone);
    assert_eq!(clock.waits.get(), 0);
    let gone = TransportError::DeviceGone;
    assert_eq!(transport.acknowledge(proof).unwrap_err(), gone);
    let order = TransportError::OutOfOrder;
    assert_eq!(transport.acknowledge(stopped()).unwrap_err(), order);
    assert_eq!(transport.status(), Err(gone));
    assert_eq!(transport.isr(), Err(gone));
    assert_eq!(transport.queue_count(), Err(gone));
    assert_eq!(transport.queue_max_size(0), Err(gone));
    assert_eq!(transport.driver_ok(), Err(order));
    assert_eq!(transport.set_config_vector(Some(0)), Err(gone));
    transport.fail();
}

#[test]
fn one_register_of_all_ones_does_not_prove_that_the_device_is_gone() {
    // Were it taken for gone, buffers would be given up that it can still write.
    let device = Device::with(Fault::StatusAllOnes);
    let error = device.transport().reset(&TestClock::default(), 100);
    let want = TransportError::ResetTimeout {
        status: 0xff,
        timeout_us: 100,
    };
    assert_eq!(error.unwrap_err(), want);
}

#[test]
fn device_that_needs_a_reset_does_not_go_live() {
    let device = Device::with(Fault::NeedsReset);
    let transport = device.acknowledged();
    transport.accept(FEATURES).unwrap();
    let error = transport.driver_ok().unwrap_err();
    assert_eq!(error, TransportError::NeedsReset { status: 64 | 15 });
    let status = transport.status().unwrap();
    assert!(status.contains(Status::DEVICE_NEEDS_RESET));
}

#[test]
fn steps_out_of_order_are_refused() {
    let device = Device::new();
    let order = TransportError::OutOfOrder;
    let transport = device.transport();
    assert_eq!(transport.accept(FEATURES), Err(order));
    assert_eq!(transport.driver_ok(), Err(order));
    // Cut off is not reset.
    assert_eq!(transport.acknowledge(stopped()), Err(order));
    start(&transport);
    assert_eq!(transport.driver_ok(), Err(order));
    transport.accept(FEATURES).unwrap();
    // Virtio 1.3 §3.1.1: no new features after FEATURES_OK.
    assert_eq!(transport.accept(FEATURES), Err(order));
    transport.driver_ok().unwrap();
    assert_eq!(transport.driver_ok(), Err(order));
    assert_eq!(device.0.borrow().status, 15);
}

#[test]
fn line_interrupt_tells_its_causes_once() {
    let device = Device::new();
    let transport = device.transport();
    for (byte, isr) in [
        (1, Isr::QUEUE),
        (2, Isr::CONFIG),
        (3, Isr::QUEUE | Isr::CONFIG),
    ] {
        device.0.borrow_mut().isr = byte;
        assert_eq!(transport.isr(), Ok(isr));
        assert_eq!(transport.isr(), Ok(Isr::empty()));
    }
}

/// A function that does not obey its command register.
struct Stubborn(u16);

impl ConfigSpace for Stubborn {
    fn read16(&self, _: u16) -> u16 {
        self.0
    }

    fn write16(&self, _: u16, _: u16) {
        assert_ne!(self.0, u16::MAX, "write to a device that is gone");
    }
}

#[test]
fn bus_mastering_is_read_back() {
    let error = stop_bus_mastering(&Stubborn(0x0406)).unwrap_err();
    assert_eq!(error, TransportError::BusMasterStuck { command: 0x0406 });
    let proof = stop_bus_mastering(&Stubborn(0xffff)).unwrap();
    assert_eq!(proof.how(), How::Gone);
}

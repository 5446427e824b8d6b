//! What an honest device does at each register, and which of the driver's accesses are against the rules.

use super::device::{Access, Place, State};

/// Serves an access.
pub(super) fn honest(state: &mut State, access: &Access) -> u32 {
    let Access {
        place,
        offset,
        width,
        write,
    } = *access;
    match (place, write) {
        (Place::Common, None) => common_read(state, offset, width),
        (Place::Common, Some(value)) => {
            common_write(state, offset, width, value);
            0
        }
        (Place::Notify, None) => 0,
        (Place::Notify, Some(_)) => {
            notified(state);
            0
        }
        (Place::Isr, None) => std::mem::take(&mut state.isr).into(),
        (Place::Isr, Some(_)) => {
            state.broke("ISR status written");
            0
        }
        (Place::Config, None) => config_read(state, offset, width),
        (Place::Config, Some(value)) => {
            config_write(state, offset, width, value);
            0
        }
        (Place::Legacy, None) => legacy_read(state, offset, width),
        (Place::Legacy, Some(value)) => {
            legacy_write(state, offset, width, value);
            0
        }
    }
}

fn config_read(state: &State, offset: usize, width: u8) -> u32 {
    let byte = |n| u32::from(state.config[offset + n]) << (8 * n);
    (0..usize::from(width)).map(byte).sum()
}

fn config_write(state: &mut State, offset: usize, width: u8, value: u32) {
    // Virtio 1.3 §3.1.1 step 4.
    if !state.negotiated {
        state.broke("configuration written before the features were accepted");
    }
    let bytes = value.to_le_bytes();
    let bytes = &bytes[..usize::from(width)];
    state.config[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// Virtio 1.3 §3.1.1: no notification before DRIVER_OK.
fn notified(state: &mut State) {
    if state.status & 4 == 0 {
        state.broke("notification before DRIVER_OK");
    }
}

fn write_status(state: &mut State, value: u8) {
    if value == 0 {
        state.status = 0;
        state.accepted = 0;
        state.negotiated = false;
        state.config_vector = 0xffff;
        for queue in &mut state.queues {
            queue.reset();
        }
        return;
    }
    // Virtio 1.3 §2.1.1.
    if value & state.status != state.status {
        state.broke(format!(
            "status {value:#x} clears bits of {:#x}",
            state.status
        ));
    }
    // After FAILED comes a reset. // Virtio 1.3 §2.1.1
    if state.status & 128 != 0 && value & !state.status != 0 {
        state.broke("the set-up goes on after FAILED");
    }
    state.status = value;
}

fn vector(state: &mut State, value: u32) -> u16 {
    let value = value as u16;
    // Virtio 1.3 §4.1.5.1.2.2.
    if value != 0xffff && value >= state.vectors {
        state.broke(format!("vector {value} is outside the table"));
        return 0xffff;
    }
    value
}

fn common_read(state: &mut State, offset: usize, width: u8) -> u32 {
    let half = |bits: u64, select| match select {
        0 => bits as u32,
        1 => (bits >> 32) as u32,
        _ => 0,
    };
    let accepted = state.accepted;
    match (offset, width) {
        (0, 4) => state.device_select,
        (4, 4) => half(state.offered, state.device_select),
        (8, 4) => state.driver_select,
        (12, 4) => half(accepted, state.driver_select),
        (16, 2) => state.config_vector.into(),
        (18, 2) => state.queues.len() as u32,
        (20, 1) => state.status.into(),
        (21, 1) => state.generation.into(),
        (22, 2) => state.selected.into(),
        (24..=58, _) => {
            let Some(queue) = state.queue() else {
                return 0;
            };
            match (offset, width) {
                (24, 2) => queue.size.into(),
                (26, 2) => queue.vector.into(),
                (28, 2) => queue.enabled.into(),
                (30, 2) => queue.notify_off.into(),
                (32..56, 4) => queue.addresses[(offset - 32) / 4],
                // Virtio 1.3 §4.1.4.3: these two exist only with their features.
                (56, 2) if accepted & 1 << 39 != 0 => queue.notify_data.into(),
                (58, 2) if accepted & 1 << 40 != 0 => queue.reset.into(),
                other => {
                    state.broke(format!("{other:?} is no register to read"));
                    0
                }
            }
        }
        other => {
            state.broke(format!("{other:?} is no register to read"));
            0
        }
    }
}

fn common_write(state: &mut State, offset: usize, width: u8, value: u32) {
    match (offset, width) {
        (0, 4) => state.device_select = value,
        (8, 4) => state.driver_select = value,
        (12, 4) => {
            // Virtio 1.3 §3.1.1 step 5.
            if state.status & 8 != 0 {
                state.broke("features written after FEATURES_OK");
            }
            state.negotiated = true;
            let shift = 32 * state.driver_select.min(1);
            state.accepted &= !(0xffff_ffff << shift);
            state.accepted |= u64::from(value) << shift;
            // Virtio 1.3 §2.2.1.
            if state.accepted & !state.offered != 0 {
                state.broke("feature accepted that is not offered");
            }
        }
        (16, 2) => state.config_vector = vector(state, value),
        (20, 1) => write_status(state, value as u8),
        (22, 2) => state.selected = value as u16,
        (24 | 26 | 28 | 32..=52 | 58, _) => queue_write(state, offset, width, value),
        // Virtio 1.3 §4.1.4.3.2: read-only.
        other => state.broke(format!("{other:?} is no register to write")),
    }
}

fn queue_write(state: &mut State, offset: usize, width: u8, value: u32) {
    let vector = if offset == 26 {
        vector(state, value)
    } else {
        0
    };
    let packed = state.accepted & 1 << 34 != 0;
    let resettable = state.accepted & 1 << 40 != 0;
    // Virtio 1.3 §2.4.1: nothing before the set-up has come so far.
    let early = state.status & 8 == 0;
    let Some(queue) = state.queue() else {
        state.broke("a queue is set up that does not exist");
        return;
    };
    let mut broken = match (offset, width) {
        _ if early => Some("a queue is set up before FEATURES_OK"),
        // Virtio 1.3 §4.1.4.3.2.
        (24..58, _) if queue.enabled != 0 => Some("a register of an enabled queue is written"),
        (24, 2) if value == 0 => Some("queue_size 0"),
        (24, 2) if !packed && !value.is_power_of_two() => Some("queue_size is no power of two"),
        (28, 2) if value != 1 => Some("queue_enable is not 1"),
        (58, 2) if !resettable || value != 1 => Some("queue_reset without RING_RESET, or not 1"),
        _ => None,
    };
    match (offset, width) {
        (24, 2) => queue.size = value as u16,
        (26, 2) => queue.vector = vector,
        (28, 2) => queue.enabled = value as u16,
        (32..56, 4) => queue.addresses[(offset - 32) / 4] = value,
        (58, 2) => queue.reset(),
        _ => broken = Some("no register to write"),
    }
    if let Some(rule) = broken {
        state.broke(rule);
    }
}

/// Where the configuration begins. // Virtio 1.3 §4.1.4.10
fn legacy_header(state: &State) -> usize {
    if state.vectors == 0 { 20 } else { 24 }
}

fn legacy_read(state: &mut State, offset: usize, width: u8) -> u32 {
    let header = legacy_header(state);
    if offset >= header {
        return config_read(state, offset - header, width);
    }
    let queue = state.queue().copied();
    match (offset, width) {
        (0, 4) => state.offered as u32,
        (4, 4) => state.accepted as u32,
        (8, 4) => queue.map_or(0, |queue| queue.page),
        (12, 2) => queue.map_or(0, |queue| queue.size.into()),
        (14, 2) => state.selected.into(),
        (18, 1) => state.status.into(),
        (19, 1) => std::mem::take(&mut state.isr).into(),
        (20, 2) => state.config_vector.into(),
        (22, 2) => queue.map_or(0xffff, |queue| queue.vector.into()),
        other => {
            state.broke(format!("{other:?} is no register to read"));
            0
        }
    }
}

fn legacy_write(state: &mut State, offset: usize, width: u8, value: u32) {
    let header = legacy_header(state);
    if offset >= header {
        return config_write(state, offset - header, width, value);
    }
    match (offset, width) {
        (4, 4) => {
            state.negotiated = true;
            state.accepted = value.into();
            if state.accepted & !state.offered != 0 {
                state.broke("feature accepted that is not offered");
            }
        }
        (8, 4) => {
            let Some(queue) = state.queue() else {
                return state.broke("a queue is set up that does not exist");
            };
            let busy = queue.page != 0;
            queue.page = value;
            if busy || value == 0 {
                state.broke("the page of a queue is set twice, or taken away");
            }
        }
        (14, 2) => state.selected = value as u16,
        (16, 2) => notified(state),
        // Virtio 1.3 §3.1.2: there is no FEATURES_OK.
        (18, 1) if value & 8 != 0 => state.broke("FEATURES_OK on a legacy device"),
        (18, 1) => write_status(state, value as u8),
        (20, 2) => state.config_vector = vector(state, value),
        (22, 2) => {
            let vector = vector(state, value);
            if let Some(queue) = state.queue() {
                queue.vector = vector;
            }
        }
        other => state.broke(format!("{other:?} is no register to write")),
    }
}

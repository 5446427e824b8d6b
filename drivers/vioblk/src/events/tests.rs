use super::*;
use std::collections::BTreeMap;

const ALL: [Event; 16] = [
    Event::ConfigUnreadable { code: 51 },
    Event::DeviceNotVirtio { code: 1 },
    Event::Refused(Refusal::BlockSize(3)),
    Event::Refused(Refusal::HostManagedZones),
    Event::SerialMayBeCut,
    Event::GivenUp { resets: 8 },
    Event::Refused(Refusal::QueueCount),
    Event::Refused(Refusal::QueueTooSmall(2)),
    Event::Refused(Refusal::PageDoesNotFit {
        segments: 1,
        size_max: 512,
    }),
    Event::FeaturesRefused {
        offered: 1,
        accepted: 2,
    },
    Event::NoMemory { bytes: 4096 },
    Event::InitializationFailed { step: 7, code: 1 },
    Event::QueueBroken { queue: 3, code: 2 },
    Event::DeviceNeedsReset,
    Event::ResetFailed { code: 1 },
    Event::Refused(Refusal::BlockSize(0)),
];

struct Message {
    symbol: String,
    severity: String,
    text: String,
}

fn messages() -> BTreeMap<u16, Message> {
    let file: toml::Table = include_str!("../../messages.toml").parse().unwrap();
    let list = file["message"].as_array().unwrap();
    let messages: BTreeMap<u16, Message> = list
        .iter()
        .map(|m| {
            let field = |name: &str| m[name].as_str().unwrap().to_owned();
            let id = u16::try_from(m["id"].as_integer().unwrap()).unwrap();
            (
                id,
                Message {
                    symbol: field("symbol"),
                    severity: field("severity"),
                    text: field("text"),
                },
            )
        })
        .collect();
    assert_eq!(messages.len(), list.len(), "two messages have the same id");
    messages
}

/// `DeviceNeedsReset { .. }` → `DEVICE_NEEDS_RESET`.
fn symbol(event: &Event) -> String {
    let debug = match event {
        Event::Refused(Refusal::PageDoesNotFit { .. }) => "PageDoesNotFit".to_owned(),
        Event::Refused(_) => "BadConfiguration".to_owned(),
        event => format!("{event:?}"),
    };
    let name = debug.split([' ', '(']).next().unwrap();
    let mut symbol = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !symbol.is_empty() {
            symbol.push('_');
        }
        symbol.extend(c.to_uppercase());
    }
    symbol
}

#[test]
fn every_event_has_its_message_and_every_message_its_event() {
    let messages = messages();
    for event in ALL {
        let message = &messages[&event.id()];
        assert_eq!(message.symbol, symbol(&event));
        let severity = match message.severity.as_str() {
            "informational" => 1 << 30,
            "error" => 3 << 30,
            other => panic!("{other}"),
        };
        assert_eq!(event.code(), severity | 1 << 29 | u32::from(event.id()));
        let strings = event.values().iter().flatten().count();
        for n in 2..=MAX_STRINGS + 1 {
            let used = message.text.contains(&format!("%{n}"));
            assert_eq!(used, n < strings + 2, "{}: %{n}", message.symbol);
        }
    }
    assert!(
        messages
            .keys()
            .all(|id| ALL.iter().any(|event| event.id() == *id))
    );
}

#[test]
fn the_log_is_not_flooded() {
    let journal = Journal::default();
    let broken = Event::QueueBroken { queue: 0, code: 70 };
    let written: Vec<u32> = (1..=1000)
        .filter(|_| journal.worth_writing(&broken))
        .collect();
    assert_eq!(written, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    assert!(journal.worth_writing(&Event::DeviceNeedsReset));
    assert!(ALL.iter().all(|event| usize::from(event.id()) < KINDS));
}

fn text(value: Value) -> String {
    let mut text = [0; TEXT_LEN];
    value.write(&mut text);
    let end = text.iter().position(|c| *c == 0).expect("NUL-terminated");
    String::from_utf16(&text[..end]).unwrap()
}

#[test]
fn values_read_as_people_write_them() {
    for n in [
        0,
        1,
        9,
        10,
        11,
        99,
        100,
        4095,
        4096,
        u64::from(u32::MAX),
        u64::MAX,
    ] {
        assert_eq!(text(Value::Number(n)), n.to_string());
        assert_eq!(text(Value::Bits(n)), format!("{n:#x}"));
    }
    assert_eq!(text(Value::Name("seg_max")), "seg_max");
    assert_eq!(
        text(Value::Name("a name that is much too long")),
        "a name that is much "
    );
}

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::*;
use crate::testing::{SOON, clean, expect, expect_fatal, on_cpu, start, start_with};
use crate::{Clock, Config, Preempt, callback, shutdown};

type Log = Rc<RefCell<Vec<String>>>;

fn note(log: &Log, what: &str) {
    let line = format!("{what} cpu{} irql{}", cpu(), irql());
    log.borrow_mut().push(line);
}

#[test]
fn a_thread_runs_at_passive_level_on_its_cpu() {
    start(3);
    let seen = run_thread(2, "t", SOON, || (cpu(), irql(), on_cpu_now())).expect("it ends");
    assert_eq!(seen, (2, PASSIVE, true));
    assert!(!super::on_cpu());
    expect(&[]);
}

fn on_cpu_now() -> bool {
    super::on_cpu()
}

#[test]
fn a_dpc_waits_until_the_level_drops_and_runs_at_dispatch() {
    start(1);
    let log = Log::default();
    let driver = Rc::clone(&log);
    clean(move || {
        let old = raise(DISPATCH);
        let inner = Rc::clone(&driver);
        assert!(queue_dpc(0, 7, Box::new(move || note(&inner, "dpc"))));
        assert!(
            !queue_dpc(0, 7, Box::new(|| panic!("queued twice"))),
            "a queued DPC is queued once"
        );
        note(&driver, "raised");
        lower(old);
        note(&driver, "lowered");
    });
    assert_eq!(
        *log.borrow(),
        ["raised cpu0 irql2", "dpc cpu0 irql2", "lowered cpu0 irql0"]
    );
}

#[test]
fn a_dpc_to_the_own_cpu_at_passive_level_runs_at_once() {
    start(1);
    clean(|| {
        let ran = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ran);
        queue_dpc(0, 1, Box::new(move || flag.set(true)));
        assert!(ran.get());
    });
}

#[test]
fn a_high_dpc_goes_first_and_a_removed_one_never_runs() {
    start(1);
    let log = Log::default();
    let driver = Rc::clone(&log);
    clean(move || {
        let old = raise(DISPATCH);
        for (key, name) in [(1, "one"), (2, "two"), (3, "removed")] {
            let log = Rc::clone(&driver);
            queue_dpc(0, key, Box::new(move || note(&log, name)));
        }
        let log = Rc::clone(&driver);
        queue_dpc_first(0, 4, Box::new(move || note(&log, "high")));
        assert!(remove_dpc(3));
        assert!(!remove_dpc(3));
        lower(old);
    });
    let order: Vec<String> = log
        .borrow()
        .iter()
        .map(|l| l.split(' ').next().unwrap_or("").into())
        .collect();
    assert_eq!(order, ["high", "one", "two"]);
}

#[test]
fn a_dpc_for_another_cpu_runs_there_even_if_it_is_idle() {
    start(4);
    let log = Log::default();
    let driver = Rc::clone(&log);
    clean(move || {
        for target in 0..4 {
            let log = Rc::clone(&driver);
            queue_dpc(target, target as usize, Box::new(move || note(&log, "dpc")));
        }
        assert!(block_until("the DPCs", Some(SOON), {
            let log = Rc::clone(&driver);
            Box::new(move || log.borrow().len() == 4)
        }));
    });
    let mut lines = log.borrow().clone();
    lines.sort();
    assert_eq!(
        lines,
        [
            "dpc cpu0 irql2",
            "dpc cpu1 irql2",
            "dpc cpu2 irql2",
            "dpc cpu3 irql2"
        ]
    );
}

#[test]
fn interrupts_nest_by_level() {
    start(1);
    let log = Log::default();
    let driver = Rc::clone(&log);
    clean(move || {
        let old = raise(5);
        for (level, name) in [(4, "four"), (6, "six"), (9, "nine")] {
            let log = Rc::clone(&driver);
            interrupt(0, level, Box::new(move || note(&log, name)));
        }
        preempt();
        note(&driver, "five");
        lower(old);
    });
    assert_eq!(
        *log.borrow(),
        [
            "nine cpu0 irql9",
            "six cpu0 irql6",
            "five cpu0 irql5",
            "four cpu0 irql4"
        ]
    );
}

#[test]
fn an_interrupt_comes_from_the_devices_while_a_driver_polls() {
    start_with(Config {
        cpus: 1,
        preempt: Preempt { one_in: 0 },
        ..Config::default()
    });
    let came = Rc::new(Cell::new(false));
    let flag = Rc::clone(&came);
    let mut posted = false;
    set_poll(Box::new(move |_| {
        if !posted {
            posted = true;
            let flag = Rc::clone(&flag);
            interrupt(0, 8, Box::new(move || flag.set(true)));
        }
    }));
    // Even with pre-emption by chance switched off, a loop over imports lets the device run.
    clean(move || {
        while !came.get() {
            preempt();
        }
    });
}

#[test]
fn timers_fire_in_order_on_the_virtual_clock() {
    start(2);
    let log = Log::default();
    let fired = Rc::clone(&log);
    for (ms, name) in [(30, "late"), (10, "early"), (20, "never")] {
        let log = Rc::clone(&fired);
        let id = timer(
            Duration::from_millis(ms),
            1,
            Box::new(move || note(&log, name)),
        );
        if name == "never" {
            assert!(cancel_timer(id));
            assert!(!cancel_timer(id));
        }
    }
    run_until(&mut || fired.borrow().len() == 2, SOON).expect("both fire");
    assert_eq!(*log.borrow(), ["early cpu1 irql2", "late cpu1 irql2"]);
    assert!(
        (Duration::from_millis(30)..Duration::from_millis(32)).contains(&now()),
        "{:?}",
        now()
    );
}

#[test]
fn a_stall_lets_other_cpus_run_and_takes_its_time() {
    start(2);
    let other = Rc::new(Cell::new(false));
    let flag = Rc::clone(&other);
    spawn(1, "other", Box::new(move || flag.set(true)));
    clean(move || {
        let before = now();
        stall(40);
        assert!(now() - before >= Duration::from_micros(40));
        assert!(other.get());
    });
}

#[test]
fn waiting_has_a_deadline_and_takes_interrupts_meanwhile() {
    start(1);
    clean(|| {
        let ran = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ran);
        timer(
            Duration::from_millis(1),
            0,
            Box::new(move || flag.set(true)),
        );
        assert!(!block_until(
            "nothing",
            Some(Duration::from_millis(5)),
            Box::new(|| false)
        ));
        assert!(ran.get(), "the CPU was free for the DPC");
        assert!(now() >= Duration::from_millis(5));
    });
}

#[test]
fn threads_of_one_cpu_share_it() {
    start(1);
    let turns = Rc::new(RefCell::new(Vec::new()));
    for name in ["a", "b"] {
        let turns = Rc::clone(&turns);
        spawn(
            0,
            name,
            Box::new(move || {
                for _ in 0..50 {
                    turns.borrow_mut().push(name);
                    preempt();
                }
            }),
        );
    }
    run_until(&mut || turns.borrow().len() == 100, SOON).expect("both end");
    let changes = turns
        .borrow()
        .windows(2)
        .filter(|pair| pair[0] != pair[1])
        .count();
    assert!(changes > 4, "only {changes} changes");
}

#[test]
fn at_dispatch_level_no_other_thread_of_the_cpu_runs() {
    start(1);
    let busy = Rc::new(Cell::new(false));
    let seen = Rc::clone(&busy);
    spawn(
        0,
        "watcher",
        Box::new(move || {
            for _ in 0..100 {
                assert!(!seen.get(), "ran while the CPU was at DISPATCH_LEVEL");
                preempt();
            }
        }),
    );
    clean(move || {
        for _ in 0..20 {
            at_irql(DISPATCH, || {
                busy.set(true);
                (0..10).for_each(|_| preempt());
                busy.set(false);
            });
        }
    });
}

#[test]
fn a_thread_can_move_to_another_cpu() {
    start(3);
    assert_eq!(
        clean(|| {
            migrate(2);
            cpu()
        }),
        2
    );
}

#[test]
fn stuck_says_who_waits_for_what() {
    start(2);
    spawn(
        1,
        "reader",
        Box::new(|| {
            block_until("a reply", None, Box::new(|| false));
        }),
    );
    let stuck = run_until(&mut || false, SOON).expect_err("nobody replies");
    assert_eq!(stuck.why, "nothing can run any more");
    assert!(
        stuck
            .waiting
            .iter()
            .any(|l| l.contains("reader") && l.contains("a reply")),
        "{stuck}"
    );
    set_poll(Box::new(|_| ()));
    let stuck = run_until(&mut || false, Duration::from_millis(20)).expect_err("nobody replies");
    assert!(stuck.why.contains("20ms"), "{stuck}");
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_does_not() {
    let trace = |seed| {
        start_with(Config {
            cpus: 4,
            seed,
            preempt: Preempt { one_in: 2 },
            ..Config::default()
        });
        for id in 0..4 {
            spawn(
                id,
                "t",
                Box::new(move || {
                    for key in 0..20 {
                        preempt();
                        queue_dpc((id + 1) % 4, (100 * id + key) as usize, Box::new(preempt));
                    }
                }),
            );
        }
        let mut steps = 0;
        set_poll(Box::new(move |_| {
            steps += 1;
            if steps % 3 == 0 {
                interrupt(random(4), 6, Box::new(|| ()));
            }
        }));
        run_until(&mut || false, Duration::from_millis(5))
            .expect_err("there is no end to wait for");
        shutdown().trace_hash
    };
    assert_eq!(trace(11), trace(11));
    assert_ne!(trace(11), trace(12));
}

#[test]
fn raising_down_and_lowering_up_are_violations() {
    start(1);
    on_cpu(|| {
        raise(DISPATCH);
        raise(APC);
        lower(DISPATCH);
        lower(PASSIVE);
    })
    .expect("it goes on");
    expect(&[rules::IRQL_DIRECTION, rules::IRQL_DIRECTION]);
}

#[test]
fn ending_at_another_irql_is_a_violation() {
    start(1);
    on_cpu(|| {
        queue_dpc(
            0,
            1,
            Box::new(|| {
                raise(7);
            }),
        );
        callback::run("CALLBACK", || raise(DISPATCH));
        assert_eq!(irql(), PASSIVE, "the host goes on at the level it had");
        raise(DISPATCH);
    })
    .expect("it goes on");
    expect(&[
        rules::IRQL_CHANGED,
        rules::IRQL_CHANGED,
        rules::IRQL_CHANGED,
    ]);
}

#[test]
fn the_hosts_own_calls_are_held_to_the_documented_irql() {
    start(1);
    clean(|| at_irql(DISPATCH, || callback::run("HW_STARTIO", || ())));
    on_cpu(|| callback::run("HW_STARTIO", || ())).expect("it goes on");
    expect(&[rules::CALLBACK_IRQL]);
}

#[test]
fn waiting_at_dispatch_level_ends_the_run() {
    start(1);
    expect_fatal(rules::WAIT_AT_DISPATCH, || {
        raise(DISPATCH);
        block_until("anything", None, Box::new(|| false));
    });
}

#[test]
fn too_long_at_dispatch_level_is_reported_and_for_ever_ends_the_run() {
    start_with(Config {
        dispatch_limit: Duration::from_millis(1),
        ..Config::default()
    });
    on_cpu(|| at_irql(DISPATCH, || (0..40).for_each(|_| stall(50)))).expect("it goes on");
    expect(&[rules::DISPATCH_TIME]);
    start_with(Config {
        dispatch_limit: Duration::from_millis(1),
        ..Config::default()
    });
    let report = expect_fatal(rules::DISPATCH_TIME, || {
        raise(DISPATCH);
        loop {
            stall(50);
        }
    });
    assert_eq!(report.violations.len(), 2, "{report}");
}

#[test]
fn the_real_clock_waits_for_real_devices() {
    start_with(Config {
        clock: Clock::Real,
        ..Config::default()
    });
    let begin = std::time::Instant::now();
    let waits = Rc::new(Cell::new(0));
    let count = Rc::clone(&waits);
    set_poll(Box::new(move |wait| {
        count.set(count.get() + 1);
        std::thread::sleep(wait);
    }));
    clean(|| {
        block_until("time", Some(Duration::from_millis(30)), Box::new(|| false));
    });
    assert!(begin.elapsed() >= Duration::from_millis(30));
    // One where the machine was busy and the first sleep lasted long enough.
    assert!((1..50).contains(&waits.get()), "{} polls", waits.get());
}

#[test]
fn an_idle_machine_that_rests_comes_to_the_same_time_and_numbers() {
    thread_local! {
        static RESTED: Cell<u64> = const { Cell::new(0) };
    }
    let run = |rests: bool| {
        start(2);
        RESTED.set(0);
        set_poll(Box::new(|_| ()));
        if rests {
            super::set_rest(|polls| {
                RESTED.set(RESTED.get() + polls);
                true
            });
        } else {
            super::set_rest(|_| false);
        }
        let at = Rc::new(Cell::new(Duration::ZERO));
        for after in [3, 4, 2500] {
            let at = Rc::clone(&at);
            let f = move || at.set(super::now());
            super::timer(Duration::from_millis(after), 0, Box::new(f));
        }
        run_until(&mut || false, Duration::from_secs(4)).expect_err("there is no end to wait for");
        (
            at.get(),
            super::now(),
            super::random(u32::MAX),
            shutdown().trace_hash,
        )
    };
    let watched = run(false);
    assert_eq!(watched.0, Duration::from_millis(2500));
    assert_eq!(run(true), watched);
    assert!(RESTED.get() > 3000, "{}", RESTED.get());
}

use super::*;

#[test]
fn the_first_value_stays() {
    let once = Once::new();
    assert_eq!(once.get(), None);
    once.set(1);
    once.set(2);
    assert_eq!(once.get(), Some(&1));
}

#[test]
fn many_threads_see_one_value() {
    let once = Once::new();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let once = &once;
            scope.spawn(move || {
                once.set([n; 64]);
                if let Some(value) = once.get() {
                    assert!(value.iter().all(|byte| byte == &value[0]));
                }
            });
        }
    });
    assert!(once.get().is_some());
}

use super::*;

#[test]
fn every_queue_has_a_message_and_shares_it_evenly() {
    for queues in 1..=64u32 {
        for messages in 1..=65u32 {
            let given: Vec<u32> = (0..queues)
                .map(|queue| queue_message(queue, messages).unwrap())
                .collect();
            assert!(given.iter().all(|message| *message < messages));
            if messages > 1 {
                // Message 0 is for configuration changes alone.
                let load = |message| given.iter().filter(|m| **m == message).count() as u32;
                let most = queues.div_ceil(messages - 1);
                assert!(
                    (1..messages).all(|message| load(message) <= most),
                    "{queues} {messages}"
                );
                assert_eq!(load(0), 0);
            }
        }
    }
    assert_eq!(queue_message(0, 0), None);
}

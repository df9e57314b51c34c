//! Several ranks as threads of one process.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::error::{Result, WorldError};
use super::placement::Address;
use super::{LIMITS, Limits, Placement, World};

const SHORT: Limits = Limits { arrival: Duration::from_secs(1), silence: Duration::from_millis(500) };

fn place(rank: usize, size: usize, port: u16) -> Placement {
    let address = (size > 1).then(|| Address { host: "127.0.0.1".to_owned(), port });
    Placement { rank, size, local_rank: rank, local_size: size, address, grouped: true }
}

fn door() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// What each of `ranks` gets of a world of `size`.
fn run<T: Send>(
    size: usize,
    ranks: &[usize],
    limits: Limits,
    act: impl Fn(&Placement, Option<TcpListener>, Limits) -> T + Sync,
) -> Vec<T> {
    let (listener, port) = door();
    let mut listener = Some(listener);
    thread::scope(|scope| {
        let act = &act;
        let ranks: Vec<_> = ranks
            .iter()
            .map(|&rank| {
                let listener = if rank == 0 { listener.take() } else { None };
                scope.spawn(move || act(&place(rank, size, port), listener, limits))
            })
            .collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// What each rank of a world gets.
pub(crate) fn world<T: Send>(size: usize, act: impl Fn(World) -> T + Sync) -> Vec<T> {
    let ranks: Vec<usize> = (0..size).collect();
    run(size, &ranks, LIMITS, |placement, listener, limits| {
        act(World::join_within(placement, listener, 7, limits).unwrap())
    })
}

fn numbers(rank: usize, len: usize) -> Vec<f32> {
    (0..len).map(|i| 1.0 / (1.0 + (i * 31 + rank * 17) as f32) - 0.01).collect()
}

#[test]
fn sums_are_equal_in_every_bit_and_in_the_order_of_the_ranks() {
    for size in 1..=5 {
        for len in [0, 1, 7, 65_537, 786_433] {
            let mut expected = numbers(0, len);
            for rank in 1..size {
                expected.iter_mut().zip(numbers(rank, len)).for_each(|(sum, value)| *sum += value);
            }
            let doubles: Vec<f64> = expected.iter().map(|&value| f64::from(value) * size as f64).collect();
            let sums = world(size, |mut world| {
                let mut sum = numbers(world.rank(), len);
                world.sum_f32(&mut sum).unwrap();
                let mut double: Vec<f64> = sum.iter().map(|&value| f64::from(value)).collect();
                world.sum_f64(&mut double).unwrap();
                (sum, double)
            });
            for (sum, double) in sums {
                assert!(sum.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()));
                assert_eq!((sum.len(), double.len()), (len, len));
                for (found, expected) in double.iter().zip(&doubles) {
                    assert!((found - expected).abs() <= 1e-15 * expected.abs(), "{found} {expected}");
                }
            }
        }
    }
}

#[test]
fn nan_and_infinity_arrive() {
    for sum in world(3, |mut world| {
        let mut values = [1.0, f32::NAN, f32::INFINITY, -0.0];
        if world.rank() != 1 {
            values = [f32::MAX, 1.0, 1.0, -0.0];
        }
        world.sum_f32(&mut values).unwrap();
        values
    }) {
        assert!(sum[0].is_infinite() && sum[1].is_nan() && sum[2].is_infinite());
        assert_eq!(sum[3].to_bits(), (-0.0f32).to_bits());
    }
}

#[test]
fn bytes_questions_and_meetings() {
    for size in 1..=4 {
        let all = world(size, |mut world| {
            let own = vec![world.rank() as u8; 100_000 * world.rank()];
            let gathered = world.gather(&own).unwrap();
            world.barrier().unwrap();
            let mut id = if world.is_first() { b"id".to_vec() } else { vec![] };
            world.broadcast(&mut id).unwrap();
            let last = world.rank() + 1 == world.size();
            let (one, none) = (world.any(last).unwrap(), world.any(false).unwrap());
            let mut empty = vec![];
            world.broadcast(&mut empty).unwrap();
            let mut whole = numbers(world.rank(), 70_000 * world.rank());
            world.concat_f32(&mut whole).unwrap();
            let expected: Vec<f32> = (0..size).flat_map(|rank| numbers(rank, 70_000 * rank)).collect();
            assert!(whole == expected);
            let mut values = numbers(world.rank(), 70_001);
            world.broadcast_f32(&mut values).unwrap();
            assert!(values == numbers(0, 70_001));
            let mut mean = [world.rank() as f32];
            world.mean_f32(&mut mean).unwrap();
            assert_eq!(mean, [(size - 1) as f32 / 2.0]);
            assert_eq!(world.size(), size);
            (world.rank(), gathered, id, one, none, empty)
        });
        for (rank, gathered, id, one, none, empty) in all {
            assert_eq!((id, one, none, empty), (b"id".to_vec(), true, false, vec![]));
            assert_eq!(gathered.is_some(), rank == 0);
            for (rank, bytes) in gathered.into_iter().flatten().enumerate() {
                assert_eq!(bytes, vec![rank as u8; 100_000 * rank]);
            }
        }
    }
}

#[test]
fn a_process_by_itself() {
    let mut world = World::alone();
    let mut values = [1.5, 2.5];
    world.sum_f32(&mut values).unwrap();
    assert_eq!(values, [1.5, 2.5]);
    assert_eq!(world.gather(b"x").unwrap(), Some(vec![b"x".to_vec()]));
    assert!(world.is_first() && world.any(true).unwrap());
}

#[test]
fn strangers_do_not_come_in() {
    let (listener, port) = door();
    let mut strangers: Vec<TcpStream> =
        (0..6).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    strangers[0].write_all(b"GET / HTTP/1.1\r\nHost: gpu07\r\n\r\n and more").unwrap();
    strangers[1].write_all(&[0; 5]).unwrap();
    strangers[2].write_all(&[255; 4096]).unwrap();
    drop(strangers.remove(3));
    thread::scope(|scope| {
        let ranks: Vec<_> = [(0, Some(listener)), (1, None), (2, None)]
            .into_iter()
            .map(|(rank, listener)| {
                scope.spawn(move || {
                    let mut world = World::join_within(&place(rank, 3, port), listener, 7, LIMITS).unwrap();
                    let mut sum = [1.0];
                    world.sum_f32(&mut sum).unwrap();
                    sum
                })
            })
            .collect();
        ranks.into_iter().for_each(|rank| assert_eq!(rank.join().unwrap(), [3.0]));
    });
}

#[test]
fn ranks_find_a_rank_0_that_comes_late_and_after_somebody_else() {
    let (listener, port) = door();
    thread::scope(|scope| {
        let other =
            scope.spawn(move || World::join_within(&place(1, 2, port), None, 7, LIMITS).unwrap().any(false));
        // Someone else answers at first.
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n").unwrap();
        let mut hello = [0; 32];
        stream.read_exact(&mut hello).unwrap();
        drop((stream, listener));
        thread::sleep(Duration::from_millis(150));
        let mut first = World::join_within(&place(0, 2, port), None, 7, LIMITS).unwrap();
        assert!(first.any(true).unwrap());
        assert!(other.join().unwrap().unwrap());
    });
}

fn errors(
    size: usize,
    ranks: &[usize],
    limits: Limits,
    fingerprint: impl Fn(usize) -> u64 + Sync,
) -> Vec<String> {
    run(size, ranks, limits, |placement, listener, limits| {
        World::join_within(placement, listener, fingerprint(placement.rank()), limits)
            .unwrap_err()
            .to_string()
    })
}

#[test]
fn a_rank_that_does_not_come_is_named_to_all() {
    for error in errors(4, &[0, 1, 3], SHORT, |_| 7) {
        assert!(error.starts_with("3 of 4 ranks came to 127.0.0.1:"), "{error}");
        assert!(error.contains(", and rank 2 did not"), "{error}");
    }
    let error = &errors(2, &[1], SHORT, |_| 7)[0];
    // The listener of the test is there, but silent, until the threads are done.
    assert!(error.starts_with("rank 0 was not found at 127.0.0.1:"), "{error}");
}

#[test]
fn ranks_that_do_not_agree_hear_who_it_is() {
    for error in errors(3, &[0, 1, 2], LIMITS, |rank| if rank == 2 { 8 } else { 7 }) {
        assert!(error.starts_with("rank 2 differs from rank 0 in its fingerprint"), "{error}");
        assert!(error.contains("found 0000000000000008, expected 0000000000000007;"), "{error}");
    }
    for error in errors(3, &[0, 1, 1], LIMITS, |_| 7) {
        assert!(error.starts_with("two processes are rank 1;"), "{error}");
    }
    let (listener, port) = door();
    thread::scope(|scope| {
        let other = scope.spawn(move || World::join_within(&place(2, 3, port), None, 7, LIMITS));
        let first = World::join_within(&place(0, 2, port), Some(listener), 7, LIMITS);
        for world in [first, other.join().unwrap()] {
            let error = world.unwrap_err().to_string();
            let start = "rank 2 differs from rank 0 in its number of ranks: found 3, expected 2;";
            assert!(error.starts_with(start), "{error}");
        }
    });
}

fn lost<T: std::fmt::Debug>(result: Result<T>) -> (usize, String) {
    match result {
        Err(WorldError::Lost { rank, reason }) => (rank, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_rank_that_dies_is_named_to_all() {
    for dead in 0..4 {
        for len in [1, 786_433] {
            let errors = world(4, |mut world| {
                let mut values = vec![1.0; len];
                world.sum_f32(&mut values).unwrap();
                if world.rank() == dead {
                    return None;
                }
                let first = lost(world.sum_f32(&mut values));
                assert_eq!(lost(world.barrier()), first);
                Some(first)
            });
            for (rank, reason) in errors.into_iter().flatten() {
                assert_eq!(rank, dead, "{reason}");
            }
        }
    }
}

#[test]
fn calls_that_do_not_match_are_errors() {
    type Call = fn(&mut World) -> Result<()>;
    let calls: [Call; 5] = [
        |world| world.sum_f32(&mut [0.0; 5]),
        |world| world.sum_f32(&mut [0.0; 6]),
        |world| world.sum_f64(&mut [0.0; 3]),
        |world| world.gather(&[0; 24]).map(drop),
        |world| world.barrier(),
    ];
    for (i, call) in calls.iter().enumerate() {
        for other in calls.iter().skip(i + 1) {
            let errors = world(3, |mut world| {
                let mut done = if world.rank() == 1 { other(&mut world) } else { call(&mut world) };
                // A gather ends for those who only send.
                if done.is_ok() {
                    done = world.barrier();
                }
                lost(done)
            });
            assert_eq!(errors[0].0, 1, "{errors:?}");
            assert!(errors[0].1.contains("expected"), "{errors:?}");
            assert_eq!(errors, vec![errors[0].clone(); 3]);
        }
    }
}

#[test]
fn a_rank_that_hangs_is_lost_when_patience_is_over() {
    let start = Instant::now();
    let errors = run(3, &[0, 1, 2], SHORT, |placement, listener, limits| {
        let mut world = World::join_within(placement, listener, 7, limits).unwrap();
        if placement.rank() == 2 {
            thread::sleep(Duration::from_secs(2));
        }
        lost(world.barrier())
    });
    for (rank, reason) in errors {
        assert!(rank == 2 && reason.starts_with("nothing was heard of it"), "{rank} {reason}");
    }
    assert!(start.elapsed() < Duration::from_secs(30));
}

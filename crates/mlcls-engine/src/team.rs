//! Threads that stay awake together through many short loops.
//!
//! One image takes a millisecond or two and some hundred loops; a thread pool that puts its threads to sleep between loops and
//! wakes them again would spend a third of that on it.

use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

type Job<'a> = &'a (dyn Fn(usize) + Sync);

/// A leader, and helpers from rayon's pool that take parts of its loops as long as it leads. Nobody waits for a helper that has
/// not come: what it does not take, the others do.
#[derive(Debug)]
pub struct Team {
    threads: usize,
    /// The loop's number, its parts, and the next part to take; see [`Ticket`].
    ticket: AtomicU64,
    /// Parts of the loop that are done.
    done: AtomicUsize,
    /// The loop's body; the thin pointer to the wide one lies on the leader's stack.
    job: AtomicPtr<Job<'static>>,
}

/// What [`Team::ticket`] packs, so that a part is only ever taken from the loop that it was seen in.
#[derive(Clone, Copy)]
struct Ticket(u64);

impl Ticket {
    const BITS: u32 = 20;
    const MASK: u64 = (1 << Self::BITS) - 1;
    /// No loop comes any more.
    const CLOSED: Self = Self(u64::MAX);

    fn first(number: u64, parts: usize) -> Self {
        assert!((parts as u64) < Self::MASK, "a loop has less than a million parts");
        Self(number << (2 * Self::BITS) | (parts as u64) << Self::BITS)
    }

    fn number(self) -> u64 {
        self.0 >> (2 * Self::BITS)
    }

    /// Parts that were taken.
    fn taken(self) -> usize {
        (self.0 & Self::MASK) as usize
    }

    /// The part to take, if one is left.
    fn part(self) -> Option<usize> {
        let parts = (self.0 >> Self::BITS & Self::MASK) as usize;
        (self.taken() < parts).then_some(self.taken())
    }
}

/// Tries before a waiting thread offers its core to others: some ten microseconds.
const SPINS: u32 = 1000;

impl Team {
    /// Leads with `f` on this thread, helped by as many threads of rayon's pool as make `threads` in all.
    pub fn lead<T>(threads: usize, f: impl FnOnce(&Team) -> T) -> T {
        let team = Team {
            threads,
            ticket: AtomicU64::new(Ticket::first(0, 0).0),
            done: AtomicUsize::new(0),
            job: AtomicPtr::new(std::ptr::null_mut()),
        };
        /// Sends the helpers home, also when `f` panics.
        struct Close<'a>(&'a Team);
        impl Drop for Close<'_> {
            fn drop(&mut self) {
                self.0.ticket.store(Ticket::CLOSED.0, Ordering::Release);
            }
        }
        let leading = &team;
        rayon::in_place_scope(|scope| {
            let _close = Close(leading);
            for _ in 1..threads {
                scope.spawn(move |_| leading.help());
            }
            f(leading)
        })
    }

    /// Threads of the team, helpers that have not come included.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `f` for every part. Only the leader may call it, and not from inside another loop.
    pub fn for_each(&self, parts: usize, f: impl Fn(usize) + Sync) {
        if parts == 0 {
            return;
        }
        let mut job: Job = &f;
        self.done.store(0, Ordering::Relaxed);
        self.job.store((&raw mut job).cast(), Ordering::Relaxed);
        let last = Ticket(self.ticket.load(Ordering::Relaxed));
        self.ticket.store(Ticket::first(last.number() + 1, parts).0, Ordering::Release);
        // Also when a part panics on this thread, `f` must stay until the helpers are done with theirs.
        struct Finish<'a>(&'a Team);
        impl Drop for Finish<'_> {
            fn drop(&mut self) {
                self.0.finish();
            }
        }
        let _finish = Finish(self);
        while self.take() {}
    }

    /// Gives out no more parts of the loop, and waits until those that were given out are done.
    fn finish(&self) {
        let number = Ticket(self.ticket.load(Ordering::Relaxed)).number();
        let last = Ticket(self.ticket.swap(Ticket::first(number, 0).0, Ordering::AcqRel));
        let mut wait = Wait::default();
        while self.done.load(Ordering::Acquire) < last.taken() {
            wait.a_little();
        }
    }

    /// Does one part, if one is left.
    fn take(&self) -> bool {
        let ticket = Ticket(self.ticket.load(Ordering::Acquire));
        let Some(part) = ticket.part() else { return false };
        let job = self.job.load(Ordering::Relaxed);
        let next = ticket.0 + 1;
        if self.ticket.compare_exchange(ticket.0, next, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return true;
        }
        /// Counts the part as done also when it panics, for the leader would wait for ever.
        struct Done<'a>(&'a AtomicUsize);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Release);
            }
        }
        let _done = Done(&self.done);
        // SAFETY: this thread has a part of the loop whose ticket it read before the job, and the leader keeps that job alive
        // until the part is done.
        let job = unsafe { *job };
        job(part);
        true
    }

    fn help(&self) {
        let mut wait = Wait::default();
        while self.ticket.load(Ordering::Acquire) != Ticket::CLOSED.0 {
            if self.take() {
                wait = Wait::default();
            } else {
                wait.a_little();
            }
        }
    }
}

/// Waiting that turns from spinning to letting others run.
#[derive(Default)]
struct Wait(u32);

impl Wait {
    fn a_little(&mut self) {
        if self.0 < SPINS {
            self.0 += 1;
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once_in_loop_after_loop() {
        for threads in [1, 2, 3, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let run = || {
                Team::lead(threads, |team| {
                    for round in 0..300 {
                        let parts = round % 13;
                        let counts: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
                        team.for_each(parts, |part| {
                            counts[part].fetch_add(1, Ordering::Relaxed);
                        });
                        assert!(counts.iter().all(|n| n.load(Ordering::Relaxed) == 1));
                    }
                });
            };
            // Led from outside the pool, and from inside it.
            run();
            pool.install(run);
        }
    }

    #[test]
    fn a_leader_that_panics_waits_for_its_helpers() {
        let (started, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let leader = std::thread::current().id();
        let outcome = std::panic::catch_unwind(|| {
            Team::lead(3, |team| {
                let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    team.for_each(1000, |_| {
                        started.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(std::time::Duration::from_micros(200));
                        ended.fetch_add(1, Ordering::Relaxed);
                        assert!(std::thread::current().id() != leader, "the leader's own part");
                    });
                }));
                // Nobody is inside the loop any more.
                assert_eq!(started.load(Ordering::SeqCst), ended.load(Ordering::SeqCst));
                seen.unwrap();
            });
        });
        assert!(outcome.is_err());
    }

    #[test]
    fn a_panic_is_passed_on_and_nobody_waits_for_ever() {
        for bad in [0, 5] {
            let outcome = std::panic::catch_unwind(|| {
                Team::lead(2, |team| {
                    team.for_each(6, |part| assert!(part != bad, "part {part}"));
                    // A helper's panic reaches the leader at the end.
                });
            });
            assert!(outcome.is_err());
        }
    }
}

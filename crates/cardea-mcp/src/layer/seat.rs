//! The seat of a call, which it leaves while its user is asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// For each seat, so many calls may wait for their users beside it. What they hold in memory is bounded so.
const WAITING: usize = 16;

/// The seats of a server, and the places beside them.
#[derive(Clone)]
pub(super) struct Room {
    pub(super) seats: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Room {
    pub(super) fn new(seats: usize) -> Self {
        let some = |places: usize| Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)));
        Self { seats: some(seats), waiting: some(seats.saturating_mul(WAITING)) }
    }
}

/// A seat, taken.
pub(crate) struct Taken {
    pub(super) room: Room,
    /// Held.
    pub(super) _seat: OwnedSemaphorePermit,
}

/// Where one call sits.
#[derive(Default)]
pub(crate) struct Seat(Arc<Mutex<Place>>);

#[derive(Default)]
enum Place {
    /// Nowhere: there is no limit, or the call is over.
    #[default]
    Nowhere,
    In(Taken),
    /// Beside the seats, waiting for its user.
    Beside(Room, Option<Back>),
}

/// Waits for a seat, and sits there. INVARIANT: a call takes one seat, however many answers it waited for at once, so
/// all of them share one place in the line. Each moves it on: a handler may poll only one of its questions.
type Back = Shared<BoxFuture<'static, ()>>;

impl Seat {
    /// Sits here until the guard is dropped, wherever it is by then.
    pub(crate) fn take(&self, taken: Taken) -> impl Drop + '_ {
        *self.place() = Place::In(taken);
        Sitting(self)
    }

    /// Waits for this beside the seats, and goes on once there is one again. With all places there taken it waits in its seat.
    pub(crate) async fn left_for<T>(&self, answer: impl Future<Output = T>) -> T {
        let _beside = Beside { seat: self, _place: self.leave() };
        let answer = answer.await;
        // WHY no limit of its own: the user has answered. The call's time and its client end the wait.
        while let Some(back) = self.back() {
            back.await; // the call may have left again for another question
        }
        answer
    }

    fn leave(&self) -> Option<OwnedSemaphorePermit> {
        let mut place = self.place();
        let Place::In(Taken { room, .. }) = &*place else { return None };
        let beside = room.waiting.clone().try_acquire_owned().ok()?;
        *place = Place::Beside(room.clone(), None); // and its seat is free
        Some(beside)
    }

    /// Returns the way back to a seat, if the call is beside them.
    fn back(&self) -> Option<Back> {
        let mut place = self.place();
        let Place::Beside(room, back) = &mut *place else { return None };
        let (seat, seats) = (Arc::downgrade(&self.0), room.seats.clone());
        let sits = async move {
            let taken = seats.acquire_owned().await.ok();
            if let Some(seat) = seat.upgrade() {
                Self(seat).sit(taken);
            }
        };
        Some(back.get_or_insert_with(|| sits.boxed().shared()).clone())
    }

    fn sit(&self, seat: Option<OwnedSemaphorePermit>) {
        let mut place = self.place();
        if let Place::Beside(room, _) = &*place {
            *place = match seat {
                Some(seat) => Place::In(Taken { room: room.clone(), _seat: seat }),
                None => Place::Nowhere,
            };
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Sitting<'a>(&'a Seat);

impl Drop for Sitting<'_> {
    fn drop(&mut self) {
        *self.0.place() = Place::Nowhere;
    }
}

struct Beside<'a> {
    seat: &'a Seat,
    _place: Option<OwnedSemaphorePermit>,
}

impl Drop for Beside<'_> {
    /// A handler that waits no longer goes on at once: in a seat, if one is free.
    fn drop(&mut self) {
        let room = match &*self.seat.place() {
            Place::Beside(room, _) => room.clone(),
            Place::In(_) | Place::Nowhere => return,
        };
        if let Ok(seat) = room.seats.try_acquire_owned() {
            self.seat.sit(Some(seat));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn taken(room: &Room) -> Taken {
        Taken { room: room.clone(), _seat: room.seats.clone().try_acquire_owned().unwrap() }
    }

    #[test]
    fn only_so_many_wait_beside_each_seat_and_the_rest_in_theirs() {
        let room = Room::new(2);
        let seats: Vec<Seat> = (0..=2 * WAITING).map(|_| Seat::default()).collect();
        let mut waits = Vec::new();
        for seat in &seats {
            let sitting = seat.take(taken(&room));
            let mut wait = Box::pin(seat.left_for(std::future::pending::<()>()));
            assert!(wait.as_mut().now_or_never().is_none());
            waits.push((wait, sitting));
        }
        assert_eq!(room.seats.available_permits(), 1, "the last one keeps its seat");
        waits.clear();
        assert_eq!(room.seats.available_permits(), 2);
    }

    #[test]
    fn whoever_waits_no_longer_sits_again_and_nobody_after_the_call() {
        let (room, seat) = (Room::new(1), Seat::default());
        let sitting = seat.take(taken(&room));
        let mut one = Box::pin(seat.left_for(std::future::pending::<()>()));
        let mut two = Box::pin(seat.left_for(std::future::pending::<()>()));
        assert!(one.as_mut().now_or_never().is_none() && two.as_mut().now_or_never().is_none());
        assert_eq!(room.seats.available_permits(), 1);
        drop(one);
        assert_eq!(room.seats.available_permits(), 0, "its handler goes on");
        drop(sitting);
        drop(two);
        assert_eq!((room.seats.available_permits(), room.waiting.available_permits()), (1, WAITING));
    }

    #[test]
    fn an_answer_waits_for_a_seat() {
        let (room, seat) = (Room::new(1), Seat::default());
        let _sitting = seat.take(taken(&room));
        let (answers, answer) = tokio::sync::oneshot::channel::<u8>();
        let mut asked = Box::pin(seat.left_for(answer));
        assert!(asked.as_mut().now_or_never().is_none());
        let other = taken(&room);
        answers.send(7).unwrap();
        assert!(asked.as_mut().now_or_never().is_none(), "all seats are taken");
        drop(other);
        assert_eq!(asked.as_mut().now_or_never(), Some(Ok(7)));
        assert_eq!(room.seats.available_permits(), 0);
    }

    #[test]
    fn two_answers_that_came_at_once_wait_for_one_seat() {
        let (room, seat) = (Room::new(1), Seat::default());
        let _sitting = seat.take(taken(&room));
        let (first, one) = tokio::sync::oneshot::channel::<u8>();
        let (second, two) = tokio::sync::oneshot::channel::<u8>();
        let mut both = Box::pin(futures::future::join(seat.left_for(one), seat.left_for(two)));
        assert!(both.as_mut().now_or_never().is_none());
        let other = taken(&room);
        first.send(1).unwrap();
        second.send(2).unwrap();
        assert!(both.as_mut().now_or_never().is_none(), "all seats are taken");
        drop(other);
        assert_eq!(both.as_mut().now_or_never(), Some((Ok(1), Ok(2))));
        assert_eq!(room.seats.available_permits(), 0, "the call has one seat");
    }

    #[test]
    fn an_answer_that_comes_after_another_sits_though_nobody_polls_that_one() {
        let (room, seat) = (Room::new(1), Seat::default());
        let _sitting = seat.take(taken(&room));
        let (first, one) = tokio::sync::oneshot::channel::<u8>();
        let (second, two) = tokio::sync::oneshot::channel::<u8>();
        let mut one = Box::pin(seat.left_for(one));
        assert!(one.as_mut().now_or_never().is_none());
        let other = taken(&room);
        first.send(1).unwrap();
        assert!(one.as_mut().now_or_never().is_none(), "all seats are taken");
        let mut two = Box::pin(seat.left_for(two));
        assert!(two.as_mut().now_or_never().is_none());
        second.send(2).unwrap();
        assert!(two.as_mut().now_or_never().is_none(), "all seats are taken");
        drop(other);
        assert_eq!(two.as_mut().now_or_never(), Some(Ok(2)));
        assert_eq!(room.seats.available_permits(), 0);
        assert_eq!(one.as_mut().now_or_never(), Some(Ok(1)));
        assert_eq!(room.seats.available_permits(), 0, "the call has one seat");
    }
}

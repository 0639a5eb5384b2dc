//! Ports for processes that are started, stopped and started again on the same port.

use std::{
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

/// Below it the system assigns no ports to outgoing connections (`ip_local_port_range` begins at 32,768).
const LAST: u16 = 32_000;
const FIRST: u16 = 12_000;

/// Returns an address of the loopback interface on which nothing listens, and which is given to no one else.
///
/// WHY: a port that was assigned by the system and released goes to the next outgoing connection; a process that
/// should listen there, now or after its next start, then does not come up.
///
/// # Panics
/// If no port is free.
#[must_use]
pub fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() * 61 % u32::from(LAST - FIRST)) as u16;
    (0..LAST - FIRST)
        .map(|_| {
            let step = NEXT.fetch_add(1, Ordering::Relaxed) % (LAST - FIRST);
            SocketAddr::from(([127, 0, 0, 1], FIRST + (first + step) % (LAST - FIRST)))
        })
        .find(|address| TcpListener::bind(address).is_ok())
        .unwrap_or_else(|| unreachable!("{} ports are taken", LAST - FIRST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_given_what_another_has_or_what_the_system_gives() {
        let (one, two) = (free(), free());
        assert_ne!(one, two);
        let _taken = TcpListener::bind(one).expect("nobody listens there");
        assert!(one.port() < LAST && two.port() < LAST);
    }
}

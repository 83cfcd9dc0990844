//! Who may be connected when there is not room for all: bounds that a stranger cannot turn against others.
//!
//! Every connection comes as a stranger. When all places are taken, the next one gets the place of the oldest stranger, of those
//! from the source that holds most where that is an eighth of all places, and else of all: a few at once are no flood. So who opens many connections loses his own, a source that everybody comes
//! from (a load balancer) loses its oldest, and a fresh connection has a place as long as it takes to say who it is.
//! Who has shown that is kept, whoever comes after, while at work; between two requests he goes while strangers hold less than a
//! quarter of the places, the one who has rested longest first.
//!
//! No source has more than seven eighths of the places, known or not: one more of it gets the place of one of its own. So who has
//! a secret, and keeps us at work over as many connections as he can open, leaves places to everybody else.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// The part of all places that one source does not get, and from which on it counts as one that holds many.
const OTHERS: usize = 8;

/// Places for connections; clones share them.
#[derive(Debug, Clone)]
pub struct Room(Arc<Mutex<Guests>>);

#[derive(Debug)]
struct Guests {
    capacity: usize,
    arrivals: u64,
    strangers: BTreeMap<u64, Guest>,
    kept: BTreeMap<u64, Guest>,
    /// Those of the kept that rest, by when they began to.
    resting: BTreeMap<u64, u64>,
    /// Strangers of each source.
    held: HashMap<IpAddr, usize>,
    /// Strangers and kept ones of each source.
    present: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Guest {
    source: IpAddr,
    evicted: CancellationToken,
    resting: Option<u64>,
}

/// One connection's place, given back when it is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    room: Room,
    arrival: u64,
    evicted: CancellationToken,
}

impl Room {
    /// A room with this many places.
    #[must_use]
    pub fn of(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(Guests {
            capacity,
            arrivals: 0,
            strangers: BTreeMap::new(),
            kept: BTreeMap::new(),
            resting: BTreeMap::new(),
            held: HashMap::new(),
            present: HashMap::new(),
        })))
    }

    /// A place for a connection from an address; none when all that it could have are taken by those who are kept and at work.
    #[must_use]
    pub fn enter(&self, from: IpAddr) -> Option<ConnectionPermit> {
        let (mut guests, source) = (self.lock(), source(from));
        let of_it = guests.present.get(&source).copied().unwrap_or_default();
        if of_it >= guests.capacity - guests.capacity / OTHERS {
            guests.evict(Some(source))?;
        } else if guests.strangers.len() + guests.kept.len() >= guests.capacity {
            guests.evict(None)?;
        }
        guests.arrivals += 1;
        let (arrival, evicted) = (guests.arrivals, CancellationToken::new());
        *guests.present.entry(source).or_default() += 1;
        guests.add_stranger(arrival, Guest { source, evicted: evicted.clone(), resting: None });
        Some(ConnectionPermit { room: self.clone(), arrival, evicted })
    }

    fn lock(&self) -> MutexGuard<'_, Guests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guests {
    /// Gives somebody's place away: of a source, or of all.
    fn evict(&mut self, of: Option<IpAddr>) -> Option<()> {
        let strangers = of.map_or(self.strangers.len(), |of| self.held.get(&of).copied().unwrap_or_default());
        // a few strangers have time to say who they are, while others rest
        let are_few = strangers * 4 < self.capacity;
        let rests = |arrival: &u64| of.is_none_or(|of| self.kept.get(arrival).is_some_and(|guest| guest.source == of));
        let resting =
            self.resting.iter().find(|(_, arrival)| rests(arrival)).map(|(since, arrival)| (*since, *arrival));
        let evicted = match resting {
            Some((since, arrival)) if are_few => {
                self.resting.remove(&since);
                self.kept.remove(&arrival)?
            }
            _ => {
                let most = self.held.values().copied().max()?;
                let is_meant = |guest: &Guest| match of {
                    Some(of) => guest.source == of,
                    None if most * OTHERS >= self.capacity => self.held.get(&guest.source) == Some(&most),
                    None => true,
                };
                let oldest = self.strangers.iter().find(|(_, guest)| is_meant(guest)).map(|(arrival, _)| *arrival)?;
                self.remove_stranger(oldest)?
            }
        };
        decrease(&mut self.present, evicted.source);
        evicted.evicted.cancel();
        Some(())
    }

    /// Takes one of the kept out of those that rest; false when he is not kept.
    fn wake(&mut self, arrival: u64) -> bool {
        let Some(guest) = self.kept.get_mut(&arrival) else { return false };
        if let Some(since) = guest.resting.take() {
            self.resting.remove(&since);
        }
        true
    }

    fn add_stranger(&mut self, arrival: u64, guest: Guest) {
        *self.held.entry(guest.source).or_default() += 1;
        self.strangers.insert(arrival, guest);
    }

    fn remove_stranger(&mut self, arrival: u64) -> Option<Guest> {
        let guest = self.strangers.remove(&arrival)?;
        decrease(&mut self.held, guest.source);
        Some(guest)
    }
}

fn decrease(counts: &mut HashMap<IpAddr, usize>, source: IpAddr) {
    if let Some(count) = counts.get_mut(&source) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&source);
        }
    }
}

impl ConnectionPermit {
    /// Ends when the place has been given to somebody else: the connection is to be closed.
    pub fn evicted(&self) -> WaitForCancellationFuture<'_> {
        self.evicted.cancelled()
    }

    /// From now on the place is given to nobody else; false when it has been already.
    #[must_use]
    pub fn keep(&self) -> bool {
        let mut guests = self.room.lock();
        if let Some(guest) = guests.remove_stranger(self.arrival) {
            guests.kept.insert(self.arrival, guest);
            return true;
        }
        guests.wake(self.arrival)
    }

    /// Known, and with nothing to do: the place is given away while strangers hold few. Who rests already goes on resting.
    pub fn rest(&self) {
        let mut guests = self.room.lock();
        guests.arrivals += 1;
        let since = guests.arrivals;
        if let Some(guest) = guests.kept.get_mut(&self.arrival)
            && guest.resting.is_none()
        {
            guest.resting = Some(since);
            guests.resting.insert(since, self.arrival);
        }
    }

    /// A stranger again, as old as it is.
    pub fn expose(&self) {
        let mut guests = self.room.lock();
        guests.wake(self.arrival);
        if let Some(guest) = guests.kept.remove(&self.arrival) {
            guests.add_stranger(self.arrival, guest);
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut guests = self.room.lock();
        guests.wake(self.arrival);
        if let Some(guest) = guests.kept.remove(&self.arrival).or_else(|| guests.remove_stranger(self.arrival)) {
            decrease(&mut guests.present, guest.source);
        }
    }
}

/// What counts as one source: an IPv4 address, or the /64 that one IPv6 host may take its addresses from.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(room: &Room, from: &str) -> Option<ConnectionPermit> {
        room.enter(from.parse().unwrap())
    }

    fn is_evicted(permit: &ConnectionPermit) -> bool {
        permit.evicted.is_cancelled()
    }

    #[test]
    fn who_holds_most_loses_the_oldest_and_nobody_else_loses_any() {
        let room = Room::of(8);
        let honest = enter(&room, "192.0.2.1").unwrap();
        let flood: Vec<_> = (0..7).map(|_| enter(&room, "203.0.113.9").unwrap()).collect();
        let more: Vec<_> = (0..5).map(|_| enter(&room, "203.0.113.9").unwrap()).collect();
        let fresh = enter(&room, "198.51.100.4").unwrap();
        assert!(!is_evicted(&honest) && !is_evicted(&fresh));
        assert_eq!(flood.iter().map(is_evicted).collect::<Vec<_>>(), [true, true, true, true, true, true, false]);
        assert!(!more.iter().any(is_evicted));
    }

    #[test]
    fn from_one_source_the_oldest_stranger_makes_room_and_those_who_are_known_stay() {
        let room = Room::of(3);
        let known = enter(&room, "192.0.2.1").unwrap();
        assert!(known.keep());
        let mut strangers = Vec::new();
        for _ in 0..4 {
            strangers.push(enter(&room, "192.0.2.1").unwrap());
        }
        assert!(!is_evicted(&known));
        assert_eq!(strangers.iter().map(is_evicted).collect::<Vec<_>>(), [true, true, false, false]);
        known.expose();
        let last = enter(&room, "192.0.2.1").unwrap();
        assert!(is_evicted(&known) && !is_evicted(&last), "a stranger again, and the oldest");
    }

    #[test]
    fn where_all_are_known_nobody_gets_in_until_one_leaves() {
        let room = Room::of(2);
        let known = [enter(&room, "192.0.2.1").unwrap(), enter(&room, "192.0.2.2").unwrap()];
        assert!(known.iter().all(ConnectionPermit::keep));
        assert!(enter(&room, "192.0.2.3").is_none());
        let [first, _second] = known;
        drop(first);
        let third = enter(&room, "192.0.2.3").unwrap();
        drop(third);
        let guests = room.lock();
        assert_eq!((guests.strangers.len(), guests.kept.len(), guests.held.len()), (0, 1, 0), "nothing is left behind");
    }

    #[test]
    fn where_all_are_known_the_one_that_rested_longest_makes_room_and_none_at_work() {
        let room = Room::of(3);
        let known = [(); 3].map(|()| enter(&room, "192.0.2.1").unwrap());
        assert!(known.iter().all(ConnectionPermit::keep));
        known[2].rest();
        known[0].rest();
        let fresh = enter(&room, "192.0.2.2").unwrap();
        assert_eq!([0, 1, 2].map(|at| is_evicted(&known[at])), [false, false, true]);
        assert!(!known[2].keep(), "too late");
        assert!(known[0].keep() && fresh.keep(), "at work again");
        assert!(enter(&room, "192.0.2.3").is_none());
        drop((known, fresh));
        let guests = room.lock();
        assert_eq!((guests.kept.len(), guests.resting.len()), (0, 0), "nothing is left behind");
    }

    #[test]
    fn fresh_ones_do_not_fight_for_one_permit_while_others_rest() {
        let room = Room::of(8);
        let known = [1, 2, 1, 2, 1, 2, 1, 2].map(|host| enter(&room, &format!("192.0.2.{host}")).unwrap());
        assert!(known.iter().all(ConnectionPermit::keep));
        known.iter().for_each(ConnectionPermit::rest);
        let fresh = [(); 2].map(|()| enter(&room, "192.0.2.1").unwrap());
        assert!(!fresh.iter().any(is_evicted));
        let flood: Vec<_> = (0..20).map(|_| enter(&room, "203.0.113.9").unwrap()).collect();
        assert_eq!(known.iter().filter(|known| !is_evicted(known)).count(), 6, "a flood takes no more of theirs");
        drop(flood);
    }

    #[test]
    fn a_few_fresh_ones_of_a_source_do_not_lose_to_a_flood_from_many_sources() {
        let room = Room::of(64);
        let mut flood: Vec<_> = (0..64).map(|host| enter(&room, &format!("203.0.113.{host}")).unwrap()).collect();
        let fresh: Vec<_> = (0..4).map(|_| enter(&room, "192.0.2.1").unwrap()).collect();
        flood.extend((64..100).map(|host| enter(&room, &format!("203.0.113.{host}")).unwrap()));
        assert!(!fresh.iter().any(is_evicted), "they have time to say who they are");
        assert_eq!(flood.iter().filter(|one| is_evicted(one)).count(), 40);
    }

    #[test]
    fn one_source_leaves_places_to_others_even_where_it_keeps_all_of_its_own_at_work() {
        let room = Room::of(16);
        let busy: Vec<_> = (0..14).map(|_| enter(&room, "203.0.113.9").unwrap()).collect();
        assert!(busy.iter().all(ConnectionPermit::keep));
        assert!(enter(&room, "203.0.113.9").is_none(), "all of its own are at work");
        let fresh = [1, 2].map(|host| enter(&room, &format!("192.0.2.{host}")).unwrap());
        assert!(fresh.iter().all(ConnectionPermit::keep));
        busy[3].rest();
        let other = enter(&room, "203.0.113.9").expect("in the place of its own that rests");
        assert_eq!((is_evicted(&busy[3]), busy.iter().filter(|one| is_evicted(one)).count()), (true, 1));
        let again = enter(&room, "203.0.113.9").expect("in the place of its own stranger");
        assert!(is_evicted(&other) && !is_evicted(&again) && !fresh.iter().any(is_evicted));
        drop((busy, fresh, other, again));
        let guests = room.lock();
        assert_eq!(
            (guests.present.len(), guests.held.len(), guests.resting.len()),
            (0, 0, 0),
            "nothing is left behind"
        );
    }

    #[test]
    fn who_rests_twice_rests_once_and_since_the_first_time() {
        let room = Room::of(3);
        let known = [1, 2, 3].map(|host| enter(&room, &format!("192.0.2.{host}")).unwrap());
        assert!(known.iter().all(ConnectionPermit::keep));
        for at in [0, 1, 0] {
            known[at].rest();
        }
        assert_eq!(room.lock().resting.len(), 2);
        let _fresh = enter(&room, "192.0.2.4").unwrap();
        assert!(is_evicted(&known[0]) && !is_evicted(&known[1]));
        assert!(known[1].keep());
        assert_eq!(room.lock().resting.len(), 0);
    }

    #[test]
    fn one_host_is_one_source_whatever_address_of_its_network_it_takes() {
        for (one, other, same) in [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            assert_eq!(source(one.parse().unwrap()) == source(other.parse().unwrap()), same, "{one} {other}");
        }
    }
}

//! Topics: a message for all who have subscribed, encoded once, and compressed once for each size of window among them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use raddle_core::Role;
use raddle_socket::{Deflate, Delivery, Message, Options, Publication, WeakWriter, Writer};

use crate::registry::ConnectionId;
use crate::server::Server;

/// Carries what is published to where its subscribers are. By default they are all in this process.
///
/// A program that runs on several machines hands its publications to a broker here, and calls
/// [`Server::deliver`](crate::Server::deliver) on each machine for what the broker brings, those of its own included.
pub trait Backplane: Send + Sync {
    /// Carries a message that was published by `server`. It may be called from any thread, and must not wait.
    fn publish(&self, server: &Server, topic: &str, message: Message<'_>, except: Option<ConnectionId>);
}

/// The backplane of a server that is alone: delivers at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InProcess;

impl Backplane for InProcess {
    fn publish(&self, server: &Server, topic: &str, message: Message<'_>, except: Option<ConnectionId>) {
        server.deliver(topic, message, except);
    }
}

/// How far a publication has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// Subscribers that get it.
    pub sent: usize,
    /// Subscribers that do not keep up, and do without it.
    pub dropped: usize,
}

impl Delivered {
    /// Gives a message to connections that are there still.
    pub(crate) fn to(writers: impl Iterator<Item = Option<Writer>>, publication: &Publication) -> Self {
        let mut delivered = Self::default();
        for writer in writers {
            match writer.map(|writer| writer.publish(publication)) {
                Some(Delivery::Sent) => delivered.sent += 1,
                Some(Delivery::Dropped) => delivered.dropped += 1,
                Some(Delivery::Closed) | None => {}
            }
        }
        delivered
    }
}

/// A connection has subscribed to as much as [`Builder::max_topics`](crate::Builder::max_topics) allows, and stays subscribed to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyTopics;

impl fmt::Display for TooManyTopics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection has as many topics as it may have")
    }
}

impl std::error::Error for TooManyTopics {}

/// What these connections have agreed on, once for each size of window.
pub(crate) fn agreements(writers: &[Writer]) -> Vec<Deflate> {
    let mut agreements: Vec<Deflate> = writers.iter().filter_map(|writer| writer.info().deflate).collect();
    agreements.sort_by_key(|deflate| deflate.window_bits(Role::Server));
    agreements.dedup_by_key(|deflate| deflate.window_bits(Role::Server));
    agreements
}

/// The topics of a server, and who has subscribed to them.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    topics: HashMap<Arc<str>, Arc<Topic>>,
    /// Of the connections that have subscribed to any.
    of_connection: HashMap<ConnectionId, Subscriptions>,
}

#[derive(Debug, Default)]
struct Subscriptions {
    names: Vec<Arc<str>>,
    /// What they count together.
    weight: usize,
}

/// Those who get what is published to a topic.
#[derive(Default)]
struct Topic {
    /// Held while a message is delivered, so that all get the messages in the same order.
    order: Mutex<()>,
    /// Apart from that: a connection that ends in a delivery takes itself out.
    subscribers: Mutex<Subscribers>,
}

#[derive(Default)]
struct Subscribers {
    all: Arc<Vec<Subscriber>>,
    /// Where each is in it: all leave at once where a network goes, and none is searched for.
    places: HashMap<ConnectionId, usize>,
    /// Agreements of different windows, with the number of subscribers that have each of these.
    agreements: Vec<(Deflate, usize)>,
}

#[derive(Clone)]
struct Subscriber {
    id: ConnectionId,
    writer: WeakWriter,
    /// The bits of the window with which it compresses; 0: it does not.
    window: u8,
}

impl Topics {
    /// `false`: it has subscribed already. An error where the connection's topics would count more than `max`.
    pub(crate) fn subscribe(&self, connection: &Writer, name: &str, max: usize) -> Result<bool, TooManyTopics> {
        let id = ConnectionId::of(connection.info());
        let index = &mut *self.index.lock();
        let known = index.topics.get_key_value(name);
        if known.is_some_and(|(_, topic)| topic.subscribers.lock().places.contains_key(&id)) {
            return Ok(false);
        }
        let before = index.of_connection.get(&id).map_or(0, |subscriptions| subscriptions.weight);
        let weight = before + weight(name);
        if weight > max {
            return Err(TooManyTopics);
        }
        let name: Arc<str> = known.map_or_else(|| name.into(), |(known, _)| Arc::clone(known));
        let subscriptions = index.of_connection.entry(id).or_default();
        subscriptions.names.push(Arc::clone(&name));
        subscriptions.weight = weight;
        let topic = index.topics.entry(name).or_default();
        topic.subscribers.lock().enter(id, connection);
        Ok(true)
    }

    /// `false`: it has not subscribed.
    pub(crate) fn unsubscribe(&self, id: ConnectionId, name: &str) -> bool {
        let index = &mut *self.index.lock();
        let Some(Subscriptions { names, weight: all }) = index.of_connection.get_mut(&id) else { return false };
        let Some(place) = names.iter().position(|known| **known == *name) else { return false };
        names.swap_remove(place);
        *all -= weight(name);
        if names.is_empty() {
            index.of_connection.remove(&id);
        }
        index.remove(id, name);
        true
    }

    /// Takes a connection that has ended out of all topics.
    pub(crate) fn leave(&self, id: ConnectionId) {
        let index = &mut *self.index.lock();
        for name in index.of_connection.remove(&id).unwrap_or_default().names {
            index.remove(id, &name);
        }
    }

    /// The topics that a connection has subscribed to.
    pub(crate) fn of(&self, id: ConnectionId) -> Vec<Arc<str>> {
        self.index.lock().of_connection.get(&id).map_or_else(Vec::new, |subscriptions| subscriptions.names.clone())
    }

    /// One of these, from 0 on.
    pub(crate) fn nth_of(&self, id: ConnectionId, index: usize) -> Option<Arc<str>> {
        self.index.lock().of_connection.get(&id)?.names.get(index).cloned()
    }

    /// The number of subscribers of a topic.
    pub(crate) fn len(&self, name: &str) -> usize {
        self.find(name).map_or(0, |topic| topic.subscribers.lock().all.len())
    }

    /// Gives a message to all subscribers of a topic but one.
    pub(crate) fn deliver(
        &self,
        name: &str,
        message: Message<'_>,
        except: Option<ConnectionId>,
        options: &Options,
    ) -> Delivered {
        let Some(topic) = self.find(name) else { return Delivered::default() };
        // Whoever subscribes before it is delivered gets it as it is, where nobody else has the same window.
        let agreements: Vec<_> = topic.subscribers.lock().agreements.iter().map(|(deflate, _)| *deflate).collect();
        let publication = Publication::new(message, options, &agreements);
        let _order = topic.order.lock();
        let subscribers = Arc::clone(&topic.subscribers.lock().all);
        let others = subscribers.iter().filter(|subscriber| except != Some(subscriber.id));
        Delivered::to(others.map(|subscriber| subscriber.writer.upgrade()), &publication)
    }

    fn find(&self, name: &str) -> Option<Arc<Topic>> {
        self.index.lock().topics.get(name).cloned()
    }
}

/// What a topic counts among those of a connection: as a peer may choose its name, a long one counts as several.
fn weight(name: &str) -> usize {
    name.len().div_ceil(NAME).max(1)
}

impl Index {
    /// Takes a subscriber out of a topic, and forgets a topic that has none.
    fn remove(&mut self, id: ConnectionId, name: &str) {
        let Some(topic) = self.topics.get(name) else { return };
        if topic.subscribers.lock().leave(id) {
            self.topics.remove(name);
        }
    }
}

impl Subscribers {
    fn enter(&mut self, id: ConnectionId, connection: &Writer) {
        let deflate = connection.info().deflate;
        let window = deflate.map_or(0, |deflate| deflate.window_bits(Role::Server));
        if let Some(deflate) = deflate {
            match self.agreements.iter_mut().find(|(known, _)| known.window_bits(Role::Server) == window) {
                Some((_, count)) => *count += 1,
                None => self.agreements.push((deflate, 1)),
            }
        }
        self.places.insert(id, self.all.len());
        Arc::make_mut(&mut self.all).push(Subscriber { id, writer: connection.downgrade(), window });
    }

    /// Takes one out. `true`: there is none left.
    fn leave(&mut self, id: ConnectionId) -> bool {
        if let Some(place) = self.places.remove(&id) {
            let all = Arc::make_mut(&mut self.all);
            let window = all.swap_remove(place).window;
            if let Some(moved) = all.get(place) {
                self.places.insert(moved.id, place);
            }
            self.agreements.retain_mut(|(deflate, count)| {
                *count -= usize::from(deflate.window_bits(Role::Server) == window);
                *count > 0
            });
        }
        self.all.is_empty()
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic").finish_non_exhaustive()
    }
}

/// The bytes of a name that counts as one topic.
const NAME: usize = 256;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use raddle_socket::{Connection, Opening, Role, Socket};

    use super::*;

    #[test]
    fn each_subscriber_is_where_the_index_says_whoever_leaves() {
        let open = |id: u64| {
            let (ours, _) = UnixStream::pair().expect("two descriptors");
            let mut opening = Opening::new(Role::Server, Options::default());
            opening.info.id = id;
            Connection::open(Socket::unix(ours).expect("a socket"), opening).expect("a connection").writer()
        };
        let writers: Vec<Writer> = (1..=20).map(open).collect();
        let topics = Topics::default();
        for writer in &writers {
            assert_eq!(["topic"; 2].map(|name| topics.subscribe(writer, name, 1)), [Ok(true), Ok(false)]);
        }
        let mut left = 20;
        // The last, the first, one amid them, and so on; nobody twice.
        for place in [19, 0, 7, 18, 1, 8, 17, 2, 9, 16, 3, 10, 15, 4, 11, 14, 5, 12, 13, 6] {
            let id = ConnectionId::of(writers[place].info());
            let topic = topics.find("topic").expect("somebody is left");
            assert!(topics.unsubscribe(id, "topic") && !topics.unsubscribe(id, "topic"));
            left -= 1;
            let subscribers = topic.subscribers.lock();
            assert_eq!((subscribers.all.len(), subscribers.places.len()), (left, left));
            for (place, subscriber) in subscribers.all.iter().enumerate() {
                assert_eq!(subscribers.places.get(&subscriber.id), Some(&place));
            }
        }
        assert!(topics.find("topic").is_none());
    }
}

//! Who is out there: what nodes said last of themselves, and which of them leads its shard.

use std::{collections::BTreeMap, time::Duration};

use protocol::{
    ShardId,
    wire::{Hello, NodeRole},
};

/// The nodes heard of, one entry a replica.
#[derive(Default)]
pub struct Discovery {
    nodes: BTreeMap<(ShardId, u8), Node>,
}

struct Node {
    hello: Hello,
    heard: Duration,
}

impl Discovery {
    /// Takes a node's word; that of an earlier start of the same replica is old.
    pub fn hear(&mut self, hello: Hello, now: Duration) {
        let node =
            self.nodes.entry((hello.shard, hello.replica)).or_insert(Node { hello, heard: now });
        if hello.incarnation >= node.hello.incarnation {
            *node = Node { hello, heard: now };
        }
    }

    /// The node that leads the shard and when it was heard: of all that claim it the one of the
    /// highest epoch, and of several starts in one epoch the latest.
    pub fn primary(&self, shard: ShardId) -> Option<(&Hello, Duration)> {
        self.nodes
            .range((shard, u8::MIN)..=(shard, u8::MAX))
            .map(|(_, node)| node)
            .filter(|node| node.hello.role == NodeRole::Primary)
            .max_by_key(|node| (node.hello.epoch, node.hello.incarnation))
            .map(|node| (&node.hello, node.heard))
    }

    /// Every shard that some node spoke of.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> {
        let mut last = None;
        self.nodes
            .keys()
            .filter_map(move |(shard, _)| (last.replace(*shard) != Some(*shard)).then_some(*shard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Name;

    const NOW: Duration = Duration::from_secs(1);

    fn hello(replica: u8, role: NodeRole, epoch: u32, incarnation: u64) -> Hello {
        Hello {
            shard: ShardId(1),
            replica,
            role,
            _pad: 0,
            epoch,
            incarnation,
            ingress_stream: 7,
            _pad2: 0,
            committed: 0,
            ingress_channel: Name::EMPTY,
        }
    }

    #[test]
    fn the_highest_epoch_leads_and_an_old_start_is_not_heard() {
        let mut discovery = Discovery::default();
        assert!(discovery.primary(ShardId(1)).is_none());
        discovery.hear(hello(0, NodeRole::Primary, 1, 5), NOW);
        discovery.hear(hello(1, NodeRole::Standby, 1, 9), NOW);
        assert_eq!(discovery.primary(ShardId(1)).unwrap().0.replica, 0);
        discovery.hear(hello(1, NodeRole::Primary, 2, 9), NOW);
        assert_eq!(discovery.primary(ShardId(1)).unwrap().0.replica, 1);
        discovery.hear(hello(1, NodeRole::Primary, 3, 8), NOW);
        assert_eq!(discovery.primary(ShardId(1)).unwrap().0.epoch, 2);
        discovery.hear(hello(1, NodeRole::Recovering, 2, 10), NOW);
        assert_eq!(discovery.primary(ShardId(1)).unwrap().0.replica, 0);
        assert_eq!(discovery.shards().collect::<Vec<_>>(), [ShardId(1)]);
    }
}

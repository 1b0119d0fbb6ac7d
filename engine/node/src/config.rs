//! What an operator can set, read from a TOML file; a key that nobody knows is an error.

use std::path::{Path, PathBuf};

use figment::{
    Figment,
    providers::{Format, Toml},
};
use protocol::{Name, ShardId, limits::SHARDS_MAX};
use serde::Deserialize;

use crate::{
    Error, Setup,
    data_dir::Owner,
    layout::Layout,
    ring::{
        INPUT_SLOTS_DEFAULT, INPUT_SLOTS_MIN, OUTPUT_SLOTS_DEFAULT, OUTPUT_SLOTS_MIN, SLOTS_MAX,
    },
};

const SEGMENT_BYTES_DEFAULT: u64 = 256 << 20;
const SPARE_SEGMENTS_DEFAULT: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The cluster's number; messages of others are not ours.
    pub cluster: u64,
    /// 0 is the ledger.
    pub shard: u8,
    /// Shards of the cluster, the ledger included.
    pub shards: u8,
    pub replica: u8,
    pub data_dir: PathBuf,
    /// Where the media driver is met.
    pub aeron_dir: PathBuf,
    /// The channel on which this node takes commands.
    pub channel: String,
    /// The channel of the cluster's discovery stream; without it the same one.
    pub discovery_channel: Option<String>,
    /// Of both journals; fixed when the directory is first used.
    #[serde(default = "segment_bytes_default")]
    pub segment_bytes: u64,
    /// Empty segments kept ready for each journal.
    #[serde(default = "spare_segments_default")]
    pub spare_segments: usize,
    /// Without it, what suits the machine.
    pub layout: Option<LayoutName>,
    /// For `spread`: the core of each stage, in their order; without it the first ones.
    #[serde(default)]
    pub cores: Vec<usize>,
    #[serde(default = "input_slots_default")]
    pub input_slots: usize,
    #[serde(default = "output_slots_default")]
    pub output_slots: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayoutName {
    Compact,
    Halves,
    Spread,
}

impl Config {
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bad = |why: String| Error::Config(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        Self::parse(&text).map_err(bad)
    }

    /// Reads and checks a configuration; the reason when it is not usable.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self =
            Figment::from(Toml::string(text)).extract().map_err(|error| error.to_string())?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.shards == 0 || usize::from(self.shards) > SHARDS_MAX {
            return Err(format!("shards is {}; a cluster has 1 to {SHARDS_MAX}", self.shards));
        }
        if self.shard >= self.shards {
            return Err(format!("shard {} is not one of {} shards", self.shard, self.shards));
        }
        slots("input_slots", self.input_slots, INPUT_SLOTS_MIN)?;
        slots("output_slots", self.output_slots, OUTPUT_SLOTS_MIN)?;
        if Name::<120>::new(&self.channel).is_none() || self.channel.is_empty() {
            return Err("channel must have 1 to 120 bytes, as it is said in each hello".into());
        }
        if !self.cores.is_empty() && self.layout != Some(LayoutName::Spread) {
            return Err("cores are for the layout `spread`".into());
        }
        Ok(())
    }

    pub fn shard(&self) -> ShardId {
        ShardId(self.shard)
    }

    pub fn owner(&self) -> Owner {
        Owner { cluster: self.cluster, shard: self.shard, replica: self.replica }
    }

    pub fn discovery_channel(&self) -> &str {
        self.discovery_channel.as_deref().unwrap_or(&self.channel)
    }

    /// What the node is told, on a machine with so many cores.
    pub fn setup(&self, cores: usize) -> Setup {
        Setup {
            cluster: self.cluster,
            shard: self.shard(),
            shards: self.shards,
            replica: self.replica,
            segment_bytes: self.segment_bytes,
            spare_segments: self.spare_segments,
            input_slots: self.input_slots,
            output_slots: self.output_slots,
            layout: self.layout(cores),
            channel: self.channel.clone(),
            discovery_channel: self.discovery_channel().to_owned(),
        }
    }

    /// The layout asked for, or the one for a machine with so many cores.
    pub fn layout(&self, cores: usize) -> Layout {
        match self.layout {
            Some(LayoutName::Compact) => Layout::Compact,
            Some(LayoutName::Halves) => Layout::Halves,
            Some(LayoutName::Spread) => Layout::Spread { cores: self.cores.clone() },
            None => Layout::for_cores(cores),
        }
    }
}

fn slots(key: &str, asked: usize, min: usize) -> Result<(), String> {
    if asked.is_power_of_two() && (min..=SLOTS_MAX).contains(&asked) {
        return Ok(());
    }
    Err(format!("{key} is {asked}; it must be a power of two between {min} and {SLOTS_MAX}"))
}

fn segment_bytes_default() -> u64 {
    SEGMENT_BYTES_DEFAULT
}

fn spare_segments_default() -> usize {
    SPARE_SEGMENTS_DEFAULT
}

fn input_slots_default() -> usize {
    INPUT_SLOTS_DEFAULT
}

fn output_slots_default() -> usize {
    OUTPUT_SLOTS_DEFAULT
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        cluster = 7
        shard = 1
        shards = 4
        replica = 0
        data_dir = "data"
        aeron_dir = "aeron"
        channel = "aeron:udp?endpoint=127.0.0.1:40123"
    "#;

    #[test]
    fn what_is_left_out_has_a_default() {
        let config = Config::parse(GOOD).unwrap();
        assert_eq!(config.segment_bytes, SEGMENT_BYTES_DEFAULT);
        assert_eq!(config.discovery_channel(), config.channel);
        assert_eq!(config.layout(2), Layout::Compact);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let cases = [
            ("chanel = \"x\"", "chanel"),
            ("input_slots = 1000", "input_slots"),
            ("output_slots = 8192", "output_slots"),
            ("layout = \"wide\"", "wide"),
            ("cores = [1]", "spread"),
            ("segment_bytes = -1", "segment_bytes"),
        ];
        for (line, named) in cases {
            let error = Config::parse(&format!("{GOOD}\n{line}")).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
        let replaced = [("shard = 1", "shard = 4", "4"), ("shards = 4", "shards = 17", "17")];
        for (line, other, named) in replaced {
            let error = Config::parse(&GOOD.replace(line, other)).unwrap_err();
            assert!(error.contains(named), "{other}: {error}");
        }
        assert!(Config::parse("cluster = 7").unwrap_err().contains("missing"));
        assert!(Config::read(Path::new("no/such/file")).is_err());
    }
}

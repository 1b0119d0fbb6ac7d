//! Each target with its seeds, with what was found before, and with mutations of both.

use std::{env, fs, io, path::Path};

use fuzz::{
    TARGETS, Target,
    mutate::{Random, mutant},
};

/// The long form tries so many times as much.
const FULL: u32 = 100;

/// Bytes that once broke a promise, kept in `found/TARGET`.
fn found(target: &Target) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("found").join(target.name);
    let files = match fs::read_dir(&dir) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => panic!("{dir:?}: {error}"),
    };
    files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

fn attack(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let mut seeds = (target.seeds)();
    seeds.extend(found(target));
    seeds.iter().for_each(|seed| (target.run)(seed));
    let times = if env::var_os("EXCHANGE_FULL").is_some() { FULL } else { 1 };
    let mut random = Random::new(0x5EED_2026);
    for _ in 0..target.tries * times {
        (target.run)(&mutant(&seeds, &mut random));
    }
}

macro_rules! targets {
    ($($name:ident),+) => {
        $(#[test] fn $name() { attack(stringify!($name)); })+

        #[test]
        fn every_target_is_tried() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),+]);
        }
    };
}
targets!(commands, frames, journals, messages, requests);

//! Writes the seeds of a target into a directory, as files that libFuzzer begins with.

use std::{env, fs, io, path::Path, process::ExitCode};

use fuzz::TARGETS;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [name, dir] = &args[..] else { return usage() };
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else { return usage() };
    match write(&(target.seeds)(), Path::new(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fuzz-seeds: {dir}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(seeds: &[Vec<u8>], dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for (n, seed) in seeds.iter().enumerate() {
        fs::write(dir.join(format!("seed-{n}")), seed)?;
    }
    Ok(())
}

fn usage() -> ExitCode {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    eprintln!("usage: fuzz-seeds {} DIR", names.join("|"));
    ExitCode::from(2)
}

//! `journal`: looks into a journal directory, without ever changing it.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use journal::{Error, Reader, Record, TailReport, VerifyReport, verify};

#[derive(Parser)]
#[command(name = "journal", version, about = "Looks into the journal of a shard")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints records, one a line: seq, epoch, chain before it, durable seq, frame in hex
    Dump {
        dir: PathBuf,
        /// The first seq to print; without it, the first one kept
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// At most so many records
        #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
        limit: u64,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Checks every record; exits with 0 when all is sound and with 1 when not
    Verify { dir: PathBuf },
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Journal(#[from] Error),
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

fn main() -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = match Cli::parse().command {
        Command::Dump { dir, from, limit, json } => dump(&mut out, &dir, from, limit, json),
        Command::Verify { dir } => print_verdict(&mut out, &dir),
    };
    match done.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            // What was printed before the fault is part of the answer.
            if let Err(error) = out.flush() {
                eprintln!("journal: cannot write the output: {error}");
            }
            eprintln!("journal: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn dump(
    out: &mut impl Write,
    dir: &Path,
    from: u64,
    limit: u64,
    json: bool,
) -> Result<(), Failure> {
    let mut reader = Reader::open(dir, from)?;
    for _ in 0..limit {
        let Some(record) = reader.next()? else { break };
        let Record { seq, epoch, prev_chain, durable_seq, frame } = record;
        let frame = hex::encode(frame);
        if json {
            let line = serde_json::json!({
                "seq": seq,
                "epoch": epoch,
                "prev_chain": format!("{prev_chain:016x}"),
                "durable_seq": durable_seq,
                "frame": frame,
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{seq} {epoch} {prev_chain:016x} {durable_seq} {frame}")?;
        }
    }
    Ok(())
}

fn print_verdict(out: &mut impl Write, dir: &Path) -> Result<(), Failure> {
    let VerifyReport {
        volume_id,
        shard,
        segment_bytes,
        segments,
        last_seq,
        last_epoch,
        chain,
        durable_seq,
        tail,
    } = verify(dir)?;
    writeln!(out, "volume {volume_id:032x} shard {shard} segments of {segment_bytes} bytes")?;
    for segment in &segments {
        writeln!(
            out,
            "{} seq {}..{} epoch {}..{} chain {:016x}",
            segment.path.display(),
            segment.first_seq,
            segment.last_seq,
            segment.first_epoch,
            segment.last_epoch,
            segment.chain
        )?;
    }
    match segments.first() {
        Some(first) => writeln!(
            out,
            "seq {}..{last_seq} epoch {last_epoch} chain {chain:016x}, known durable to {durable_seq}",
            first.first_seq
        )?,
        None => writeln!(out, "empty")?,
    }
    match tail {
        TailReport::Clean => writeln!(out, "sound")?,
        TailReport::Torn(tail) => writeln!(
            out,
            "sound; unfinished writes at {} byte {} (seq {} on) were never durable, \
             the next start discards them",
            tail.segment.display(),
            tail.offset,
            tail.seq
        )?,
        TailReport::InUse => writeln!(out, "sound so far; a running process is writing")?,
    }
    Ok(())
}

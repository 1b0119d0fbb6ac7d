//! Huge pages: a shard's tables are read here and there, and with pages of 4 KiB each read of a
//! large one waits for the page tables, too.

use std::{env, os::unix::process::CommandExt, process::Command};

/// What the C library reads at its start, names and values between colons.
const VARIABLE: &str = "GLIBC_TUNABLES";
const TUNABLE: &str = "glibc.malloc.hugetlb";

/// Starts this program anew, in the same process, so that its C library asks for huge pages where
/// the kernel gives them to who asks. Whoever has set the tunable himself is left alone: 0 turns
/// huge pages off.
///
/// To be called before anything else. Where it can't be done the program goes on as it is.
pub fn ask_for_huge_pages() {
    let set = env::var(VARIABLE).unwrap_or_default();
    if set.contains(TUNABLE) {
        return;
    }
    let (Ok(program), mut args) = (env::current_exe(), env::args_os()) else { return };
    let mut again = Command::new(program);
    if let Some(name) = args.next() {
        again.arg0(name);
    }
    let tunables = with_huge_pages(&set);
    // it only comes back if it could not be done
    _ = again.args(args).env(VARIABLE, tunables).exec();
}

fn with_huge_pages(set: &str) -> String {
    let set = set.split(':').filter(|tunable| !tunable.is_empty());
    set.map(str::to_owned).chain([format!("{TUNABLE}=1")]).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_tunables_stay() {
        assert_eq!(with_huge_pages(""), "glibc.malloc.hugetlb=1");
        let both = "glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1";
        assert_eq!(with_huge_pages("glibc.malloc.arena_max=1"), both);
    }
}

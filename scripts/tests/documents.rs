//! What the documents say is held to the tree: the tests that an invariant names exist, and the
//! links lead somewhere.

use std::{fs, path::Path};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const HELD_BY: &str = "held by `";

/// Each ``held by `path::test` `` of the architecture page names a test that is there.
#[test]
fn every_invariant_names_a_test_that_exists() {
    let page = fs::read_to_string(format!("{ROOT}/docs/architecture.md")).expect("it is there");
    let invariants = page.matches("**Architecture Invariant").count();
    let mut named = 0;
    for rest in page.split(HELD_BY).skip(1) {
        let name = rest.split('`').next().unwrap_or_default();
        let (path, test) = name.rsplit_once("::").expect("path::test");
        let text = fs::read_to_string(format!("{ROOT}/{path}"))
            .unwrap_or_else(|e| panic!("{path}, which should hold {test}: {e}"));
        assert!(text.contains(&format!("fn {test}(")), "{path} has no test {test}");
        named += 1;
    }
    assert!(invariants > 0 && named >= invariants, "{named} tests for {invariants} invariants");
}

#[test]
fn relative_links_lead_somewhere() {
    for page in ["README.md", "docs/architecture.md", "perf/README.md"] {
        let text = fs::read_to_string(format!("{ROOT}/{page}")).expect("the page is there");
        let folder = Path::new(ROOT).join(page);
        let folder = folder.parent().expect("a page lies in a folder");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !target.starts_with("http") && !target.starts_with('#') {
                assert!(folder.join(target).exists(), "{page} links to {target}");
            }
        }
    }
}

//! `cargo xtask tidy`: conventions that no compiler knows, each stated next to its check.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::shell::{command, read, root};

/// A Rust file longer than this holds more than one concept.
const MAX_LINES: usize = 500;

/// Beginnings of paths that exist on one person's machine only. In pieces, so that this file does not name them.
const PRIVATE_PATHS: &[&str] = &[
    concat!("/", "home/"),
    concat!("/", "Users/"),
    concat!("/", "root/"),
    concat!("/", "tmp/"),
    concat!("/", "work/"),
];

/// Notes to oneself that must not be merged.
const LEFTOVERS: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("<<<", "<<<<")];

/// Licences that a dependency may carry and still be shipped inside an Apache-2.0 program.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MPL-2.0", // of single files: no claim on the program around them
    "MIT",
    "MIT-0",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The chore: checks every file that git knows, and prints all findings at once.
pub fn run() -> Result<()> {
    let mut findings = Vec::new();
    let list = read(&mut command("git", &["ls-files", "--cached", "--others", "--exclude-standard"]))?;
    let files: BTreeSet<&str> = list.lines().filter(|path| root().join(path).is_file()).collect();
    for path in &files {
        // Fixtures may be binary; everything else is text.
        if let Ok(text) = fs::read_to_string(root().join(path)) {
            findings.extend(check_file(path, &text));
        }
    }
    findings.extend(check_licences()?);
    if findings.is_empty() {
        println!("{} files are tidy", files.len());
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    bail!("{} findings", findings.len())
}

/// The conventions of one text file; `path` is relative to the root.
fn check_file(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let extension = Path::new(path).extension().and_then(|e| e.to_str()).unwrap_or_default();
    let written_by_hand =
        matches!(extension, "rs" | "md" | "toml" | "yaml" | "yml" | "py" | "sh") || path == ".ci/run";
    if !written_by_hand || path == "LICENSE" {
        return found;
    }
    if !text.is_empty() && !text.ends_with('\n') {
        found.push(format!("{path}: the last line has no end"));
    }
    for (i, line) in text.lines().enumerate() {
        let mut complain = |what: String| found.push(format!("{path}:{}: {what}", i + 1));
        if line.ends_with([' ', '\t', '\r']) {
            complain("white space at the end of the line".to_owned());
        }
        for word in PRIVATE_PATHS.iter().filter(|w| line.contains(**w)) {
            complain(format!("{word} exists on one machine only; take the path as an argument"));
        }
        for word in LEFTOVERS.iter().filter(|w| line.contains(**w)) {
            complain(format!("{word} is left over; do it, or write down why not"));
        }
    }
    match extension {
        "rs" => found.extend(check_rust(path, text)),
        "toml" => found.extend(check_manifest(path, text)),
        "md" => found.extend(check_links(path, text)),
        _ => {}
    }
    found
}

fn check_rust(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        found.push(format!(
            "{path}: {lines} lines; more than {MAX_LINES} is more than one concept, so split it"
        ));
    }
    if !text.starts_with("//!") {
        found.push(format!("{path}: the first line must say what the file is for (`//! ...`)"));
    }
    let library_root = path.starts_with("crates/") && path.ends_with("src/lib.rs");
    if library_root && !text.contains("#![deny(missing_docs)]") {
        found.push(format!("{path}: a library crate says #![deny(missing_docs)]"));
    }
    found
}

fn check_manifest(path: &str, text: &str) -> Vec<String> {
    let package = text.lines().any(|l| l.trim() == "[package]");
    let needed = ["license.workspace = true", "rust-version.workspace = true", "[lints]\nworkspace = true"];
    let missing = needed.iter().filter(|line| package && !text.contains(**line));
    missing.map(|line| format!("{path}: every package says `{}`", line.replace('\n', " "))).collect()
}

/// Every relative link of a Markdown file leads to a file, and every path in backticks that begins in a folder of the
/// workspace exists.
fn check_links(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let folder = root().join(path).parent().map(Path::to_path_buf).unwrap_or_default();
    for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
        let relative = !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
        if relative && !folder.join(target).exists() {
            found.push(format!("{path}: the link to {target} leads nowhere"));
        }
    }
    for word in text.split('`').skip(1).step_by(2) {
        let ours = ["crates/", "configs/", "docs/", "tests/", "xtask/"].iter().any(|p| word.starts_with(p));
        let plain = !word.contains(['*', '{', '<', ' ', '\n']);
        if ours && plain && !root().join(word).exists() {
            found.push(format!("{path}: `{word}` does not exist"));
        }
    }
    found
}

/// Every package that the build can pull in has a licence that allows shipping it.
fn check_licences() -> Result<Vec<String>> {
    let target = "x86_64-unknown-linux-gnu"; // else crates of every platform are downloaded
    let args = ["metadata", "--locked", "--format-version", "1", "--filter-platform", target];
    let json = read(&mut command("cargo", &args))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&json).context("cargo metadata did not print JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut found = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or("?");
        let licence = package["license"].as_str().unwrap_or("none stated");
        if !allowed(licence) {
            found.push(format!(
                "dependency {name}: licence {licence} is not in LICENCES of xtask/src/tidy.rs"
            ));
        }
    }
    Ok(found)
}

/// Whether one side of every OR of an SPDX expression consists of allowed licences only. Parentheses in the wild only
/// group an OR inside an AND, so each AND part is judged by itself.
fn allowed(expression: &str) -> bool {
    let part = |p: &str| {
        let p = p.trim_matches(['(', ')', ' ']);
        p.replace('/', " OR ").split(" OR ").any(|l| LICENCES.contains(&l.trim_matches(['(', ')', ' '])))
    };
    if expression.contains('(') {
        expression.split(" AND ").all(part)
    } else {
        expression.split(" OR ").any(|side| side.split(" AND ").all(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_file_gives_no_finding() {
        assert_eq!(check_file("crates/a/src/x.rs", "//! One thing.\n\nfn f() {}\n"), Vec::<String>::new());
    }

    #[test]
    fn each_rule_finds_its_breach() {
        let one = |path: &str, text: &str| {
            let found = check_file(path, text);
            assert_eq!(found.len(), 1, "{found:?}");
            found[0].clone()
        };
        assert!(one("a.rs", "fn f() {}\n").contains("what the file is for"));
        assert!(one("a.rs", "//! A.\nfn f() {} \n").contains("a.rs:2: white space"));
        assert!(one("a.py", concat!("p = '/", "home/me/x'\n")).contains("one machine"));
        assert!(one("a.yaml", concat!("# TO", "DO\n")).contains("left over"));
        assert!(one("a.py", "x = 1").contains("no end"));
        assert!(one("a.rs", &format!("//! A.\n{}", "\n".repeat(MAX_LINES))).contains("501 lines"));
        assert!(one("crates/a/src/lib.rs", "//! A.\n").contains("deny(missing_docs)"));
        assert!(one("README.md", "[x](no/such/file.md)\n").contains("leads nowhere"));
        assert!(one("README.md", "see `crates/no-such`\n").contains("does not exist"));
        assert_eq!(check_file("Cargo.toml", "[package]\nname = \"a\"\n").len(), 3);
        assert_eq!(check_file("Cargo.toml", "[workspace]\n").len(), 0);
    }

    #[test]
    fn licence_expressions_are_judged() {
        for good in ["MIT", "MIT OR GPL-3.0", "MIT/Apache-2.0", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
            assert!(allowed(good), "{good}");
        }
        for bad in ["GPL-3.0", "none stated", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND GPL-3.0"] {
            assert!(!allowed(bad), "{bad}");
        }
    }
}

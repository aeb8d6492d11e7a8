//! The module map in ARCHITECTURE.md is true, and the files keep to the house rules that no lint looks after.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The most lines that a source file may have.
const LONGEST: usize = 600;

/// One row of the map: what a module may import; none for "everything".
type Row = Option<BTreeSet<String>>;

struct Map {
    rows: BTreeMap<String, Row>,
    leaves: BTreeSet<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text between backticks.
fn marked(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn map() -> Map {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, section) = text.split_once("## Module map").expect("ARCHITECTURE.md has the section");
    let section = section.split("\n## ").next().unwrap();
    let mut map = Map { rows: BTreeMap::new(), leaves: BTreeSet::new() };
    let mut in_leaves = false;
    let mut above: BTreeSet<String> = BTreeSet::new();
    for line in section.lines() {
        in_leaves |= line.starts_with("| leaf");
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, module, _, allowed, _] = cells.as_slice() else { continue };
        let Some(module) = marked(module).into_iter().next() else { continue };
        let row = match *allowed {
            "everything" => None,
            "everything above" => Some(above.clone()),
            cell => Some(marked(cell).into_iter().collect()),
        };
        above.insert(module.clone());
        if in_leaves {
            map.leaves.insert(module.clone());
        }
        map.rows.insert(module, row);
    }
    map
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("builder")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The modules that a source text names after `crate::`, comments aside.
fn imports(text: &str) -> BTreeSet<String> {
    let code =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` and `some_crate::` are something else.
        if code[..at].ends_with(|c: char| c == '$' || c == '_' || c.is_alphanumeric()) {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let first =
            |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        match rest.strip_prefix('{') {
            Some(group) => found.extend(split_group(group).iter().map(|part| first(part))),
            None => drop(found.insert(first(rest))),
        }
    }
    found
}

/// The parts of `a::{b, c}, d}` at the first level.
fn split_group(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(String::new()),
            c if c.is_whitespace() => {}
            c => parts.last_mut().unwrap().push(c),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix(root().join("builder")).unwrap();
    inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

#[test]
fn imports_follow_the_map() {
    let map = map();
    let mut wrong = Vec::new();
    for file in sources() {
        let module = module_of(&file);
        if ["lib", "main", "build_script"].contains(&module.as_str()) {
            continue;
        }
        let Some(row) = map.rows.get(&module) else {
            wrong.push(format!("`{module}` has no row in ARCHITECTURE.md"));
            continue;
        };
        let Some(allowed) = row else { continue };
        for import in imports(&fs::read_to_string(&file).unwrap()) {
            let leaf = map.leaves.contains(&import) && !map.leaves.contains(&module);
            if import != module && !leaf && !allowed.contains(&import) {
                wrong.push(format!("{} imports crate::{import}", file.display()));
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "against the module map in ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

#[test]
fn the_map_has_no_module_that_does_not_exist() {
    let modules: BTreeSet<String> = sources().iter().map(|file| module_of(file)).collect();
    let missing: Vec<String> = map().rows.into_keys().filter(|module| !modules.contains(module)).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names modules that are not there: {missing:?}");
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    for file in sources() {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//!"), "{} does not begin with //!", file.display());
        let lines = text.lines().count();
        assert!(lines <= LONGEST, "{} has {lines} lines, more than {LONGEST}", file.display());
    }
    let main = fs::read_to_string(root().join("builder/main.rs")).unwrap();
    assert!(main.lines().count() <= 40, "main.rs only calls");
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text =
        "use crate::a::b;\nuse crate::{c, d::{e, f}, g};\n// crate::no\nlet x = crate::h::i(); $crate::no!()";
    let found: Vec<String> = imports(text).into_iter().collect();
    assert_eq!(found, ["a", "c", "d", "g", "h"]);
}

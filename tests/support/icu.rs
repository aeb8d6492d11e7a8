//! ICU's tables of all languages and encodings, most of what its library weighs, made as small as programs bear it that are
//! linked with them and ask only for what every language has.

use std::ops::Range;

/// The file that has them, without its version.
pub const FILE: &str = "usr/lib/x86_64-linux-gnu/libicudata.so.";

/// Whether a table is for all languages: the root of a hierarchy, what the others refer to, or properties of characters.
fn is_common(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    let kind = last.rsplit('.').next().unwrap_or(last);
    matches!(kind, "icu" | "nrm") || ["pool.res", "res_index.res", "root.res"].contains(&last)
}

/// Fills the other tables in the file with zeros, which weigh nothing once they are packed.
pub fn without_languages(file: &mut [u8]) {
    for table in tables(file).expect("ICU's tables are in the form that they always had") {
        file[table].fill(0);
    }
}

/// Where the tables are that only some languages have. The file has one list of them, which is found by its mark `CmnD`: the
/// count, then where each name and each table begins, in order.
fn tables(file: &[u8]) -> Option<Vec<Range<usize>>> {
    let number = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?) as usize);
    let mark = file.windows(4).position(|bytes| bytes == b"CmnD")?;
    let start = mark.checked_sub(12)?;
    let list = start + (number(start)? & 0xffff);
    let count = number(list)?;
    let mut found = Vec::new();
    // How long the last one is, nothing says: it stays.
    for index in 0..count.checked_sub(1)? {
        let entry = list + 4 + index * 8;
        let name = file.get(list + number(entry)?..)?;
        let name = std::str::from_utf8(&name[..name.iter().position(|byte| *byte == 0)?]).ok()?;
        let table = list + number(entry + 4)?..list + number(entry + 12)?;
        if !is_common(name) {
            file.get(table.clone())?;
            found.push(table);
        }
    }
    Some(found)
}

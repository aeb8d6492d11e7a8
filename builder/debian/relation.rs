//! Relations between packages: `Depends`, `Conflicts`, `Provides` and their kin (deb-control(5), policy chapter 7).
//!
//! A field's text goes in, typed relations come out. Whether any package satisfies them is not known here.

use std::cmp::Ordering;
use std::fmt;

use anyhow::bail;

use super::version;

/// How a version is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterEqual,
    /// `>>`
    Later,
}

/// One package, perhaps in certain versions only: `libc6 (>= 2.41)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Atom<'a> {
    /// The package, without an architecture qualifier: one architecture at a time is solved.
    pub name: &'a str,
    /// The versions that are meant; all if absent.
    pub constraint: Option<(Operator, &'a str)>,
}

impl Atom<'_> {
    /// Whether a package of this version is meant.
    pub fn matches(&self, version: &str) -> bool {
        self.constraint.is_none_or(|(operator, wanted)| {
            let order = version::compare(version, wanted);
            match operator {
                Operator::Earlier => order == Ordering::Less,
                Operator::EarlierEqual => order != Ordering::Greater,
                Operator::Equal => order == Ordering::Equal,
                Operator::LaterEqual => order != Ordering::Less,
                Operator::Later => order == Ordering::Greater,
            }
        })
    }
}

impl fmt::Display for Atom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        let Some((operator, version)) = self.constraint else { return Ok(()) };
        let sign = match operator {
            Operator::Earlier => "<<",
            Operator::EarlierEqual => "<=",
            Operator::Equal => "=",
            Operator::LaterEqual => ">=",
            Operator::Later => ">>",
        };
        write!(f, " ({sign} {version})")
    }
}

/// Reads a field such as `a (>= 1) | b, c:any`: all of the outer list, one of each inner list.
///
/// # Errors
/// If an atom is malformed; the message repeats it.
pub fn parse(field: &str) -> anyhow::Result<Vec<Vec<Atom<'_>>>> {
    let groups = field.split(',').map(str::trim).filter(|group| !group.is_empty());
    groups.map(|group| group.split('|').map(|atom| parse_atom(atom.trim())).collect()).collect()
}

fn parse_atom(text: &str) -> anyhow::Result<Atom<'_>> {
    let (name, constraint) = match text.split_once('(') {
        None => (text, None),
        Some((name, rest)) => {
            let Some(inside) = rest.strip_suffix(')') else { bail!("`{text}` has no closing bracket") };
            (name.trim(), Some(parse_constraint(text, inside.trim())?))
        }
    };
    let name = name.split_once(':').map_or(name, |(name, _architecture)| name);
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
    if name.is_empty() || !name.chars().all(valid) {
        bail!("`{text}` does not begin with a package name");
    }
    Ok(Atom { name, constraint })
}

fn parse_constraint<'a>(text: &str, inside: &'a str) -> anyhow::Result<(Operator, &'a str)> {
    let end = inside.find(|c| !matches!(c, '<' | '=' | '>')).unwrap_or(inside.len());
    let (sign, version) = inside.split_at(end);
    let operator = match sign {
        "<<" => Operator::Earlier,
        // Policy 7.1: the single forms are obsolete and mean the inclusive ones.
        "<=" | "<" => Operator::EarlierEqual,
        "=" => Operator::Equal,
        ">=" | ">" => Operator::LaterEqual,
        ">>" => Operator::Later,
        _ => bail!("`{text}` compares with `{sign}`"),
    };
    let version = version.trim();
    if version.is_empty() || version.contains(char::is_whitespace) {
        bail!("`{text}` has no version");
    }
    Ok((operator, version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn groups_and_alternatives_are_read() {
        let groups = parse("libc6 (>= 2.38), python3:any, default-mta | mail-transport-agent,").unwrap();
        let drawn: Vec<Vec<String>> =
            groups.iter().map(|group| group.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(
            drawn,
            [vec!["libc6 (>= 2.38)"], vec!["python3"], vec!["default-mta", "mail-transport-agent"],]
        );
    }

    #[test]
    fn constraints_select_versions() {
        for (text, version, expected) in [
            ("a", "1", true),
            ("a (= 1.0)", "1.0", true),
            ("a (<< 2)", "2", false),
            ("a (<= 2)", "2", true),
            ("a(>>1:0)", "2", false),
            ("a (>= 1~)", "1", true),
        ] {
            assert_eq!(parse(text).unwrap()[0][0].matches(version), expected, "{text} of {version}");
        }
    }

    #[test]
    fn malformed_atoms_are_refused() {
        for text in ["a (>= )", "a (>= 1", "a (~ 1)", "(= 1)", "a b", "a | | b"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in ".*") {
            let _ = parse(&text);
        }
    }
}

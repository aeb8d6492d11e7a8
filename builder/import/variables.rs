//! Variables in a Compose file (`${NAME:-default}`) and the file `.env` that gives them values, as Compose reads both.

use std::collections::BTreeMap;

/// How deep a default may have variables of its own.
const DEEPEST: usize = 8;

/// A text with its variables resolved.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) text: String,
    /// The variables that have no value, so that their defaults stand here.
    pub(super) defaults: Vec<String>,
}

/// `text` with every variable replaced; why not, where one has neither value nor default.
pub(super) fn resolve(text: &str, values: &BTreeMap<String, String>) -> Result<Resolved, String> {
    let mut resolved = Resolved::default();
    resolved.text = expand(text, values, &mut resolved.defaults, 0)?;
    Ok(resolved)
}

fn expand(
    text: &str,
    values: &BTreeMap<String, String>,
    defaults: &mut Vec<String>,
    depth: usize,
) -> Result<String, String> {
    if depth > DEEPEST {
        return Err("variables stand in variables too deeply".to_owned());
    }
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let end = closing(after).ok_or("a `${` has no `}`")?;
            let (inside, behind) =
                (after.get(..end).unwrap_or_default(), after.get(end + 1..).unwrap_or_default());
            result.push_str(&value(inside, values, defaults, depth)?);
            rest = behind;
        } else {
            let length = name_length(after);
            if length == 0 {
                return Err("a `$` begins no variable; a dollar sign is written `$$`".to_owned());
            }
            let (name, behind) = after.split_at(length);
            result.push_str(values.get(name).ok_or_else(|| missing(name))?);
            rest = behind;
        }
    }
    result.push_str(rest);
    Ok(result)
}

/// What `${inside}` stands for.
fn value(
    inside: &str,
    values: &BTreeMap<String, String>,
    defaults: &mut Vec<String>,
    depth: usize,
) -> Result<String, String> {
    let (name, rest) = inside.split_at(name_length(inside));
    if name.is_empty() {
        return Err(format!("`${{{inside}}}` names no variable"));
    }
    let (strict, operator) = match rest.strip_prefix(':') {
        Some(operator) => (true, operator),
        None => (false, rest),
    };
    let given = values.get(name).filter(|value| !(strict && value.is_empty()));
    let mut operator = operator.chars();
    match (operator.next(), given) {
        (None, Some(value)) if !strict => Ok(value.clone()),
        (None, None) if !strict => Err(missing(name)),
        (Some('-'), None) => {
            defaults.push(name.to_owned());
            expand(operator.as_str(), values, defaults, depth + 1)
        }
        (Some('?'), None) => Err(missing(name)),
        (Some('-' | '?'), Some(value)) => Ok(value.clone()),
        (Some('+'), Some(_)) => expand(operator.as_str(), values, defaults, depth + 1),
        (Some('+'), None) => Ok(String::new()),
        _ => Err(format!("`${{{inside}}}` is no form that Compose knows")),
    }
}

fn missing(name: &str) -> String {
    format!("the variable {name} has no value here")
}

/// The bytes of the variable's name at the start of `text`.
fn name_length(text: &str) -> usize {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let more = text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    if first { more } else { 0 }
}

/// Where the brace ends that has been opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

/// The values in a file `.env`; lines that are none are left out.
pub(super) fn env_file(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        let Some((name, value)) = line.strip_prefix("export ").unwrap_or(line).split_once('=') else {
            continue;
        };
        let name = name.trim();
        if name_length(name) != name.len() || name.is_empty() {
            continue;
        }
        let value = value.trim();
        let quoted = |mark| value.strip_prefix(mark).and_then(|rest: &str| Some(rest.split_once(mark)?.0));
        let plain = value.split(" #").next().unwrap_or_default().trim_end();
        let value = quoted('\'').or_else(|| quoted('"')).unwrap_or(plain);
        values.insert(name.to_owned(), value.to_owned());
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_variable() {
        let values = env_file("# x\nA=1\nexport B='two # words' # c\nEMPTY=\nnot a line\nC=3 # c\n");
        let table = [
            ("$A-${A}-${B}-$C", Ok("1-1-two # words-3")),
            ("$$A ${X:-d} ${X-e}", Ok("$A d e")),
            ("${EMPTY:-d}${EMPTY-e}", Ok("d")),
            ("${X:-${Y:-deep}}/x", Ok("deep/x")),
            ("${A:+set}${X:+set}", Ok("set")),
            ("${A:?needed}", Ok("1")),
            ("${X:?needed}", Err("X has no value")),
            ("$X", Err("X has no value")),
            ("50$", Err("`$$`")),
            ("${X", Err("no `}`")),
            ("${X:}", Err("no form")),
        ];
        for (text, expected) in table {
            match (resolve(text, &values), expected) {
                (Ok(resolved), Ok(expected)) => assert_eq!(resolved.text, expected, "{text}"),
                (Err(message), Err(part)) => assert!(message.contains(part), "{text}: {message}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}

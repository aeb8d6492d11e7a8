//! The words that templates may use besides Tera's own. Pure functions of a value.

use super::tag;
use crate::digest::Sha256;
use tera::{Kwargs, State, Tera, TeraResult, Value};

/// Makes the filters of overlays/README.md known to `tera`.
pub fn register(tera: &mut Tera) {
    tera.register_filter("shell", |text: &str, _: Kwargs, _: &State| shell(text));
    tera.register_filter("systemd", |text: &str, _: Kwargs, _: &State| systemd(text));
    tera.register_filter("mount_unit", |text: &str, _: Kwargs, _: &State| {
        format!("{}.mount", systemd_path(text))
    });
    tera.register_filter("fstab", |text: &str, _: Kwargs, _: &State| fstab(text));
    tera.register_filter("udev", |text: &str, _: Kwargs, _: &State| udev(text));
    tera.register_filter("earlier", |text: &str, given: Kwargs, _: &State| {
        earlier(text, given.must_get("minutes")?)
    });
    tera.register_filter("mac", |text: &str, _: Kwargs, _: &State| mac(text));
    tera.register_filter("tag_pattern", |text: &str, _: Kwargs, _: &State| tag::pattern(text));
    tera.register_filter("json", |value: &Value, _: Kwargs, _: &State| json(value));
    tera.register_filter("seconds", |value: &Value, _: Kwargs, _: &State| match value.as_i64() {
        Some(number) => Ok(number),
        None => seconds(value.as_str().unwrap_or_default()),
    });
    // Tera groups in a HashMap: its order differs from run to run.
    tera.register_filter("group_by", |_: &Value, _: Kwargs, _: &State| -> TeraResult<Value> {
        Err(tera::Error::message("group_by is not available: its order is not the same every time"))
    });
}

/// One word for a POSIX shell.
fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A word of a unit file's value (systemd.syntax(7), systemd.unit(5) "Specifiers").
fn systemd(text: &str) -> String {
    let escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%");
    if escaped.contains([' ', '\t', '\'']) { format!("\"{escaped}\"") } else { escaped }
}

/// A field of /etc/fstab (fstab(5): spaces and tabs as octal escapes).
fn fstab(text: &str) -> String {
    text.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('#', "\\043")
}

/// A label or UUID as udev's blkid stores it in `ID_FS_LABEL_ENC` (libblkid's `blkid_encode_string`), with the characters
/// escaped that mean something in a rule's pattern.
fn udev(text: &str) -> String {
    let mut encoded = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c) || !c.is_ascii() {
            encoded.push(c);
        } else {
            encoded.push_str(&format!("\\x{:02x}", u32::from(c)));
        }
    }
    encoded
}

/// A path as a unit's name without suffix, as `systemd-escape --path` does it (systemd.unit(5), "String escaping").
pub fn systemd_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() {
        return "-".to_owned();
    }
    let mut name = String::new();
    for (index, byte) in parts.join("/").bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if index == 0 => name.push_str("\\x2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'.' => name.push(char::from(byte)),
            _ => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    name
}

/// An Ethernet address of its own for whatever has this name: locally administered, unicast (IEEE 802, bits 1 and 0 of the
/// first octet), the rest from the name's digest.
fn mac(text: &str) -> String {
    let digest = Sha256::of_bytes(text.as_bytes()).to_string();
    let pairs = digest.as_bytes().chunks(2).take(5).map(|pair| String::from_utf8_lossy(pair).into_owned());
    std::iter::once("02".to_owned()).chain(pairs).collect::<Vec<_>>().join(":")
}

/// The time of day `HH:MM` so many minutes before `text`, round midnight if need be.
fn earlier(text: &str, minutes: u64) -> TeraResult<String> {
    let wrong = || tera::Error::message(format!("{text:?} is not a time of day such as 04:30"));
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let (hour, minute): (u64, u64) =
        (hour.parse().map_err(|_| wrong())?, minute.parse().map_err(|_| wrong())?);
    if hour > 23 || minute > 59 {
        return Err(wrong());
    }
    let then = (hour * 60 + minute + 1440 - minutes % 1440) % 1440;
    Ok(format!("{:02}:{:02}", then / 60, then % 60))
}

fn json(value: &Value) -> TeraResult<String> {
    serde_json::to_string(value).map_err(|error| tera::Error::message(format!("not JSON: {error}")))
}

/// A time span such as `90`, `15min` or `1h 30min` in seconds (systemd.time(7), units up to weeks).
fn seconds(text: &str) -> TeraResult<i64> {
    let wrong = || tera::Error::message(format!("{text:?} is not a time such as 90s, 15min, 12h or 30d"));
    let mut total: i64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: i64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit: i64 = match &rest[..letters] {
            "" | "s" | "sec" | "second" | "seconds" => 1,
            "m" | "min" | "minute" | "minutes" => 60,
            "h" | "hr" | "hour" | "hours" => 3600,
            "d" | "day" | "days" => 86_400,
            "w" | "week" | "weeks" => 604_800,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(unit).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = rest[letters..].trim_start();
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_words() {
        assert_eq!(shell("media"), "media");
        assert_eq!(shell(""), "''");
        assert_eq!(shell("it's $HOME"), r"'it'\''s $HOME'");
    }

    #[test]
    fn unit_values() {
        assert_eq!(systemd("50%"), "50%%");
        assert_eq!(systemd("a \"b\""), "\"a \\\"b\\\"\"");
    }

    #[test]
    fn paths_as_units() {
        for (path, unit) in [
            ("/srv/media", "srv-media"),
            ("/srv/my-disk", "srv-my\\x2ddisk"),
            ("/", "-"),
            ("/.hidden//x/", "\\x2ehidden-x"),
        ] {
            assert_eq!(systemd_path(path), unit);
        }
    }

    #[test]
    fn labels_in_fstab_and_udev() {
        assert_eq!(fstab("My Disk"), "My\\040Disk");
        assert_eq!(udev("My Disk*"), "My\\x20Disk\\x2a");
        assert_eq!(udev("media"), "media");
    }

    #[test]
    fn an_address_of_its_own() {
        assert_eq!(mac("doom-server/amp"), mac("doom-server/amp"));
        assert_ne!(mac("doom-server/amp"), mac("attic/amp"));
        let octets: Vec<u8> = mac("x").split(':').map(|one| u8::from_str_radix(one, 16).unwrap()).collect();
        assert_eq!((octets.len(), octets[0] & 3), (6, 2));
    }

    #[test]
    fn times_of_day() {
        assert_eq!(earlier("04:30", 60).ok().as_deref(), Some("03:30"));
        assert_eq!(earlier("00:10", 90).ok().as_deref(), Some("22:40"));
        assert!(earlier("24:00", 1).is_err() && earlier("never", 1).is_err());
    }

    #[test]
    fn time_spans() {
        for (text, value) in
            [("90", 90), ("15min", 900), ("1h 30m", 5400), ("30d", 2_592_000), ("2w", 1_209_600)]
        {
            assert_eq!(seconds(text).ok(), Some(value), "{text}");
        }
        for text in ["", "soon", "5 parsecs", "99999999999999999999s", "9223372036854775807w"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}

//! Durations and sizes as Compose writes them, to those of `service.toml`.

/// `1m30s`, `500ms` → whole seconds, rounded up, in the unit that fits.
pub(super) fn duration(text: &str) -> Option<String> {
    let mut rest = text.trim();
    let mut micros: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        let letters = behind.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, behind) = behind.split_at(letters);
        let unit: u64 = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return None,
        };
        micros = micros.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        rest = behind;
    }
    let seconds = u32::try_from(micros.div_ceil(1_000_000)).ok()?;
    Some(match seconds {
        0 => "0s".to_owned(),
        hours if hours.is_multiple_of(3600) => format!("{}h", hours / 3600),
        minutes if minutes.is_multiple_of(60) => format!("{}m", minutes / 60),
        seconds => format!("{seconds}s"),
    })
}

/// `1gb`, `128m`, a number of bytes → whole MiB or GiB, rounded up.
pub(super) fn size(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, unit) = text.split_at(digits);
    let unit: f64 = match unit.trim_end_matches("ib").trim_end_matches('b') {
        "" => 1.0,
        "k" => 1024.0,
        "m" => 1024.0 * 1024.0,
        "g" => 1024.0 * 1024.0 * 1024.0,
        "t" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let mib = (number.parse::<f64>().ok()? * unit / (1024.0 * 1024.0)).ceil();
    if !(1.0..1e9).contains(&mib) {
        return None;
    }
    let mib = mib as u64;
    Some(if mib.is_multiple_of(1024) { format!("{}g", mib / 1024) } else { format!("{mib}m") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        let durations = [
            ("1m30s", Some("90s")),
            ("10s", Some("10s")),
            ("500ms", Some("1s")),
            ("2h", Some("2h")),
            ("5", None),
            ("", None),
        ];
        for (text, expected) in durations {
            assert_eq!(duration(text).as_deref(), expected, "{text}");
        }
        let sizes = [
            ("128mb", Some("128m")),
            ("1G", Some("1g")),
            ("0.5g", Some("512m")),
            ("1073741824", Some("1g")),
            ("64k", Some("1m")),
            ("1.5.2g", None),
            ("-1", None),
            ("many", None),
        ];
        for (text, expected) in sizes {
            assert_eq!(size(text).as_deref(), expected, "{text}");
        }
    }
}

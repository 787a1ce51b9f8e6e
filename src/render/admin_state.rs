//! gdnsd's own switch: the file `admin_state` in its `state_dir`, which it reads again within about 2 s.
//!
//! A line there overrules the probes of one address. Lines of others stay as they are.

use super::gdnsd::SERVICE;
use std::fmt::Write;
use std::net::IpAddr;

/// The file with these addresses forced down, or left to the probes again.
pub fn admin_state(before: &str, addresses: &[IpAddr], down: bool) -> String {
    let keys: Vec<String> = addresses.iter().map(|address| format!("{address}/{SERVICE}")).collect();
    let key_of = |line: &str| line.split("=>").next().unwrap_or_default().trim().trim_matches('"').to_owned();
    let mut text: String =
        before.lines().filter(|line| !keys.contains(&key_of(line))).map(|line| format!("{line}\n")).collect();
    if down {
        for key in &keys {
            // Quoted, or the colons of IPv6 end the word.
            let _ = writeln!(text, "\"{key}\" => DOWN");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_others_stay() {
        let addresses: Vec<IpAddr> = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse().unwrap()).to_vec();
        let before = "# by hand\n192.0.2.9/other => DOWN\n192.0.2.1/region_health => UP\n";
        let drained = admin_state(before, &addresses, true);
        assert_eq!(
            drained,
            "# by hand\n192.0.2.9/other => DOWN\n\"192.0.2.1/region_health\" => DOWN\n\"2001:db8::1/region_health\" => DOWN\n"
        );
        assert_eq!(admin_state(&drained, &addresses, true), drained, "again");
        assert_eq!(admin_state(&drained, &addresses, false), "# by hand\n192.0.2.9/other => DOWN\n");
        assert_eq!(admin_state("", &addresses, false), "");
    }
}

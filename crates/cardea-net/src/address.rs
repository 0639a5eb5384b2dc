//! Decides which addresses may be reached. Pure.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de::Error as _};

/// Returns why an address is not on the open internet, or `None` if it is.
///
/// The list is one of what is known to be public: an IPv6 range without an assigned meaning is refused.
#[must_use]
pub fn special(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => special_v4(ip),
        IpAddr::V6(ip) => special_v6(ip),
    }
}

fn special_v4(ip: Ipv4Addr) -> Option<&'static str> {
    match ip.octets() {
        [0, ..] => Some("this host"),
        [127, ..] => Some("loopback"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some("private"),
        [100, 64..=127, ..] => Some("carrier-grade NAT"),
        [169, 254, ..] => Some("link-local"),
        [192, 0, 0, _] | [192, 88, 99, _] => Some("protocol assignments"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some("documentation"),
        [198, 18..=19, ..] => Some("benchmarking"),
        [224..=239, ..] => Some("multicast"),
        [240..=255, ..] => Some("reserved"),
        _ => None,
    }
}

fn special_v6(ip: Ipv6Addr) -> Option<&'static str> {
    if let Some(inner) = ip.to_ipv4_mapped() {
        return special_v4(inner);
    }
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        // NAT64: the actual target is the IPv4 address in the last four bytes.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let (a, b) = (high.to_be_bytes(), low.to_be_bytes());
            special_v4(Ipv4Addr::from(u32::from_be_bytes([a[0], a[1], b[0], b[1]])))
        }
        [0x2001, 0..=0x1ff, ..] => Some("protocol assignments"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("documentation"),
        [0x2002, ..] => Some("6to4"),
        [0x2000..=0x3fff, ..] => None,
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xfc00..=0xfdff, ..] => Some("private"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        _ => Some("reserved"),
    }
}

/// Returns the address under which an unidentified client is counted. WHY: each host of an IPv6 network may use any of
/// its 2^64 addresses (RFC 7421), so counting single addresses would have no limit.
#[must_use]
pub fn counted_as(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

/// Error for a text that is neither `host:port` nor a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a target: write `host:port`, `[address]:port`, or a range such as `10.1.0.0/16`")]
pub struct BadTarget(String);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Host { host: String, port: u16 },
    Range { base: IpAddr, bits: u8 },
}

/// Targets that may be reached although they are not on the open internet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList(Vec<Target>);

impl AllowList {
    /// Adds one target: `host:port` or a range.
    ///
    /// # Errors
    /// [`BadTarget`] if the text is neither.
    pub fn add(&mut self, target: &str) -> Result<(), BadTarget> {
        self.0.push(target.parse()?);
        Ok(())
    }

    /// Returns whether exactly this host and port are listed. Names are compared without case.
    #[must_use]
    pub fn names(&self, host: &str, port: u16) -> bool {
        let host = bare(host);
        self.0.iter().any(
            |target| matches!(target, Target::Host { host: h, port: p } if *p == port && h.eq_ignore_ascii_case(host)),
        )
    }

    /// Returns whether a listed range contains the address.
    #[must_use]
    pub fn holds(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|target| match target {
            Target::Range { base, bits } => within(*base, *bits, ip),
            Target::Host { .. } => false,
        })
    }

    /// Returns whether the name is listed with some port.
    pub(crate) fn knows(&self, name: &str) -> bool {
        let name = bare(name);
        self.0
            .iter()
            .any(|target| matches!(target, Target::Host { host, .. } if host.eq_ignore_ascii_case(name)))
    }
}

/// Returns a host without the brackets of an IPv6 literal and without the trailing dot.
pub(crate) fn bare(host: &str) -> &str {
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host)
}

fn within(base: IpAddr, bits: u8, ip: IpAddr) -> bool {
    match (base, ip) {
        (IpAddr::V4(base), IpAddr::V4(ip)) => {
            u32::from(base).checked_shr(32 - u32::from(bits))
                == u32::from(ip).checked_shr(32 - u32::from(bits))
        }
        (IpAddr::V6(base), IpAddr::V6(ip)) => {
            u128::from(base).checked_shr(128 - u32::from(bits))
                == u128::from(ip).checked_shr(128 - u32::from(bits))
        }
        _ => false,
    }
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let bad = || BadTarget(text.chars().take(80).collect());
        if let Some((base, bits)) = text.split_once('/') {
            let base: IpAddr = base.parse().map_err(|_| bad())?;
            let bits: u8 = bits.parse().map_err(|_| bad())?;
            let most = if base.is_ipv4() { 32 } else { 128 };
            // WHY: a range of length zero would disable the guard for good, which no one intends.
            return if (1..=most).contains(&bits) { Ok(Self::Range { base, bits }) } else { Err(bad()) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let port: u16 = port.parse().map_err(|_| bad())?;
        let plain = bare(host);
        let literal = plain.parse::<IpAddr>().is_ok();
        let name = plain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        if port == 0
            || plain.is_empty()
            || !(literal || name)
            || (plain.contains(':') && !host.starts_with('['))
        {
            return Err(bad());
        }
        Ok(Self::Host { host: plain.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Range { base, bits } => write!(f, "{base}/{bits}"),
        }
    }
}

impl<'de> Deserialize<'de> for AllowList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let mut list = Self::default();
        for text in &texts {
            list.add(text).map_err(D::Error::custom)?;
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_spelling_of_an_inner_address_is_special() {
        let inner = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in inner {
            assert!(special(ip(text)).is_some(), "{text} must be refused");
        }
        for text in [
            "1.1.1.1",
            "100.63.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860::8888",
            "64:ff9b::808:808",
            "::ffff:8.8.8.8",
        ] {
            assert_eq!(special(ip(text)), None, "{text} is public");
        }
    }

    #[test]
    fn the_allow_list_is_exact_about_ports_and_ranges() {
        let mut list = AllowList::default();
        for target in ["localhost:8080", "[::1]:9000", "10.1.0.0/16", "fd00::/8"] {
            list.add(target).unwrap();
        }
        assert!(list.names("LocalHost.", 8080) && list.names("[::1]", 9000));
        assert!(!list.names("localhost", 8081) && !list.names("127.0.0.1", 8080));
        assert!(
            list.holds(ip("10.1.255.1")) && list.holds(ip("::ffff:10.1.0.1")) && list.holds(ip("fd12::1"))
        );
        assert!(!list.holds(ip("10.2.0.1")) && !list.holds(ip("fe80::1")));
        for bad in [
            "",
            "localhost",
            ":80",
            "localhost:0",
            "localhost:99999",
            "10.0.0.0/0",
            "10.0.0.0/33",
            "::1:80",
            "a b:1",
            "http://x:1",
            "*:80",
        ] {
            assert!(list.add(bad).is_err(), "`{bad}` must be refused");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_a_target_reads_back(text in "\\PC{0,40}") {
            if let Ok(target) = text.parse::<Target>() {
                prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
            }
        }

        #[test]
        fn addresses_of_one_network_count_as_one_and_those_of_two_as_two(high: u64, low: u64, v4: u32, flip in 64..128_u32) {
            // Public ones; mapped and reserved ranges have a meaning of their own.
            let bits = (u128::from(high) << 64) | u128::from(low) | 1 << 125;
            let counted = |bits: u128| counted_as(Ipv6Addr::from_bits(bits).into());
            prop_assert_eq!(counted(bits), counted(bits & !u128::from(u64::MAX)));
            prop_assert_ne!(counted(bits), counted(bits ^ (1 << flip)));
            let plain = Ipv4Addr::from(v4);
            prop_assert_eq!(counted_as(plain.into()), IpAddr::V4(plain));
            prop_assert_eq!(counted_as(plain.to_ipv6_mapped().into()), IpAddr::V4(plain));
        }

        #[test]
        fn a_mapped_address_is_judged_like_the_plain_one(bits: u32) {
            let plain = Ipv4Addr::from(bits);
            prop_assert_eq!(special(IpAddr::V4(plain)), special(IpAddr::V6(plain.to_ipv6_mapped())));
        }
    }
}

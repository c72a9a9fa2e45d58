//! Which addresses a delivery may go to.
//!
//! Targets come from the operator's own file, so private networks are allowed, and loopback where the file says it in so
//! many words: a training server is often there. Never allowed are addresses that no webhook has but an attacker wants:
//! link-local (with the metadata services of clouds), multicast, broadcast, unspecified, and the same written as IPv6.
//! Literals are checked when the configuration is read, names when they are resolved, at every connection; a name that
//! turns out to lead to loopback is refused unless it is `localhost` or listed. `allow.rs` holds the operator's lists.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

use super::allow::Allowed;

/// Longest URL that is accepted.
const MAX_URL: usize = 4_096;

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forbidden {
    /// `0.0.0.0/8` or `::`.
    Unspecified,
    /// `169.254.0.0/16` or `fe80::/10`, where clouds keep their metadata services.
    LinkLocal,
    /// A metadata service outside the link-local range.
    Metadata,
    /// `224.0.0.0/4` or `ff00::/8`.
    Multicast,
    /// `240.0.0.0/4`, with the broadcast address.
    Reserved,
    /// `127.0.0.0/8` or `::1`, behind a name.
    Loopback,
    /// Neither in `deliver.allow_hosts` nor in `deliver.allow_cidrs`.
    NotListed,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "the metadata service of a cloud",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
            Self::Loopback => {
                "loopback through a name: list the name in deliver.allow_hosts if that is meant"
            }
            Self::NotListed => "a host that deliver.allow_hosts and deliver.allow_cidrs do not list",
        })
    }
}

impl std::error::Error for Forbidden {}

/// Whether a delivery may go to this address.
///
/// # Errors
/// The reason why not.
///
/// ```
/// use anchorwatch::deliver::{Forbidden, check_address};
/// assert_eq!(check_address([10, 0, 0, 7].into()), Ok(()));
/// assert_eq!(check_address([169, 254, 169, 254].into()), Err(Forbidden::LinkLocal));
/// ```
pub fn check_address(address: IpAddr) -> Result<(), Forbidden> {
    match address {
        IpAddr::V4(v4) => check_v4(v4),
        IpAddr::V6(v6) => check_v6(v6),
    }
}

fn check_v4(address: Ipv4Addr) -> Result<(), Forbidden> {
    match address.octets() {
        [0, ..] => Err(Forbidden::Unspecified),
        [169, 254, ..] => Err(Forbidden::LinkLocal),
        [100, 100, 100, 200] | [192, 0, 0, 192] => Err(Forbidden::Metadata),
        [224..=239, ..] => Err(Forbidden::Multicast),
        [240..=255, ..] => Err(Forbidden::Reserved),
        _ => Ok(()),
    }
}

fn check_v6(address: Ipv6Addr) -> Result<(), Forbidden> {
    if let Some(v4) = embedded_v4(address) {
        return check_v4(v4);
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Err(Forbidden::Unspecified),
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] => Err(Forbidden::Metadata),
        [first, ..] if first & 0xffc0 == 0xfe80 => Err(Forbidden::LinkLocal),
        [first, ..] if first & 0xff00 == 0xff00 => Err(Forbidden::Multicast),
        _ => Ok(()),
    }
}

/// The IPv4 address that an IPv6 address stands for, or the address itself.
pub(in crate::deliver) fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => embedded_v4(v6).map_or(address, IpAddr::V4),
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64 or 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(join(high, low))
        }
        [0, 0, 0, 0, 0xffff, 0, high, low] | [0x2002, high, low, ..] => Some(join(high, low)),
        [0x64, 0xff9b, 1, _, _, _, high, low] => Some(join(high, low)),
        _ => None,
    }
}

/// A checked address of a target. It may be a secret (Slack's is), so it prints without path and query.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// Why a text is not the address of a target. The text itself, which may be a secret, is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL at all.
    #[error("is not a URL: write it in full, for example `https://hooks.example.com/anchorwatch`")]
    NotAUrl,
    /// Too long to be one.
    #[error("is longer than {MAX_URL} bytes")]
    TooLong,
    /// Another scheme.
    #[error("has the scheme `{0}`: only https and http are possible")]
    Scheme(String),
    /// User and password inside the URL would be shown by receivers and proxies.
    #[error("has a user or password in it: use a signing secret instead")]
    Credentials,
    /// An address that no webhook has.
    #[error("leads to {0}, where nothing is ever sent")]
    Forbidden(Forbidden),
}

impl Endpoint {
    /// Checks the address of a target.
    ///
    /// # Errors
    /// When it is no http or https URL, carries credentials, or leads to a forbidden address.
    ///
    /// ```
    /// use anchorwatch::deliver::Endpoint;
    /// let endpoint = Endpoint::parse("https://hooks.example.com/services/T0/B0/secret?x=1")?;
    /// assert_eq!(endpoint.to_string(), "https://hooks.example.com/***");
    /// assert!(Endpoint::parse("http://0xA9FEA9FE/latest/meta-data").is_err());
    /// # Ok::<(), anchorwatch::deliver::EndpointError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        Self::parse_allowed(text, &Allowed::default())
    }

    /// The same with the operator's lists.
    ///
    /// # Errors
    /// As of [`Endpoint::parse`], and when the lists leave the host out.
    pub fn parse_allowed(text: &str, allowed: &Allowed) -> Result<Self, EndpointError> {
        if text.len() > MAX_URL {
            return Err(EndpointError::TooLong);
        }
        let url = Url::parse(text.trim()).map_err(|_| EndpointError::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EndpointError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::Credentials);
        }
        let checked = match (literal(&url), url.host_str()) {
            (Some(address), _) => allowed.literal(address),
            (None, Some(host)) => allowed.name(host),
            (None, None) => return Err(EndpointError::NotAUrl),
        };
        checked.map_err(EndpointError::Forbidden)?;
        Ok(Self(url))
    }

    /// Whether requests would cross a network unencrypted.
    #[must_use]
    pub fn is_plain_text(&self) -> bool {
        let loopback = literal(&self.0).is_some_and(|address| address.is_loopback())
            || self.0.host_str().is_some_and(|host| host == "localhost");
        self.0.scheme() == "http" && !loopback
    }

    /// The full address; only for the request itself.
    #[must_use]
    pub const fn expose(&self) -> &Url {
        &self.0
    }
}

/// The host as an address. The parser has already turned forms like `0x7f.1` into plain ones.
fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        if let Some(port) = self.0.port() {
            write!(f, ":{port}")?;
        }
        f.write_str("/***")
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> EndpointError {
        Endpoint::parse(text).expect_err(text)
    }

    #[test]
    fn forbidden_addresses_are_refused_in_every_form() {
        for host in [
            "169.254.169.254",
            "2852039166",
            "0xA9FEA9FE",
            "0251.0376.0251.0376",
            "169.254.43518",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::]",
            "[fe80::1]",
            "[::a9fe:a9fe]",
        ] {
            let found = refused(&format!("http://{host}/latest"));
            assert_eq!(found, EndpointError::Forbidden(Forbidden::LinkLocal), "{host}");
        }
        for (host, reason) in [
            ("0.0.0.0", Forbidden::Unspecified),
            ("0", Forbidden::Unspecified),
            ("[::]", Forbidden::Unspecified),
            ("[fd00:ec2::254]", Forbidden::Metadata),
            ("100.100.100.200", Forbidden::Metadata),
            ("224.0.0.1", Forbidden::Multicast),
            ("[ff02::1]", Forbidden::Multicast),
            ("255.255.255.255", Forbidden::Reserved),
        ] {
            assert_eq!(refused(&format!("https://{host}/")), EndpointError::Forbidden(reason), "{host}");
        }
    }

    #[test]
    fn the_operators_own_networks_are_allowed() {
        for host in
            ["127.0.0.1", "0x7f.1", "[::1]", "10.1.2.3", "192.168.0.9", "[fd12:3456::1]", "localhost", "ci"]
        {
            Endpoint::parse(&format!("http://{host}:8080/hook")).expect(host);
        }
    }

    #[test]
    fn only_http_without_credentials_is_a_target() {
        assert_eq!(refused("hooks.example.com/x"), EndpointError::NotAUrl);
        assert_eq!(refused("file:///etc/passwd"), EndpointError::Scheme("file".into()));
        assert_eq!(refused("https://user:hunter2@example.com/"), EndpointError::Credentials);
        assert_eq!(refused(&format!("https://e.com/{}", "x".repeat(MAX_URL))), EndpointError::TooLong);
    }

    #[test]
    fn plain_http_is_noticed_unless_it_stays_on_this_host() {
        let plain = |text| Endpoint::parse(text).expect(text).is_plain_text();
        assert!(plain("http://hooks.example.com/"));
        assert!(
            !plain("https://hooks.example.com/")
                && !plain("http://127.0.0.1:9/")
                && !plain("http://localhost/")
        );
    }
}

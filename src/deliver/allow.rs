//! The operator's lists of hosts and networks, and the resolver that keeps to them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::guard::{Forbidden, check_address, plain};
use crate::config;

/// Where deliveries may go. Empty lists allow whatever the configuration names; some addresses are never allowed. Beside a
/// list of networks a name that is not listed is judged by the addresses to which it leads.
///
/// ```
/// use anchorwatch::deliver::{Allowed, Endpoint};
/// let hosts = Allowed::new(&[".example.com".into()], &[]);
/// assert!(Endpoint::parse_allowed("https://hooks.example.com/", &hosts).is_ok());
/// assert!(Endpoint::parse_allowed("https://hooks.example.org/", &hosts).is_err());
/// let networks = Allowed::new(&[], &["10.20.0.0/16".into()]);
/// assert!(Endpoint::parse_allowed("http://10.20.3.4/", &networks).is_ok());
/// assert!(Endpoint::parse_allowed("http://10.21.3.4/", &networks).is_err());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    hosts: Vec<String>,
    networks: Vec<IpNet>,
    /// Host of the proxy, which stands for itself.
    proxy: Option<String>,
}

impl From<&config::Deliver> for Allowed {
    fn from(deliver: &config::Deliver) -> Self {
        Self::new(&deliver.allow_hosts, &deliver.allow_cidrs)
    }
}

impl Allowed {
    /// These lists; what is no network is left out, since the configuration was checked before.
    #[must_use]
    pub fn new(hosts: &[String], networks: &[String]) -> Self {
        let plain = |host: &String| host.trim_matches(['[', ']']).to_ascii_lowercase();
        Self {
            hosts: hosts.iter().map(plain).collect(),
            networks: networks.iter().filter_map(|network| network.parse().ok()).collect(),
            proxy: None,
        }
    }

    /// The same for a client behind a proxy, whose own name must be found.
    #[must_use]
    pub(in crate::deliver) fn with_proxy(self, host: Option<&str>) -> Self {
        Self { proxy: host.map(str::to_ascii_lowercase), ..self }
    }

    fn is_open(&self) -> bool {
        self.hosts.is_empty() && self.networks.is_empty()
    }

    fn lists_host(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.hosts
            .iter()
            .any(|listed| *listed == host || listed.starts_with('.') && host.ends_with(listed.as_str()))
    }

    fn lists_address(&self, address: IpAddr) -> bool {
        let written = [address, plain(address)];
        self.networks.iter().any(|network| written.iter().any(|address| network.contains(address)))
    }

    /// Whether a host written as an address may be asked. Loopback may: the operator wrote it.
    pub(in crate::deliver) fn literal(&self, address: IpAddr) -> Result<(), Forbidden> {
        check_address(address)?;
        let listed = self.lists_address(address) || self.lists_host(&address.to_string());
        if self.is_open() || listed { Ok(()) } else { Err(Forbidden::NotListed) }
    }

    /// Whether a name may be resolved at all. With listed networks that is seen only afterwards.
    pub(in crate::deliver) fn name(&self, host: &str) -> Result<(), Forbidden> {
        let possible = self.is_open() || self.lists_host(host) || !self.networks.is_empty();
        if possible { Ok(()) } else { Err(Forbidden::NotListed) }
    }

    /// Whether a name may lead to this address.
    fn resolved(&self, host: &str, address: IpAddr) -> Result<(), Forbidden> {
        check_address(address)?;
        if self.proxy.as_deref() == Some(host) {
            return Ok(());
        }
        let listed = self.lists_host(host) || self.lists_address(address);
        let is_local = host == "localhost" || host.ends_with(".localhost");
        if plain(address).is_loopback() && !is_local && !listed {
            return Err(Forbidden::Loopback);
        }
        if self.is_open() || listed { Ok(()) } else { Err(Forbidden::NotListed) }
    }

    /// The addresses that may be used; an error if there are none but forbidden ones.
    fn select(
        &self,
        host: &str,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Forbidden> {
        let (mut good, mut reason) = (Vec::new(), None);
        for address in found {
            match self.resolved(host, address.ip()) {
                Ok(()) => good.push(address),
                Err(forbidden) => reason = Some(forbidden),
            }
        }
        match (good.is_empty(), reason) {
            (true, Some(forbidden)) => Err(forbidden),
            (true, None) | (false, _) => Ok(good),
        }
    }
}

/// Resolves names and leaves out forbidden addresses, so that a name cannot lead where a literal may not.
#[derive(Debug, Clone, Default)]
pub(in crate::deliver) struct GuardedResolver(pub(in crate::deliver) Arc<Allowed>);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(allowed.select(name.as_str(), found)?.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: [u8; 4]) -> SocketAddr {
        SocketAddr::from((address, 0))
    }

    const METADATA: [u8; 4] = [169, 254, 169, 254];

    #[test]
    fn a_name_that_leads_to_forbidden_addresses_only_is_refused() {
        let open = Allowed::default();
        let select = |found: &[SocketAddr]| open.select("hooks.example.com", found.iter().copied());
        assert_eq!(select(&[at(METADATA)]), Err(Forbidden::LinkLocal));
        let private = at([10, 0, 0, 1]);
        assert_eq!(select(&[at(METADATA), private]), Ok(vec![private]));
    }

    #[test]
    fn a_name_leads_to_loopback_only_if_it_says_so_or_is_listed() {
        let local = at([127, 0, 0, 1]);
        let open = Allowed::default();
        assert_eq!(open.select("localhost", [local].into_iter()), Ok(vec![local]));
        assert_eq!(open.select("rebound.example.com", [local].into_iter()), Err(Forbidden::Loopback));
        let listed = Allowed::new(&["ci.example.com".into()], &[]);
        assert_eq!(listed.select("ci.example.com", [local].into_iter()), Ok(vec![local]));
        let network = Allowed::new(&[], &["127.0.0.0/8".into()]);
        assert_eq!(network.select("ci.example.com", [local].into_iter()), Ok(vec![local]));
    }

    #[test]
    fn lists_are_exclusive_and_never_open_what_is_always_forbidden() {
        let allowed = Allowed::new(
            &["metadata.example.com".into(), ".corp.example".into()],
            &["169.254.0.0/16".into(), "10.0.0.0/8".into()],
        );
        let metadata = "metadata.example.com";
        assert_eq!(allowed.select(metadata, [at(METADATA)].into_iter()), Err(Forbidden::LinkLocal));
        assert_eq!(allowed.literal(METADATA.into()), Err(Forbidden::LinkLocal));
        assert_eq!(allowed.literal([192, 0, 2, 1].into()), Err(Forbidden::NotListed));
        let (inside, outside) = (at([10, 2, 3, 4]), at([192, 0, 2, 1]));
        assert_eq!(allowed.select("x.example", [inside, outside].into_iter()), Ok(vec![inside]));
        assert_eq!(allowed.select("a.corp.example", [outside].into_iter()), Ok(vec![outside]));
        assert_eq!(allowed.select("evilcorp.example", [outside].into_iter()), Err(Forbidden::NotListed));
    }

    #[test]
    fn a_listed_network_knows_its_addresses_however_they_are_written() {
        let allowed = Allowed::new(&[], &["10.0.0.0/8".into()]);
        let mapped: IpAddr = "::ffff:10.1.2.3".parse().expect("an address");
        assert_eq!(allowed.literal(mapped), Ok(()));
    }
}

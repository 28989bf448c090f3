//! The tunnels of a VPN connection, as the customer's side has to be configured: read from the document that AWS gives out.

use std::{fmt::Display, net::IpAddr, str::FromStr};

use cloud_core::{Effect, Error, ErrorKind, Result, secret::SecretString};
use ipnet::IpNet;
use quick_xml::{Reader, events::Event};

/// The document has four levels; what is deeper is none of it.
const DEEPEST: usize = 16;

/// One end of a tunnel.
///
/// ```
/// # use cloud_aws::TunnelEnd;
/// fn bgp_peer(end: &TunnelEnd) -> Option<(std::net::IpAddr, u32)> { Some((end.inside, end.asn?)) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelEnd {
    /// Its address in the internet.
    pub outside: IpAddr,
    /// Its address in the tunnel.
    pub inside: IpAddr,
    /// The block of addresses of the tunnel, which is that of both ends.
    pub network: IpNet,
    /// Its autonomous system number, with BGP; `None` with static routes.
    pub asn: Option<u32>,
    /// How long BGP waits for a sign of life, in seconds.
    pub bgp_hold_seconds: Option<u32>,
}

/// How the two ends trust each other (IKE, phase 1).
///
/// ```
/// # use cloud_aws::IkeProposal;
/// fn is_weak(ike: &IkeProposal) -> bool { ike.dh_group.as_deref() == Some("group2") }
/// ```
#[derive(Clone, Debug)]
pub struct IkeProposal {
    /// The integrity algorithm, such as `sha1` or `sha2-256`.
    pub authentication: String,
    /// The encryption algorithm, such as `aes-128-cbc`.
    pub encryption: String,
    /// After how many seconds the keys are renewed.
    pub lifetime_seconds: u32,
    /// The Diffie-Hellman group, such as `group2`.
    pub dh_group: Option<String>,
    /// The mode of the exchange, such as `main`.
    pub mode: Option<String>,
    /// The key that both ends know; `None` where they trust certificates, or AWS keeps it in Secrets Manager. Never in `Debug`.
    pub pre_shared_key: Option<SecretString>,
}

/// How often an end asks whether the other is there, and when it gives up.
///
/// ```
/// # use cloud_aws::DeadPeerDetection;
/// fn notices_within_seconds(d: &DeadPeerDetection) -> u32 { d.interval_seconds.saturating_mul(d.retries) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadPeerDetection {
    /// Seconds between two questions.
    pub interval_seconds: u32,
    /// Questions without an answer after which the other end is dead.
    pub retries: u32,
}

/// How the traffic is encrypted (IPsec, phase 2).
///
/// ```
/// # use cloud_aws::IpsecProposal;
/// fn mss(ipsec: &IpsecProposal) -> u32 { ipsec.tcp_mss.unwrap_or(1379) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpsecProposal {
    /// The protocol, such as `esp`.
    pub protocol: String,
    /// The integrity algorithm, such as `hmac-sha1-96`.
    pub authentication: String,
    /// The encryption algorithm, such as `aes-128-cbc`.
    pub encryption: String,
    /// After how many seconds the keys are renewed.
    pub lifetime_seconds: u32,
    /// The Diffie-Hellman group of perfect forward secrecy, such as `group2`.
    pub dh_group: Option<String>,
    /// The mode, such as `tunnel`.
    pub mode: Option<String>,
    /// Whether the bit that forbids fragments is cleared.
    pub clear_df_bit: Option<bool>,
    /// Whether packets are cut before they are encrypted.
    pub fragmentation_before_encryption: Option<bool>,
    /// The greatest TCP segment that fits, in bytes.
    pub tcp_mss: Option<u32>,
    /// How a dead peer is noticed.
    pub dead_peer_detection: Option<DeadPeerDetection>,
}

/// One of the two tunnels of a VPN connection.
///
/// ```
/// # use cloud_aws::VpnTunnel;
/// fn ends(tunnel: &VpnTunnel) -> (std::net::IpAddr, std::net::IpAddr) {
///     (tunnel.customer.outside, tunnel.aws.outside)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct VpnTunnel {
    /// The customer's end.
    pub customer: TunnelEnd,
    /// AWS's end.
    pub aws: TunnelEnd,
    /// Phase 1.
    pub ike: IkeProposal,
    /// Phase 2.
    pub ipsec: IpsecProposal,
}

impl VpnTunnel {
    /// Reads the tunnels from a `CustomerGatewayConfiguration`
    /// ([DescribeVpnConnections](https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_VpnConnection.html)).
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt), naming the part that is absent or wrong. No error shows a pre-shared key.
    ///
    /// ```
    /// # use cloud_aws::VpnTunnel;
    /// let none = VpnTunnel::parse("<vpn_connection id='vpn-1'/>").unwrap();
    /// assert!(none.is_empty());
    /// assert!(VpnTunnel::parse("no document").is_err());
    /// ```
    pub fn parse(document: &str) -> Result<Vec<Self>> {
        let root = Element::read(document)?;
        if root.name != "vpn_connection" {
            return Err(corrupt("vpn_connection", "is not the root of the document"));
        }
        let tunnels = root.children.iter().filter(|child| child.name == "ipsec_tunnel");
        tunnels.enumerate().map(|(i, tunnel)| Self::of(tunnel, i)).collect()
    }

    fn of(tunnel: &Element, index: usize) -> Result<Self> {
        let at = |part: &str| format!("ipsec_tunnel[{index}].{part}");
        let end = |part: &str| -> Result<TunnelEnd> {
            let end = At::of(tunnel, part, at(part))?;
            let inside: IpAddr = end.value("tunnel_inside_address/ip_address")?;
            // Newer documents of IPv6 tunnels have the length only, as older ones have the mask besides.
            let length: u8 = end.value("tunnel_inside_address/network_cidr")?;
            let network = IpNet::new(inside, length).map_err(|_| {
                corrupt(&end.name("tunnel_inside_address/network_cidr"), "is too long")
            })?;
            Ok(TunnelEnd {
                outside: end.value("tunnel_outside_address/ip_address")?,
                inside,
                network: network.trunc(),
                asn: end.perhaps("bgp/asn")?,
                bgp_hold_seconds: end.perhaps("bgp/hold_time")?,
            })
        };
        let ike = At::of(tunnel, "ike", at("ike"))?;
        let ipsec = At::of(tunnel, "ipsec", at("ipsec"))?;
        let interval = ipsec.perhaps("dead_peer_detection/interval")?;
        let retries = ipsec.perhaps("dead_peer_detection/retries")?;
        Ok(Self {
            customer: end("customer_gateway")?,
            aws: end("vpn_gateway")?,
            ike: IkeProposal {
                authentication: ike.value("authentication_protocol")?,
                encryption: ike.value("encryption_protocol")?,
                lifetime_seconds: ike.value("lifetime")?,
                dh_group: ike.perhaps("perfect_forward_secrecy")?,
                mode: ike.perhaps("mode")?,
                pre_shared_key: ike.perhaps::<String>("pre_shared_key")?.map(Into::into),
            },
            ipsec: IpsecProposal {
                protocol: ipsec.value("protocol")?,
                authentication: ipsec.value("authentication_protocol")?,
                encryption: ipsec.value("encryption_protocol")?,
                lifetime_seconds: ipsec.value("lifetime")?,
                dh_group: ipsec.perhaps("perfect_forward_secrecy")?,
                mode: ipsec.perhaps("mode")?,
                clear_df_bit: ipsec.perhaps("clear_df_bit")?,
                fragmentation_before_encryption: ipsec
                    .perhaps("fragmentation_before_encryption")?,
                tcp_mss: ipsec.perhaps("tcp_mss_adjustment")?,
                dead_peer_detection: interval.zip(retries).map(|(interval_seconds, retries)| {
                    DeadPeerDetection { interval_seconds, retries }
                }),
            },
        })
    }
}

/// Says where the document is wrong, and nothing of what is there: it may be a key.
fn corrupt(part: &str, problem: impl Display) -> Error {
    let message = format!("the configuration of the VPN connection: {part} {problem}");
    Error::new(ErrorKind::Corrupt, message).with_effect(Effect::None)
}

/// An element with the texts and elements in it.
#[derive(Default)]
struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn read(document: &str) -> Result<Self> {
        let wrong = |_| corrupt("the document", "is not XML");
        let mut reader = Reader::from_str(document);
        // The first stands for the document itself.
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().map_err(wrong)? {
                Event::Start(start) => {
                    if open.len() > DEEPEST {
                        return Err(corrupt("the document", "is nested too deep"));
                    }
                    let name =
                        String::from_utf8_lossy(start.local_name().into_inner()).into_owned();
                    open.push(Self { name, ..Self::default() });
                }
                Event::Empty(start) => {
                    let name =
                        String::from_utf8_lossy(start.local_name().into_inner()).into_owned();
                    if let Some(parent) = open.last_mut() {
                        parent.children.push(Self { name, ..Self::default() });
                    }
                }
                Event::Text(text) => {
                    let text =
                        text.decode().map_err(|_| corrupt("the document", "is not UTF-8"))?;
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text);
                    }
                }
                Event::CData(text) => {
                    let text =
                        text.decode().map_err(|_| corrupt("the document", "is not UTF-8"))?;
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text);
                    }
                }
                Event::GeneralRef(reference) => {
                    let name =
                        reference.decode().map_err(|_| corrupt("the document", "is not UTF-8"))?;
                    let character = reference.resolve_char_ref().map_err(wrong)?;
                    let character = character.or(match &*name {
                        "lt" => Some('<'),
                        "gt" => Some('>'),
                        "amp" => Some('&'),
                        "apos" => Some('\''),
                        "quot" => Some('"'),
                        _ => None,
                    });
                    let character = character
                        .ok_or_else(|| corrupt("the document", "has an entity of its own"))?;
                    if let Some(element) = open.last_mut() {
                        element.text.push(character);
                    }
                }
                Event::End(_) => {
                    // The reader has checked that it closes the last one that is open.
                    if let Some(element) = open.pop()
                        && let Some(parent) = open.last_mut()
                    {
                        parent.children.push(element);
                    }
                }
                Event::Eof => break,
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
        match (open.len(), open.pop().map(|document| document.children)) {
            (1, Some(mut roots)) if roots.len() == 1 => Ok(roots.remove(0)),
            _ => Err(corrupt("the document", "is not one whole element")),
        }
    }

    fn child(&self, path: &str) -> Option<&Self> {
        path.split('/').try_fold(self, |element, name| {
            element.children.iter().find(|child| child.name == name)
        })
    }
}

/// An element, and where in the document it is.
struct At<'a> {
    element: &'a Element,
    path: String,
}

impl<'a> At<'a> {
    fn of(parent: &'a Element, name: &str, path: String) -> Result<Self> {
        match parent.child(name) {
            Some(element) => Ok(Self { element, path }),
            None => Err(corrupt(&path, "is absent")),
        }
    }

    fn name(&self, path: &str) -> String {
        format!("{}.{}", self.path, path.replace('/', "."))
    }

    /// What is there; one that is empty is absent.
    fn perhaps<T: FromStr>(&self, path: &str) -> Result<Option<T>> {
        let text = self.element.child(path).map_or("", |element| element.text.trim());
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| corrupt(&self.name(path), "is of another form"))
    }

    fn value<T: FromStr>(&self, path: &str) -> Result<T> {
        self.perhaps(path)?.ok_or_else(|| corrupt(&self.name(path), "is absent"))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use cloud_core::secret::ExposeSecret;
    use proptest::prelude::*;

    use super::*;

    fn escape(text: &str) -> String {
        quick_xml::escape::escape(text).into_owned()
    }

    fn write_end(name: &str, end: &TunnelEnd) -> String {
        let bgp = match (end.asn, end.bgp_hold_seconds) {
            (Some(asn), Some(hold)) => {
                format!("<bgp><asn>{asn}</asn><hold_time>{hold}</hold_time></bgp>")
            }
            _ => String::new(),
        };
        format!(
            "<{name}>\n <tunnel_outside_address><ip_address>{}</ip_address></tunnel_outside_address>\n\
             <tunnel_inside_address><ip_address> {} </ip_address><network_mask>{}</network_mask>\
             <network_cidr>{}</network_cidr></tunnel_inside_address>{bgp}</{name}>",
            end.outside,
            end.inside,
            end.network.netmask(),
            end.network.prefix_len(),
        )
    }

    /// The document as AWS writes it.
    fn write(tunnels: &[VpnTunnel]) -> String {
        let mut text = String::from(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<vpn_connection id=\"vpn-1\">\n\
             <customer_gateway_id>cgw-1</customer_gateway_id><vpn_gateway_id>vgw-1</vpn_gateway_id>\n\
             <vpn_connection_type>ipsec.1</vpn_connection_type>",
        );
        for VpnTunnel { customer, aws, ike, ipsec } in tunnels {
            let tag = |name: &str, value: Option<String>| {
                value.map_or(String::new(), |v| format!("<{name}>{}</{name}>\n", escape(&v)))
            };
            let key = ike.pre_shared_key.as_ref().map(|key| key.expose_secret().to_owned());
            text += "<ipsec_tunnel>\n";
            text += &write_end("customer_gateway", customer);
            text += &write_end("vpn_gateway", aws);
            text += "<ike>";
            text += &tag("authentication_protocol", Some(ike.authentication.clone()));
            text += &tag("encryption_protocol", Some(ike.encryption.clone()));
            text += &tag("lifetime", Some(ike.lifetime_seconds.to_string()));
            text += &tag("perfect_forward_secrecy", ike.dh_group.clone());
            text += &tag("mode", ike.mode.clone());
            text += &tag("pre_shared_key", key);
            text += "</ike><ipsec>";
            text += &tag("protocol", Some(ipsec.protocol.clone()));
            text += &tag("authentication_protocol", Some(ipsec.authentication.clone()));
            text += &tag("encryption_protocol", Some(ipsec.encryption.clone()));
            text += &tag("lifetime", Some(ipsec.lifetime_seconds.to_string()));
            text += &tag("perfect_forward_secrecy", ipsec.dh_group.clone());
            text += &tag("mode", ipsec.mode.clone());
            text += &tag("clear_df_bit", ipsec.clear_df_bit.map(|b| b.to_string()));
            let cut = ipsec.fragmentation_before_encryption.map(|b| b.to_string());
            text += &tag("fragmentation_before_encryption", cut);
            text += &tag("tcp_mss_adjustment", ipsec.tcp_mss.map(|n| n.to_string()));
            if let Some(d) = ipsec.dead_peer_detection {
                let (interval, retries) = (d.interval_seconds, d.retries);
                text += &format!(
                    "<dead_peer_detection><interval>{interval}</interval><retries>{retries}</retries></dead_peer_detection>"
                );
            }
            text += "</ipsec></ipsec_tunnel>";
        }
        text + "</vpn_connection>\n"
    }

    fn any_end(bgp: bool) -> impl Strategy<Value = TunnelEnd> {
        (any::<u32>(), any::<u32>(), any::<u32>(), any::<u16>()).prop_map(
            move |(outside, inside, asn, hold)| {
                let inside = IpAddr::from(Ipv4Addr::from(inside));
                TunnelEnd {
                    outside: Ipv4Addr::from(outside).into(),
                    inside,
                    network: IpNet::new(inside, 30).unwrap().trunc(),
                    asn: bgp.then_some(asn),
                    bgp_hold_seconds: bgp.then_some(hold.into()),
                }
            },
        )
    }

    prop_compose! {
        fn any_tunnel()(
            (customer, aws) in any::<bool>().prop_flat_map(|bgp| (any_end(bgp), any_end(bgp))),
            words in prop::collection::vec("[a-z0-9-]{1,12}", 5),
            groups in prop::collection::vec(prop::option::of("group[1-9]{1,2}"), 2),
            key in prop::option::of("[!-~]{8,64}"),
            lifetimes in any::<(u32, u32)>(),
            flags in any::<(Option<bool>, Option<bool>)>(),
            tcp_mss in any::<Option<u32>>(),
            detection in any::<Option<(u32, u32)>>(),
        ) -> VpnTunnel {
            VpnTunnel {
                customer,
                aws,
                ike: IkeProposal {
                    authentication: words[0].clone(),
                    encryption: words[1].clone(),
                    lifetime_seconds: lifetimes.0,
                    dh_group: groups[0].clone(),
                    mode: Some("main".into()),
                    pre_shared_key: key.map(Into::into),
                },
                ipsec: IpsecProposal {
                    protocol: words[2].clone(),
                    authentication: words[3].clone(),
                    encryption: words[4].clone(),
                    lifetime_seconds: lifetimes.1,
                    dh_group: groups[1].clone(),
                    mode: None,
                    clear_df_bit: flags.0,
                    fragmentation_before_encryption: flags.1,
                    tcp_mss,
                    dead_peer_detection: detection.map(|(interval_seconds, retries)| {
                        DeadPeerDetection { interval_seconds, retries }
                    }),
                },
            }
        }
    }

    fn key(tunnel: &VpnTunnel) -> Option<String> {
        tunnel.ike.pre_shared_key.as_ref().map(|key| key.expose_secret().to_owned())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(tunnels in prop::collection::vec(any_tunnel(), 0..3)) {
            let read = VpnTunnel::parse(&write(&tunnels)).unwrap();
            prop_assert_eq!(read.len(), tunnels.len());
            for (read, written) in read.iter().zip(&tunnels) {
                prop_assert_eq!(&read.customer, &written.customer);
                prop_assert_eq!(&read.aws, &written.aws);
                prop_assert_eq!(&read.ipsec, &written.ipsec);
                prop_assert_eq!(key(read), key(written));
                prop_assert_eq!(format!("{:?}", read.ike), format!("{:?}", written.ike));
            }
        }

        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,200}") {
            let _ = VpnTunnel::parse(&text);
        }

        #[test]
        fn a_broken_document_is_an_error_without_the_key(
            tunnel in any_tunnel(), at in any::<prop::sample::Index>(), length in 1usize..40,
        ) {
            let mut tunnel = tunnel;
            tunnel.ike.pre_shared_key = Some("hunter2hunter2".into());
            let text = write(&[tunnel]);
            let from = at.index(text.len());
            let to = (from + length).min(text.len());
            let broken = format!("{}{}", &text[..from], &text[to..]);
            match VpnTunnel::parse(&broken) {
                Err(error) => {
                    prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
                    let said = format!("{error:?}");
                    prop_assert!(!said.contains("hunter2"), "{}", said);
                }
                Ok(tunnels) => {
                    let said = format!("{tunnels:?}");
                    prop_assert!(!said.contains("hunter2"), "{}", said);
                }
            }
        }
    }

    #[test]
    fn what_is_absent_is_named() {
        let text = "<vpn_connection><ipsec_tunnel><ike/><ipsec/></ipsec_tunnel></vpn_connection>";
        let error = VpnTunnel::parse(text).unwrap_err().to_string();
        assert!(error.contains("ipsec_tunnel[0].customer_gateway is absent"), "{error}");
        let deep = "<a>".repeat(100_000);
        assert!(VpnTunnel::parse(&deep).unwrap_err().to_string().contains("too deep"));
        let bomb = "<!DOCTYPE x [<!ENTITY a \"b\">]><vpn_connection>&a;</vpn_connection>";
        assert!(VpnTunnel::parse(bomb).unwrap_err().to_string().contains("entity"));
        assert!(VpnTunnel::parse("<a/><b/>").is_err());
    }
}

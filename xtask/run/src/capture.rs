//! What an eavesdropper on the customer's link sees.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use mayfly_host::process::Job;
use mayfly_lab::network::{LINK, Lab, NODE};
use mayfly_lab::settings::WIREGUARD_PORT;

/// Lengths of the handshake's messages, in bytes (WireGuard paper, section 5.4).
const INITIATION: u32 = 148;
const RESPONSE: u32 = 92;

/// Everything except what no tunnel carries because it is for the link: ARP, neighbour discovery
/// (RFC 4861, ICMPv6 types 133 to 137), and multicast on the link.
const FILTER: &str = "not arp and not ip6 dst net ff02::/16 \
     and not (icmp6 and ip6[40] >= 133 and ip6[40] <= 137)";

/// tcpdump on the customer's link.
pub(crate) struct Capture {
    job: Job,
    file: std::path::PathBuf,
}

impl Capture {
    /// Starts, and returns once packets are seen.
    ///
    /// # Errors
    /// tcpdump does not start.
    pub(crate) fn start(lab: &Lab) -> Result<Self> {
        let file = lab.file("capture.txt");
        let words = ["tcpdump", "-i", LINK, "-n", "-tt", "-l", "--immediate-mode"];
        let mut command = lab.customer.command(words.into_iter().chain([FILTER]));
        let to = File::create(&file).context("cannot write the capture")?;
        let (stderr, complain) = std::io::pipe().context("cannot make a pipe")?;
        command.stdout(Stdio::from(to)).stderr(complain);
        let job = Job::start(&mut command, "tcpdump")?;
        drop(command);
        for line in BufReader::new(stderr).lines() {
            if line?.contains("listening on") {
                return Ok(Self { job, file });
            }
        }
        bail!("tcpdump does not listen")
    }

    /// Ends it and reads what it has seen.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn finish(self) -> Result<Vec<Packet>> {
        self.job.end(Duration::from_secs(5));
        let text = fs::read_to_string(&self.file).context("cannot read the capture")?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }
}

/// One line of tcpdump.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Packet {
    /// Seconds since 1970.
    pub at: f64,
    from: String,
    to: String,
    length: Option<u32>,
    line: String,
}

impl FromStr for Packet {
    type Err = ();

    /// `SECONDS IP FROM > TO: ..., length N`
    fn from_str(line: &str) -> Result<Self, ()> {
        let mut words = line.split(' ');
        let at = words.next().and_then(|at| at.parse().ok()).ok_or(())?;
        let mut words = words.skip(1);
        let (from, arrow, to) = (words.next(), words.next(), words.next());
        if arrow != Some(">") {
            return Err(());
        }
        let length = line
            .rsplit_once("length ")
            .and_then(|(_, length)| length.parse().ok());
        Ok(Self {
            at,
            from: from.unwrap_or_default().to_owned(),
            to: to.unwrap_or_default().trim_end_matches(':').to_owned(),
            length,
            line: line.to_owned(),
        })
    }
}

impl Packet {
    fn is_wireguard(&self) -> bool {
        let node = format!("{NODE}.{WIREGUARD_PORT}");
        self.from == node || self.to == node
    }
}

/// Milliseconds from the first initiation to its response.
pub(crate) fn handshake_ms(packets: &[Packet]) -> Option<f64> {
    let mut packets = packets.iter().filter(|packet| packet.is_wireguard());
    let initiation = packets.find(|packet| packet.length == Some(INITIATION))?;
    let response = packets.find(|packet| packet.length == Some(RESPONSE))?;
    let micros = (response.at - initiation.at) * 1_000_000.0;
    Some(micros.round() / 1000.0)
}

/// Packets between two moments that are not WireGuard to or from the node.
pub(crate) fn beside_the_tunnel(
    packets: &[Packet],
    up: SystemTime,
    down: SystemTime,
) -> Vec<String> {
    let seconds = |time: SystemTime| {
        time.duration_since(UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64())
    };
    packets
        .iter()
        .filter(|packet| (seconds(up)..seconds(down)).contains(&packet.at))
        .filter(|packet| !packet.is_wireguard())
        .map(|packet| packet.line.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
1764000000.100000 IP 203.0.113.2.41234 > 192.0.2.2.51820: UDP, length 148
1764000000.103500 IP 192.0.2.2.51820 > 203.0.113.2.41234: UDP, length 92
1764000001.000000 IP 203.0.113.2.41234 > 192.0.2.2.51820: UDP, length 32
1764000002.000000 IP6 2001:db8:71::2.5000 > 2001:db8:64::2.53: UDP, length 9
nonsense
";

    fn packets() -> Vec<Packet> {
        LINES.lines().filter_map(|line| line.parse().ok()).collect()
    }

    #[test]
    fn a_handshake_is_timed_from_initiation_to_response() {
        let time = handshake_ms(&packets()).unwrap();
        assert!((time - 3.5).abs() < 0.01, "{time}");
        assert_eq!(handshake_ms(&packets()[2..]), None);
    }

    #[test]
    fn a_packet_beside_the_tunnel_is_told() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let leaks = |up, down| beside_the_tunnel(&packets(), at(up), at(down));
        assert_eq!(leaks(1_764_000_000, 1_764_000_002).len(), 0);
        let leaked = leaks(1_764_000_000, 1_764_000_003);
        assert!(leaked.len() == 1 && leaked[0].contains("2001:db8:64::2.53"));
    }
}

//! The settings: fetched over plain HTTP, and trusted because of their signature.

use std::thread;
use std::time::{Duration, Instant};

use mayfly_wire::bundle::{Bundle, MAX_BUNDLE, Mac, Terms, Unfit, signed_bytes};
use ring::signature::{ED25519, UnparsedPublicKey};
use ureq::Agent;
use ureq::config::Config;
use ureq::http::{StatusCode, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{NextTimeout, TcpConnector};

use crate::Failure;
use crate::beacon::Beacon;
use crate::cmdline::BundleUrl;
use crate::image::Image;

/// Time limit of one fetch, from connecting to the last byte.
const FETCH: Duration = Duration::from_secs(10);
/// Wait between fetches. It doubles from the first to the last.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(20);
/// After this the machine restarts, because its network may have come up wrong.
const PATIENCE: Duration = Duration::from_secs(180);

/// Fetches until there is a bundle for this machine, which has the Ethernet addresses `own`,
/// and returns its TOML. `beacon` sends each failure until then.
///
/// # Errors
/// After `PATIENCE`, the failure of the last try: [`Failure::NoBundle`] from [`fetch`], or a
/// refusal from [`admit`].
pub fn obtain(
    url: &BundleUrl,
    image: &Image,
    own: &[Mac],
    beacon: &Beacon,
) -> Result<String, Failure> {
    let give_up = Instant::now() + PATIENCE;
    let mut wait = FIRST_WAIT;
    loop {
        let failure = match fetch(url).and_then(|file| admit(&file, image, own)) {
            Ok(toml) => return Ok(toml),
            Err(failure) => failure,
        };
        beacon.tell(failure);
        if Instant::now() + wait >= give_up {
            return Err(failure);
        }
        thread::sleep(wait);
        wait = (wait * 2).min(LAST_WAIT);
    }
}

/// Returns the TOML of a bundle that is signed, new enough, and for this machine.
///
/// # Errors
/// - [`Failure::BundleRefused`]: it is not a bundle, the image's key has not signed it, or the
///   TOML has no valid `serial` and `machines`.
/// - [`Failure::BundleTooOld`]: its serial is below the image's `least_serial`.
/// - [`Failure::BundleOfAnother`]: it lists machines, and none has an address in `own`.
pub fn admit(file: &[u8], image: &Image, own: &[Mac]) -> Result<String, Failure> {
    let settings = verify(file, &image.bundle_key)?;
    let terms: Terms = toml::from_str(&settings).map_err(|_| Failure::BundleRefused)?;
    match terms.admit(own, image.least_serial) {
        Ok(()) => Ok(settings),
        Err(Unfit::TooOld) => Err(Failure::BundleTooOld),
        Err(Unfit::OtherMachine) => Err(Failure::BundleOfAnother),
    }
}

/// Fetches once.
///
/// # Errors
/// [`Failure::NoBundle`] if the server does not answer in time, answers with a status other
/// than 200, or sends more than [`MAX_BUNDLE`] bytes.
pub fn fetch(url: &BundleUrl) -> Result<Vec<u8>, Failure> {
    let config = Agent::config_builder()
        .timeout_global(Some(FETCH))
        .max_redirects(0)
        .proxy(None)
        .user_agent("")
        .build();
    let agent = Agent::with_parts(config, TcpConnector::default(), Numeric(url.clone()));
    let mut response = agent
        .get(format!("http://{}{}", url.server, url.path))
        .call()
        .map_err(|_| Failure::NoBundle)?;
    if response.status() != StatusCode::OK {
        return Err(Failure::NoBundle);
    }
    response
        .body_mut()
        .with_config()
        .limit(MAX_BUNDLE as u64)
        .read_to_vec()
        .map_err(|_| Failure::NoBundle)
}

/// Returns the TOML of a bundle that `key` signed.
///
/// # Errors
/// [`Failure::BundleRefused`] if it is not a bundle, or `key` has not signed it.
pub fn verify(file: &[u8], key: &[u8; 32]) -> Result<String, Failure> {
    let bundle = Bundle::parse(file).map_err(|_| Failure::BundleRefused)?;
    UnparsedPublicKey::new(&ED25519, key)
        .verify(&signed_bytes(&bundle.toml), &bundle.signature)
        .map_err(|_| Failure::BundleRefused)?;
    Ok(bundle.toml)
}

/// Takes the address from the URL. (ureq's own resolver starts a thread and links getaddrinfo,
/// which a static program should avoid.)
#[derive(Debug)]
struct Numeric(BundleUrl);

impl Resolver for Numeric {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(self.0.server);
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    const TOML: &str = "serial = 5\nmachines = [\"52:54:00:12:34:56\"]\na = 1\n";
    const OWN: Mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]);

    fn signed(seed: u8, toml: &str) -> (Vec<u8>, [u8; 32]) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let signature = pair.sign(&signed_bytes(toml));
        let bundle = Bundle {
            signature: signature.as_ref().try_into().unwrap(),
            toml: toml.to_owned(),
        };
        let key = pair.public_key().as_ref().try_into().unwrap();
        (bundle.to_string().into_bytes(), key)
    }

    /// Serves one request.
    fn serve(status: &'static str, body: Vec<u8>) -> BundleUrl {
        serve_each(status, vec![body])
    }

    /// Serves one request after another.
    fn serve_all(bodies: Vec<Vec<u8>>) -> BundleUrl {
        serve_each("200 OK", bodies)
    }

    fn serve_each(status: &'static str, bodies: Vec<Vec<u8>>) -> BundleUrl {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        thread::spawn(move || {
            for body in bodies {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).unwrap();
                assert!(request[..length].starts_with(b"GET /node HTTP/1.1\r\n"));
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).unwrap();
                // Fails if the client has read enough and closed the connection.
                let _ = stream.write_all(&body);
            }
        });
        let path = "/node".to_owned();
        BundleUrl { server, path }
    }

    fn image(bundle_key: [u8; 32], least_serial: u64) -> Image {
        Image {
            bundle_key,
            built: 0,
            least_serial,
        }
    }

    #[test]
    fn a_signed_bundle_is_fetched_and_believed() {
        let (file, key) = signed(1, TOML);
        let url = serve("200 OK", file);
        let beacon = Beacon::to(url.server);
        let toml = obtain(&url, &image(key, 5), &[OWN], &beacon).unwrap();
        assert_eq!(toml, TOML);
    }

    #[test]
    fn a_signature_alone_is_not_enough() {
        let (file, key) = signed(1, TOML);
        let other = Mac([2; 6]);
        let refusal =
            |file: &[u8], own, least| admit(file, &image(key, least), &[own]).unwrap_err();
        assert_eq!(refusal(&file, other, 5), Failure::BundleOfAnother);
        assert_eq!(refusal(&file, OWN, 6), Failure::BundleTooOld);
        let (silent, _) = signed(1, "a = 1\n");
        assert_eq!(refusal(&silent, OWN, 0), Failure::BundleRefused);
    }

    #[test]
    fn what_is_wrong_is_told_while_it_is_tried_again() {
        let listener = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (other, _) = signed(2, TOML);
        let (good, key) = signed(1, TOML);
        let url = serve_all(vec![other, good]);
        let beacon = Beacon::to(listener.local_addr().unwrap());
        obtain(&url, &image(key, 0), &[OWN], &beacon).unwrap();
        let mut told = [0; 64];
        let length = listener.recv(&mut told).unwrap();
        assert_eq!(&told[..length], b"mayfly-boot 19\n");
    }

    #[test]
    fn no_changed_byte_is_believed() {
        let (file, key) = signed(1, TOML);
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut changed = file.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(
                    verify(&changed, &key),
                    Err(Failure::BundleRefused),
                    "{at}.{bit}"
                );
            }
        }
        assert!(verify(&file, &key).is_ok());
    }

    #[test]
    fn the_signature_of_another_key_is_refused() {
        let (file, _) = signed(1, TOML);
        let (_, other) = signed(2, TOML);
        assert_eq!(verify(&file, &other), Err(Failure::BundleRefused));
    }

    #[test]
    fn more_than_a_bundle_may_hold_is_not_read() {
        let url = serve("200 OK", vec![b' '; MAX_BUNDLE + 1]);
        assert_eq!(fetch(&url), Err(Failure::NoBundle));
        let url = serve("200 OK", vec![b' '; MAX_BUNDLE]);
        assert_eq!(fetch(&url).unwrap().len(), MAX_BUNDLE);
    }

    #[test]
    fn an_error_page_or_a_redirect_is_no_bundle() {
        for status in [
            "404 Not Found",
            "302 Found\r\nLocation: http://127.0.0.1:9/",
        ] {
            let (file, _) = signed(1, TOML);
            assert_eq!(
                fetch(&serve(status, file)),
                Err(Failure::NoBundle),
                "{status}"
            );
        }
    }
}

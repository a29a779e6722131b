//! Nodes: streams that report as fast as the service answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use mayfly_wire::Ticket;
use mayfly_wire::counter::{Delta, Epoch, NodeFrame, ServiceFrame};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::service::Way;

/// Reports of a replay that wait for verdicts at the same time.
const WINDOW: usize = 250;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// A stream that has been welcomed.
pub(crate) struct Node {
    socket: Socket,
    n: u64,
}

impl Node {
    /// Tries until the service counts, as a node does.
    pub(crate) async fn connect(way: &Way, identity: Arc<ClientConfig>) -> Self {
        let socket = loop {
            match Self::open(way, identity.clone()).await {
                Err(Error::Http(refusal)) if refusal.status() == 503 => {}
                opened => break opened.unwrap(),
            }
        };
        let mut node = Self { socket, n: 0 };
        let epoch = Epoch([1; 16]);
        node.send(NodeFrame::Hello { epoch }).await;
        assert!(matches!(node.hear().await, ServiceFrame::Welcome { .. }));
        node
    }

    async fn open(way: &Way, identity: Arc<ClientConfig>) -> Result<Socket, Error> {
        let tcp = TcpStream::connect(way.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = "localhost".try_into().unwrap();
        let tls = TlsConnector::from(identity).connect(name, tcp).await;
        let opened = client_async("wss://localhost/v1/counter", tls.unwrap()).await;
        Ok(opened?.0)
    }

    pub(crate) async fn synced(&mut self) {
        self.send(NodeFrame::Synced {}).await;
        self.settle().await;
    }

    /// Replays granted sessions. Then the stream stays open until the handle is dropped.
    pub(crate) async fn replay(mut self, tickets: Vec<Ticket>) -> Stays {
        for window in tickets.chunks(WINDOW) {
            self.report(window, Delta::Up).await;
            assert_eq!(self.verdicts(window.len()).await, window.len());
        }
        self.synced().await;
        Stays(tokio::spawn(async move {
            // It answers pings, and sends nothing else.
            loop {
                self.hear().await;
            }
        }))
    }

    /// Connects and disconnects one device. Returns how long its verdict took.
    pub(crate) async fn ask_and_leave(&mut self, ticket: Ticket) -> Duration {
        let from = Instant::now();
        self.report(&[ticket], Delta::Up).await;
        assert_eq!(self.verdicts(1).await, 1);
        let time = from.elapsed();
        self.report(&[ticket], Delta::Down).await;
        time
    }

    async fn report(&mut self, tickets: &[Ticket], delta: Delta) {
        for &ticket in tickets {
            let n = self.n;
            self.n += 1;
            self.feed(NodeFrame::Report { n, ticket, delta }).await;
        }
        self.socket.flush().await.unwrap();
    }

    /// Takes `count` verdicts. Returns how many were grants.
    async fn verdicts(&mut self, count: usize) -> usize {
        let (mut heard, mut granted) = (0, 0);
        while heard < count {
            if let ServiceFrame::Verdict { granted: yes, .. } = self.hear().await {
                heard += 1;
                granted += usize::from(yes);
            }
        }
        granted
    }

    /// Waits until the service has read everything that was sent: it answers in order.
    async fn settle(&mut self) {
        self.send(NodeFrame::Ping {}).await;
        while self.hear().await != (ServiceFrame::Pong {}) {}
    }

    async fn send(&mut self, frame: NodeFrame) {
        self.feed(frame).await;
        self.socket.flush().await.unwrap();
    }

    async fn feed(&mut self, frame: NodeFrame) {
        let text = serde_json::to_string(&frame).unwrap();
        self.socket.feed(Message::text(text)).await.unwrap();
    }

    async fn hear(&mut self) -> ServiceFrame {
        let message = self.socket.next().await.unwrap().unwrap();
        let frame = serde_json::from_str(message.to_text().unwrap()).unwrap();
        if frame == (ServiceFrame::Ping {}) {
            self.send(NodeFrame::Pong {}).await;
        }
        frame
    }
}

/// Connects and disconnects devices with these tickets until a time. Returns the number of reports.
pub(crate) async fn churn(mut node: Node, tickets: Vec<Ticket>, until: Instant) -> usize {
    let mut reports = 0;
    while Instant::now() < until {
        node.report(&tickets, Delta::Up).await;
        assert_eq!(node.verdicts(tickets.len()).await, tickets.len());
        node.report(&tickets, Delta::Down).await;
        reports += 2 * tickets.len();
    }
    node.settle().await;
    reports
}

/// A stream that stays open until this is dropped.
pub(crate) struct Stays(JoinHandle<()>);

impl Drop for Stays {
    fn drop(&mut self) {
        self.0.abort();
    }
}

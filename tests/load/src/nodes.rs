//! Nodes: streams that report as fast as the service answers. They keep to the protocol, but not to
//! a node's ticks: it is the service that is measured.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use mayfly_counter::constants::{MESSAGE_FRAMES, TICK};
use mayfly_counter::message;
use mayfly_wire::counter::{Delta, Epoch, NodeFrame, ServiceFrame, VERSION};
use mayfly_wire::{TICKET_LEN, Ticket};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::interval;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::service::Way;

pub(crate) type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// A stream that has been welcomed. It stays open until this is dropped.
pub(crate) struct Node {
    to_send: mpsc::UnboundedSender<Vec<NodeFrame>>,
    heard: mpsc::UnboundedReceiver<ServiceFrame>,
    n: u64,
}

impl Node {
    /// Tries until the service counts, as a node does, and waits to be welcomed.
    pub(crate) async fn connect(way: &Way, identity: Arc<ClientConfig>) -> Self {
        let (to_send, sent) = mpsc::unbounded_channel();
        let (hears, heard) = mpsc::unbounded_channel();
        tokio::spawn(carry(dial(way, identity).await, sent, hears));
        let mut node = Self {
            to_send,
            heard,
            n: 0,
        };
        node.send(vec![NodeFrame::Hello {
            version: VERSION,
            epoch: Epoch([1; 16]),
        }]);
        assert!(matches!(node.hear().await, ServiceFrame::Welcome { .. }));
        node
    }

    pub(crate) async fn synced(&mut self) {
        self.send(vec![NodeFrame::Synced {}]);
        self.settle().await;
    }

    /// Replays granted sessions.
    pub(crate) async fn replay(&mut self, tickets: &[Ticket]) {
        self.report(tickets, Delta::Up);
        assert_eq!(self.verdicts(tickets.len()).await, tickets.len());
        self.synced().await;
    }

    /// Connects and disconnects one device. Returns how long its verdict took.
    pub(crate) async fn ask_and_leave(&mut self, ticket: Ticket) -> Duration {
        let from = Instant::now();
        self.report(&[ticket], Delta::Up);
        assert_eq!(self.verdicts(1).await, 1);
        let time = from.elapsed();
        self.report(&[ticket], Delta::Down);
        time
    }

    fn report(&mut self, tickets: &[Ticket], delta: Delta) {
        let first = self.n;
        self.n += tickets.len() as u64;
        let reports = (first..).zip(tickets);
        self.send(
            reports
                .map(|(n, &ticket)| NodeFrame::Report { n, ticket, delta })
                .collect(),
        );
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
        self.report(&[Ticket([0; TICKET_LEN])], Delta::Up);
        assert_eq!(self.verdicts(1).await, 0);
    }

    fn send(&self, frames: Vec<NodeFrame>) {
        self.to_send.send(frames).unwrap();
    }

    async fn hear(&mut self) -> ServiceFrame {
        self.heard.recv().await.unwrap()
    }
}

/// Sends what there is, and an empty message on each tick, and reads at the same time.
async fn carry(
    socket: Socket,
    mut to_send: mpsc::UnboundedReceiver<Vec<NodeFrame>>,
    hears: mpsc::UnboundedSender<ServiceFrame>,
) {
    let (mut sink, mut source) = socket.split();
    let send = async {
        let mut beat = interval(TICK);
        loop {
            let frames = tokio::select! {
                _ = beat.tick() => Vec::new(),
                frames = to_send.recv() => match frames {
                    Some(frames) => frames,
                    None => return,
                },
            };
            for frames in frames
                .chunks(MESSAGE_FRAMES)
                .chain(frames.is_empty().then_some([].as_slice()))
            {
                sink.feed(Message::text(message::encode(frames)))
                    .await
                    .unwrap();
            }
            sink.flush().await.unwrap();
        }
    };
    let read = async {
        while let Some(Ok(Message::Text(text))) = source.next().await {
            for frame in message::decode(&text).unwrap() {
                // A node that has been dropped hears nothing.
                let _ = hears.send(frame);
            }
        }
    };
    tokio::select! {
        () = send => {}
        () = read => {}
    }
}

/// A WebSocket to the service. Tries until the service counts.
pub(crate) async fn dial(way: &Way, identity: Arc<ClientConfig>) -> Socket {
    loop {
        match open(way, identity.clone()).await {
            Err(Error::Http(refusal)) if refusal.status() == 503 => {}
            opened => return opened.unwrap(),
        }
    }
}

async fn open(way: &Way, identity: Arc<ClientConfig>) -> Result<Socket, Error> {
    let tcp = TcpStream::connect(way.address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let name = "localhost".try_into().unwrap();
    let tls = TlsConnector::from(identity).connect(name, tcp).await;
    let opened = client_async("wss://localhost/v1/counter", tls.unwrap()).await;
    Ok(opened?.0)
}

/// Connects and disconnects devices with these tickets until a time. Returns the number of reports.
pub(crate) async fn churn(mut node: Node, tickets: Vec<Ticket>, until: Instant) -> usize {
    let mut reports = 0;
    while Instant::now() < until {
        node.report(&tickets, Delta::Up);
        assert_eq!(node.verdicts(tickets.len()).await, tickets.len());
        node.report(&tickets, Delta::Down);
        reports += 2 * tickets.len();
    }
    node.settle().await;
    reports
}

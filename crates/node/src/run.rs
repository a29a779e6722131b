//! The control thread while the node serves: its tasks, and how it stops.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_wire::enrol::Cidr;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::accounts_link::AccountsLink;
use crate::admission::{self, Admission};
use crate::control::Control;
use crate::counter_stream::CounterStream;
use crate::datapath::Notice;
use crate::serve;

/// How often ended enrolments are looked for.
const TICK: Duration = Duration::from_secs(5);
/// How long to wait at the end until the last -1 has been sent. Those of 65,000 sessions take ten
/// ticks of the counter stream.
const STOP_TIME: Duration = Duration::from_secs(15);

/// Everything that the control thread serves with.
pub(crate) struct Daemon {
    pub control: Control,
    /// A packet thread that has ended sends `None`.
    pub notices: UnboundedReceiver<Option<Notice>>,
    pub enrolment: TcpListener,
    pub health: TcpListener,
    pub tls: Arc<ServerConfig>,
    /// The prefixes of inner addresses.
    pub inner: Vec<Cidr>,
    pub accounts: Arc<AccountsLink>,
    pub admission: Admission,
    /// SIGTERM.
    pub stop: Signal,
}

/// Why the daemon stopped.
pub(crate) enum Stopped {
    /// It was told to stop, and every session has ended.
    Drained,
    /// A packet thread ended: packets of some peers are no longer carried.
    PacketThread,
}

impl Daemon {
    /// Serves until SIGTERM, then drains.
    pub(crate) async fn run(self) -> Stopped {
        LocalSet::new().run_until(self.serve()).await
    }

    async fn serve(self) -> Stopped {
        let control = Rc::new(RefCell::new(self.control));
        let stream = CounterStream {
            accounts: self.accounts.clone(),
            identity: self.admission.identity.clone(),
            control: control.clone(),
        };
        spawn_local(stream.run());
        let inner = self.inner.clone();
        let enrolment = serve::enrolment(self.enrolment, self.tls, inner, control.clone());
        spawn_local(enrolment);
        spawn_local(serve::health(self.health, self.inner, control.clone()));
        spawn_local(admission::run(self.admission, self.accounts));
        if let Err(stopped) = watch(self.notices, self.stop, &control).await {
            return stopped;
        }
        stop(&control).await;
        Stopped::Drained
    }
}

/// Passes the packet threads' notices on until the daemon is told to stop.
async fn watch(
    mut notices: UnboundedReceiver<Option<Notice>>,
    mut stop: Signal,
    control: &RefCell<Control>,
) -> Result<(), Stopped> {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            notice = notices.recv() => {
                let notice = notice.flatten().ok_or(Stopped::PacketThread)?;
                control.borrow_mut().handle_notice(notice, Instant::now());
            }
            _ = tick.tick() => {
                control.borrow_mut().handle_tick(Instant::now());
            }
            _ = stop.recv() => return Ok(()),
        }
    }
}

/// Ends all sessions, and waits until the service has been told so, if it is in reach.
async fn stop(control: &RefCell<Control>) {
    control.borrow_mut().stop(Instant::now());
    let settled = control.borrow().settled();
    let _ = timeout(STOP_TIME, async {
        while !control.borrow().is_settled() {
            settled.notified().await;
        }
    })
    .await;
}

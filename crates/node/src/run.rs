//! The control thread while the node serves: its tasks, and the end.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::admission::{self, Applicant};
use crate::control::Control;
use crate::counter_stream::CounterStream;
use crate::datapath::Notice;
use crate::serve;
use crate::service::Service;

/// How often ended enrolments are looked for.
const TICK: Duration = Duration::from_secs(5);
/// How long the last -1 may take to leave.
const STOP_TIME: Duration = Duration::from_secs(5);

/// What the control thread serves with.
pub struct Daemon {
    pub control: Control,
    /// `None` from a packet thread that has ended.
    pub notices: UnboundedReceiver<Option<Notice>>,
    pub enrolment: TcpListener,
    pub health: TcpListener,
    pub tls: Arc<ServerConfig>,
    pub service: Arc<Service>,
    pub applicant: Applicant,
    /// SIGTERM.
    pub stop: Signal,
}

/// Why the daemon stopped.
pub enum Stopped {
    /// It was told to, and every session has ended.
    Drained,
    /// Packets of some peers are carried no more.
    PacketThread,
}

impl Daemon {
    /// Serves until SIGTERM, and drains.
    pub async fn run(self) -> Stopped {
        LocalSet::new().run_until(self.serve()).await
    }

    async fn serve(self) -> Stopped {
        let control = Rc::new(RefCell::new(self.control));
        let stream = CounterStream {
            service: self.service.clone(),
            identity: self.applicant.identity.clone(),
            clock: self.applicant.clock.clone(),
            control: control.clone(),
        };
        spawn_local(stream.run());
        spawn_local(serve::enrolment(self.enrolment, self.tls, control.clone()));
        spawn_local(serve::health(self.health, control.clone()));
        spawn_local(admission::run(self.applicant, self.service));
        if let Err(stopped) = watch(self.notices, self.stop, &control).await {
            return stopped;
        }
        stop(&control).await;
        Stopped::Drained
    }
}

/// Hears the packet threads, until the daemon is told to stop.
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
    let settled = control.borrow().settled.clone();
    let _ = timeout(STOP_TIME, async {
        while !control.borrow().is_settled() {
            settled.notified().await;
        }
    })
    .await;
}

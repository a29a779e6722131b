//! The program `serve` in a process of its own, which a test can kill.

#![allow(dead_code, reason = "each test file uses its part")]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};

use tempfile::TempDir;

use super::{Service, program};

/// A process and its service.
pub(crate) struct Process {
    pub service: Service,
    child: Child,
}

impl Process {
    /// Starts a process with fresh files. `store` holds more lines of configuration.
    pub(crate) async fn start(store: &str) -> Self {
        Self::start_with(store, None).await
    }

    /// Starts a process that has the keys of another and shares its store.
    pub(crate) async fn beside(other: &Self, store: &str) -> Self {
        let data = other.service.directory.path().join("data");
        Self::start_with(store, Some(&data)).await
    }

    async fn start_with(store: &str, shared: Option<&Path>) -> Self {
        let directory = TempDir::new().unwrap();
        let data = directory.path().join("data");
        let address = free_address();
        let text = format!(
            "listen = \"{address}\"\ndata = {data:?}\nnames = [\"localhost\"]\n{store}\n\
             [limits]\ntokens = 10000\nfailures = 10000\nsign_ups = 10000\n"
        );
        std::fs::write(directory.path().join("accounts.toml"), text).unwrap();
        match shared {
            None => {
                for words in [&["ca", "init"][..], &["keys"]] {
                    assert!(program(&directory, words, "").status.success());
                }
            }
            Some(shared) => {
                std::fs::create_dir(&data).unwrap();
                for file in ["ca.pem", "ca.key", "token.key"] {
                    std::fs::copy(shared.join(file), data.join(file)).unwrap();
                }
            }
        }
        let child = serve(&directory);
        let process = Self {
            service: Service::elsewhere(directory, address),
            child,
        };
        process.listens().await;
        process
    }

    /// Waits until it takes connections.
    async fn listens(&self) {
        while tokio::net::TcpStream::connect(self.service.address)
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    }

    /// Sends SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, at the same address.
    pub(crate) async fn restart(&mut self) {
        self.child = serve(&self.service.directory);
        self.listens().await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(directory: &TempDir) -> Child {
    Command::new(env!("CARGO_BIN_EXE_mayfly-accounts"))
        .arg("--config")
        .arg(directory.path().join("accounts.toml"))
        .arg("serve")
        .spawn()
        .unwrap()
}

/// An address at which no process listens now.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

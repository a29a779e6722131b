//! Gives up all rights, except to use what is open.

use std::net::SocketAddr;

use mayfly_sys::confine;

use super::StartError;
use super::acquire::Acquired;
use crate::lockdown;
use crate::settings::Settings;

/// Open descriptors, in a process that may open no others.
pub(super) struct Confined {
    pub acquired: Acquired,
    pub confinement: confine::Confined,
}

/// Refuses a kernel that lacks what the confinement needs.
pub(super) fn require(settings: &Settings) -> Result<(), StartError> {
    Ok(confine::require(*settings.lockdown.landlock_abi.get_ref())?)
}

impl Confined {
    /// Gives up all capabilities, the user, all files, and all TCP except to the account service.
    pub(super) fn confine(acquired: Acquired) -> Result<Self, StartError> {
        let settings = &acquired.settings;
        let privilege = &settings.privilege;
        let addresses = settings.accounts.addresses();
        let ports: Vec<u16> = addresses.iter().map(SocketAddr::port).collect();
        let confinement = confine::confine(&lockdown::daemon(
            (privilege.uid.get(), privilege.gid.get()),
            &ports,
            *settings.lockdown.landlock_abi.get_ref(),
        ))?;
        Ok(Self {
            acquired,
            confinement,
        })
    }
}
